//! Shapes and inputs that the benches share.

use llm_core::config::ModelConfig;

/// A GPT of the sizes that the project is measured on.
#[derive(Clone, Copy, Debug)]
pub struct GptShape {
    /// What the bench calls it.
    pub name: &'static str,
    /// L
    pub layers: usize,
    /// H
    pub heads: usize,
    /// C
    pub channels: usize,
    /// T
    pub tokens: usize,
    /// B
    pub batch: usize,
}

/// V of both shapes: the characters of a small English text.
pub const VOCABULARY: usize = 65;

/// The two training shapes: 0.8 and 10.7 million parameters.
pub const GPT_SHAPES: [GptShape; 2] = [
    GptShape {
        name: "L=4/C=128/T=64/B=12",
        layers: 4,
        heads: 4,
        channels: 128,
        tokens: 64,
        batch: 12,
    },
    GptShape {
        name: "L=6/C=384/T=256/B=8",
        layers: 6,
        heads: 6,
        channels: 384,
        tokens: 256,
        batch: 8,
    },
];

impl GptShape {
    /// The model's configuration, without dropout.
    ///
    /// # Errors
    /// Sizes that do not fit together.
    pub fn config(&self) -> llm_core::Result<ModelConfig> {
        ModelConfig::from_json(&format!(
            r#"{{"model_type": "gpt2", "vocab_size": {VOCABULARY}, "n_positions": {}, "n_embd": {},
                "n_layer": {}, "n_head": {}, "embd_pdrop": 0.0, "resid_pdrop": 0.0}}"#,
            self.tokens, self.channels, self.layers, self.heads
        ))
    }

    /// Token ids and next-token targets of one batch, the same for every run.
    pub fn batch(&self) -> (Vec<u32>, Vec<i64>) {
        let count = self.batch * self.tokens;
        // A linear congruence is enough: the work does not depend on the values.
        let id = |i: usize| (i * 7919 + 13) % VOCABULARY;
        (
            (0..count).map(|i| id(i) as u32).collect(),
            (0..count).map(|i| id(i + 1) as i64).collect(),
        )
    }
}
