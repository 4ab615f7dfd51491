//! What a run that compares answers needs beside its model: the start that it is compared with.

use candle_core::Tensor;
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::LogProbLoss;

use super::Session;
use crate::Result;
use crate::batch::Batch;
use crate::config::{Method, TrainConfig};
use crate::dataset::Dataset;
use crate::labels::Example;
use crate::model::LanguageModel;
use crate::objective::{Objective, Preferred, Rewarded, pair_sums};

/// The model before the first step, as far as the objective asks for it. A fresh adapter changes
/// nothing, so what a session's own model says when it is opened is what its base says.
#[derive(Debug)]
pub(super) enum Frozen {
    /// Nothing.
    Unneeded,
    /// The summed log-probabilities of pairs, to train on and held out.
    Sums([Vec<[f64; 2]>; 2]),
    /// A model: answers that are yet to be drawn cannot be rated now.
    Model(Box<Decoder>),
}

impl Frozen {
    /// For these settings, with the model as it was loaded.
    pub(super) fn of(
        config: &TrainConfig,
        model: &Decoder,
        dataset: &Dataset,
        pad: u32,
    ) -> Result<Self> {
        Ok(match config.method {
            Method::Dpo => {
                let (batch_size, device) = (config.batch_size, model.device());
                let sums =
                    |examples: &[Example]| pair_sums(model, examples, batch_size, (pad, device));
                Self::Sums([sums(&dataset.train)?, sums(&dataset.validation)?])
            }
            Method::Grpo if config.grpo().beta > 0.0 => Self::Model(Box::new(model.frozen()?)),
            _ => Self::Unneeded,
        })
    }
}

impl Session {
    /// What this run lowers.
    pub fn objective(&self) -> Objective<'_> {
        let config = &self.config;
        match (config.method, &self.frozen) {
            (Method::Dpo, Frozen::Sums([reference, held_out_reference])) => {
                Objective::Preferred(Preferred {
                    loss: config.dpo(),
                    reference,
                    held_out_reference,
                })
            }
            (Method::Grpo, frozen) => Objective::Rewarded(Rewarded {
                loss: config.grpo(),
                policy: &self.model,
                reference: match frozen {
                    Frozen::Model(model) => Some(&**model),
                    _ => None,
                },
                codec: &self.codec,
                asked: &self.dataset.asked,
                held_out: &self.dataset.held_out_asked,
                group: config.num_generations,
                iterations: config.num_iterations,
                temperature: config.temperature,
                scale_rewards: config.scale_rewards,
            }),
            _ => Objective::Tokens,
        }
    }

    /// The loss that the audit takes the gradients of, by the operations that the run will use.
    pub(super) fn audited_loss(&self, batch: &Batch, pass: &Pass, scale: f64) -> Result<Tensor> {
        let model = self.planted();
        if self.config.learns_tokens() {
            return Ok(model.loss(batch, pass, scale)?);
        }
        // Preferences and rewards reach the model by its log-probabilities alone, with slopes that
        // are the same for both kinds of operations: the mean has some that are not zero.
        let loss = model.log_prob_loss(batch, 1.0, pass, &mut |log_probs| {
            Ok(LogProbLoss {
                value: -scale * log_probs.iter().sum::<f64>(),
                slopes: vec![-scale; log_probs.len()],
            })
        })?;
        Ok(loss)
    }
}
