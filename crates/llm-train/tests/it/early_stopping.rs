//! A run whose held-out loss follows a script stops where patience ends.

use std::cell::Cell;

use candle_core::{DType, Device, Tensor};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::params::Parameters;
use llm_train::batch::Batch;
use llm_train::batching::{BatchSettings, Batching, Plan};
use llm_train::checkpoint::Progress;
use llm_train::model::LanguageModel;
use llm_train::objective::Objective;
use llm_train::observe::{End, Event, Memory};
use llm_train::optimizer::{AdamW, AdamWConfig};
use llm_train::processes::Processes;
use llm_train::schedule::{Schedule, ScheduleKind};
use llm_train::step::Stepper;
use llm_train::trainer::{LoopSettings, Trainer};

use crate::kit::{examples, trainable};

/// Held-out losses, one an evaluation; the lowest is the sixth.
const SCRIPT: [f64; 10] = [3.0, 2.0, 1.5, 1.6, 1.7, 1.4, 1.45, 1.5, 1.6, 0.5];
/// f32 logits through an exponential and back.
const CLOSE: f64 = 1e-5;

/// Trains like its decoder; its held-out loss is the script's.
struct Scripted {
    model: Decoder,
    evaluations: Cell<usize>,
}

impl LanguageModel for Scripted {
    /// Scores that give the row's every target the scripted loss `L`: all logits are 0 but the
    /// target's, which is `−ln((e^L − 1) / (V − 1))`.
    fn next_token_logits(&self, ids: &Tensor, _: &Pass) -> llm_core::Result<Tensor> {
        let loss = SCRIPT[self.evaluations.get()];
        self.evaluations.set(self.evaluations.get() + 1);
        let v = self.model.config().vocab_size;
        let (b, t) = ids.dims2()?;
        let mut row = vec![0.0f32; v];
        row[TARGET] = -(loss.exp_m1() / (v - 1) as f64).ln() as f32;
        let row = Tensor::from_vec(row, (1, 1, v), ids.device())?;
        Ok(row.broadcast_as((b, t, v))?.contiguous()?)
    }

    fn loss(&self, batch: &Batch, pass: &Pass, scale: f64) -> llm_core::Result<Tensor> {
        self.model.loss(batch, pass, scale)
    }
}

/// The one token that held-out rows ask for.
const TARGET: usize = 5;

fn stepper(parameters: Parameters) -> Stepper {
    let (kind, lr) = (ScheduleKind::Constant, 1e-3);
    let schedule = Schedule {
        kind,
        max_lr: lr,
        min_lr: lr,
        warmup_steps: 0,
        total_steps: 20,
    };
    let optimizer = AdamW::new(&parameters, AdamWConfig::default(), |_, _| false).unwrap();
    Stepper {
        parameters,
        optimizer,
        schedule,
        max_grad_norm: None,
        scaler: None,
    }
}

fn run(patience: Option<u64>) -> (End, u64, Option<(u64, f64)>, Vec<f64>) {
    let (model, parameters) = trainable(DType::F32);
    let model = Scripted {
        model,
        evaluations: Cell::new(0),
    };
    let train = examples(8);
    let plan = Plan::new(
        BatchSettings {
            batching: Batching::Dynamic,
            batch_size: 2,
            accumulation: 1,
            max_length: 32,
            pad_to_multiple_of: 1,
            seed: 7,
        },
        &train,
    );
    let mut held = examples(1);
    held[0].labels.fill(TARGET as i64);
    let mut trainer = Trainer {
        model: &model,
        objective: Objective::Tokens,
        stepper: stepper(parameters),
        train: &train,
        plan: &plan,
        validation: &held,
        settings: LoopSettings {
            seed: 7,
            total_steps: 20,
            batch_size: 2,
            accumulation: 1,
            logging_steps: 100,
            eval_steps: 2,
            save_steps: 0,
            patience,
            save_best: 1,
            pad: 0,
            gradient_checkpointing: false,
        },
        device: Device::Cpu,
        sampling: None,
        checkpoints: None,
        stop: None,
        progress: Progress::default(),
        processes: Processes::alone(),
    };
    let mut seen = Memory::default();
    let outcome = trainer.run(&mut [&mut seen]).unwrap();
    let vals = seen.events.iter().filter_map(|event| match event {
        Event::Logged(row) => row.val,
        _ => None,
    });
    (outcome.end, outcome.steps, outcome.best_val, vals.collect())
}

#[test]
fn a_run_stops_at_the_right_step_of_a_scripted_curve() {
    for (patience, end, steps, best) in [
        (Some(1), End::StoppedEarly, 8, 6),
        (Some(2), End::StoppedEarly, 10, 6),
        (Some(3), End::StoppedEarly, 18, 12),
        (Some(4), End::Completed, 20, 20),
        (None, End::Completed, 20, 20),
    ] {
        let (ended, done, lowest, vals) = run(patience);
        let (at, value) = lowest.unwrap();
        assert_eq!(
            (ended, done, at),
            (end, steps, best),
            "patience {patience:?}"
        );
        assert_eq!(vals.len() as u64, steps / 2);
        for (val, scripted) in vals.iter().zip(SCRIPT) {
            let gap = (val - scripted).abs();
            assert!(
                gap <= CLOSE,
                "{val} for {scripted}: {gap:e}, tolerance {CLOSE:e}"
            );
        }
        assert!((value - SCRIPT[best as usize / 2 - 1]).abs() <= CLOSE);
    }
}
