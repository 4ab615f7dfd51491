//! Training runs whose builders published what they cost.
//!
//! Parameters, tokens, GPU and utilization are what the formula takes, the GPU hours are what it
//! has to tell, and the two come from different measurements: the utilization from the speed of a
//! step, the hours from the accounting of the whole run. So the difference is the formula's error
//! plus everything that a step does not see: restarts, evaluation, checkpoints, slow first steps.

use llm_core::model::flops::{gpu_seconds, training, without_recomputation};

use super::gpus::Gpu;

/// Seconds of an hour.
const HOUR: f64 = 3600.0;

/// A published run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The model.
    pub name: &'static str,
    pub parameters: f64,
    pub tokens: f64,
    /// The name in the table of GPUs.
    pub gpu: &'static str,
    /// The published speed.
    pub speed: Speed,
    /// The published GPU hours.
    pub hours: f64,
    /// Where all this stands.
    pub source: &'static str,
}

/// How the speed of a run was published.
#[derive(Clone, Copy, Debug)]
pub(super) enum Speed {
    /// As the share of the peak that the model's own operations reach.
    Utilization(f64),
    /// In operations a second of one GPU, what is computed twice among them.
    WithRecomputation(f64),
}

/// The runs, by age.
pub(super) const RUNS: [Run; 4] = [
    Run {
        name: "GPT-NeoX-20B",
        parameters: 20.556e9,
        tokens: 472e9, // 150,000 steps of 3.15M
        gpu: "a100-40gb",
        speed: Speed::WithRecomputation(117e12),
        hours: 96.0 * 1830.0,
        source: "Black et al. 2022, arXiv 2204.06745: 96 GPUs, 1830 h",
    },
    Run {
        name: "BLOOM-176B",
        parameters: 176.247e9,
        tokens: 366e9,
        gpu: "a100",
        speed: Speed::WithRecomputation(150e12),
        hours: 1_082_990.0,
        source: "Le Scao et al. 2022, arXiv 2211.05100; the training chronicles",
    },
    Run {
        name: "TinyLlama-1.1B",
        parameters: 1.1e9,
        tokens: 300e9, // the part whose hours were published
        gpu: "a100-40gb",
        speed: Speed::Utilization(0.56),
        hours: 3456.0,
        source: "Zhang et al. 2023, github.com/jzhang38/TinyLlama",
    },
    Run {
        name: "Llama-3.1-405B",
        parameters: 405e9,
        tokens: 15.6e12,
        gpu: "h100",
        speed: Speed::Utilization(0.41), // 38 to 43 % by phase
        hours: 30_840_000.0,
        source: "Grattafiori et al. 2024, arXiv 2407.21783; the model card",
    },
];

impl Run {
    /// The share of the peak that goes into the model's own operations.
    pub(super) fn utilization(&self, gpu: Gpu) -> f64 {
        match self.speed {
            Speed::Utilization(share) => share,
            Speed::WithRecomputation(flops) => without_recomputation(flops / gpu.peak()),
        }
    }

    /// The GPU hours by the formula.
    pub(super) fn estimate(&self, gpu: Gpu) -> f64 {
        let flops = training(self.parameters, self.tokens);
        gpu_seconds(flops, gpu.peak(), self.utilization(gpu)) / HOUR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula knows nothing of restarts: three runs within 15 %, and the fourth, whose hours also
    /// hold many interruptions and a long-context phase, just outside.
    const WITHIN: f64 = 0.15;

    #[test]
    fn three_published_runs_cost_what_the_formula_says() {
        let off = |run: &Run| run.estimate(Gpu::named(run.gpu).unwrap()) / run.hours - 1.0;
        let [neox, bloom, tiny, llama] = RUNS.each_ref().map(off);
        for (name, off) in [("GPT-NeoX", neox), ("BLOOM", bloom), ("TinyLlama", tiny)] {
            assert!(
                off.abs() < WITHIN,
                "{name}: off by {:.1} %, at most 15 %",
                100.0 * off
            );
        }
        assert!(
            (-0.20..-WITHIN).contains(&llama),
            "Llama: off by {:.1} %",
            100.0 * llama
        );
    }

    /// What OpenAI states for GPT-3: 3.14e23 operations.
    #[test]
    fn the_operations_of_gpt_3_are_the_published_ones() {
        let off = training(175e9, 300e9) / 3.14e23 - 1.0;
        assert!(off.abs() < 0.01, "off by {:.2} %", 100.0 * off);
    }
}
