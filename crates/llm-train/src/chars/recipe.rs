//! How a character model is trained, as numbers.
//!
//! The learning rate is a staircase: half a cosine from `max_lr` down to `min_lr` with one step for
//! each epoch (PyTorch's `CosineAnnealingLR`, stepped after every epoch), times a ramp from 0 to 1
//! over the first `warmup_steps` optimizer steps.

use serde::{Deserialize, Serialize};

use crate::schedule::{Schedule, ScheduleKind};

/// Where the lesson leaves the models of the faithful and of the fast recipe.
pub const FOLDERS: [&str; 2] = ["output_models/mini_gpt", "output_models/mini_gpt_fast"];

/// The settings of a training run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Passes over all windows.
    pub epochs: u64,
    /// B, windows of a step.
    pub batch_size: usize,
    /// Characters from one window's start to the next one's.
    pub stride: usize,
    /// The highest learning rate.
    pub max_lr: f64,
    /// What the learning rate falls to.
    pub min_lr: f64,
    /// Steps over which it rises.
    pub warmup_steps: u64,
    /// λ of AdamW, on every tensor, as PyTorch does it unless told otherwise.
    pub weight_decay: f64,
    /// The share of activations that is zeroed after the embedding and after each half of a block.
    pub dropout: f64,
    /// Gradients are clipped to this norm.
    pub max_grad_norm: f64,
    /// The standard deviation of the initial matrices; GPT-2's is 0.02.
    pub initial_std: f64,
}

impl Recipe {
    /// The recipe of the course that this project comes from: 100 epochs at a careful rate.
    pub const FAITHFUL: Self = Self {
        epochs: 100,
        batch_size: 32,
        stride: 1,
        max_lr: 3e-4,
        min_lr: 3e-5,
        warmup_steps: 0,
        weight_decay: 0.01,
        dropout: 0.1,
        max_grad_norm: 1.0,
        initial_std: 0.02,
    };

    /// About the same end with a twentieth of the work. Small batches make many steps of few
    /// characters, and each may be thirteen times as long, after a warmup. Larger initial weights suit so
    /// narrow a model and such steps. Dropout would only slow down learning a page by heart.
    pub const FAST: Self = Self {
        epochs: 5,
        batch_size: 8,
        max_lr: 4e-3,
        min_lr: 1e-4,
        warmup_steps: 100,
        dropout: 0.0,
        initial_std: 0.04,
        ..Self::FAITHFUL
    };

    /// A few steps over a few windows: to see that everything works, not to learn. Small enough for
    /// a build without optimisation.
    pub const TASTE: Self = Self {
        epochs: 2,
        batch_size: 2,
        stride: 362,
        max_lr: 1e-3,
        min_lr: 1e-4,
        ..Self::FAITHFUL
    };

    /// The recipe for these flags, and the folder where its model is kept; a taste is not.
    pub fn choose(quick: bool, fast: bool) -> (Self, Option<&'static str>) {
        match (quick, fast) {
            (true, _) => (Self::TASTE, None),
            (_, true) => (Self::FAST, Some(FOLDERS[1])),
            _ => (Self::FAITHFUL, Some(FOLDERS[0])),
        }
    }

    // ANCHOR: rate
    /// The learning rate of a step: `epoch` and `step` (of the whole run) count from 0.
    pub fn rate(&self, epoch: u64, step: u64) -> f64 {
        let staircase = Schedule {
            kind: ScheduleKind::Cosine,
            max_lr: self.max_lr,
            min_lr: self.min_lr,
            warmup_steps: 0,
            total_steps: self.epochs,
        };
        let ramp = (step + 1) as f64 / self.warmup_steps.max(1) as f64;
        staircase.at(epoch) * ramp.min(1.0)
    }
    // ANCHOR_END: rate
}
