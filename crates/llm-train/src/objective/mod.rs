//! What a step lowers: the loss of the next token, of preferences, or of rewarded answers.
//!
//! The loop, the optimizer, checkpoints and monitors are the same for all of them: an objective only
//! says which batches an optimizer step reads and what loss each has. Preferences and rewards are
//! functions of the log-probabilities of given answers; their arithmetic is plain f64 ([`Dpo`],
//! [`Grpo`]), and one operation carries value and slopes into the graph
//! ([`llm_core::ops::LogProbLoss`]).

mod dpo;
mod grpo;
mod measures;
mod policy;
mod preference;
mod window;

use candle_core::Device;

pub use dpo::{Compared, Dpo};
pub use grpo::{Grpo, LossType, StepSize, TokenLogProbs, TokenLoss, advantages};
pub use measures::Measures;
pub use policy::{Asked, Drawn, Graded, MicroBatch, Rewarded, Rollout};
pub use preference::{Preferred, pair_sums};
pub(crate) use window::{Rows, Window};

use crate::Result;
use crate::bootstrap::Part;
use crate::evaluate::{mean_loss, shared_losses};
use crate::labels::Example;
use crate::model::LanguageModel;
use crate::processes::Processes;

/// What a run lowers.
#[derive(Debug, Default)]
pub enum Objective<'a> {
    /// −log p of each token that counts.
    #[default]
    Tokens,
    /// DPO's loss of pairs of answers.
    Preferred(Preferred<'a>),
    /// GRPO's loss of answers that the policy draws and a check rewards.
    Rewarded(Rewarded<'a>),
}

/// Held-out examples and how they become batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldOut<'a> {
    /// The examples.
    pub(crate) examples: &'a [Example],
    /// Rows of a batch: examples, or pairs of them.
    pub(crate) batch_size: usize,
    /// The token that fills short rows.
    pub(crate) pad: u32,
    /// Where batches go.
    pub(crate) device: &'a Device,
    /// Who shares the work.
    pub(crate) processes: &'a Processes,
}

impl Objective<'_> {
    /// The held-out loss of each example, pair or question, and what is measured beside it. A
    /// question's loss is 1 where the greedy answer does not pass its check, and 0 where it does.
    ///
    /// # Errors
    /// What the model reports.
    pub(crate) fn held_out(
        &self,
        model: &impl LanguageModel,
        data: HeldOut,
    ) -> Result<(Vec<Part>, Measures)> {
        match self {
            Self::Tokens => {
                let HeldOut {
                    examples,
                    batch_size,
                    pad,
                    device,
                    processes,
                } = data;
                let parts = shared_losses(processes, model, examples, batch_size, pad, device)?;
                Ok((parts, Measures::default()))
            }
            Self::Preferred(preferred) => preferred.held_out(model, data),
            Self::Rewarded(rewarded) => rewarded.held_out(),
        }
    }

    /// As [`Objective::held_out`], with the mean loss alone.
    ///
    /// # Errors
    /// What the model reports.
    pub(crate) fn held_out_mean(
        &self,
        model: &impl LanguageModel,
        data: HeldOut,
    ) -> Result<(f64, Measures)> {
        let (parts, measures) = self.held_out(model, data)?;
        Ok((mean_loss(&parts), measures))
    }
}
