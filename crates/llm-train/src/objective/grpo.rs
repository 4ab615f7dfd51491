//! Group relative policy optimization (Shao et al. 2024).
//!
//! Each prompt is answered G times, a check gives each answer a reward, and an answer is good or
//! bad beside the others of its group:
//!
//! ```text
//! A   = (r − mean r) / (std r + 1e-4)                   std with G − 1, as TRL has it
//! ρₜ  = π(yₜ) / π_old(yₜ)                               1 on the first step after drawing
//! KLₜ = ref/π − log(ref/π) − 1                          never negative, its mean is KL(π‖ref)
//! lₜ  = −min(ρₜ A, clip(ρₜ, 1 − ε, 1 + ε_high) A) + β KLₜ
//! ```
//!
//! `loss_type` says how tokens are weighed, always over the whole optimizer step:
//!
//! | `loss_type` | weight of a token | |
//! |---|---|---|
//! | `grpo` | 1 / (answers · tokens of its answer) | short and long answers count alike |
//! | `bnpo` | 1 / tokens of all answers | tokens count alike |
//! | `dr_grpo` | 1 / (answers · `max_completion_length`) | no bias by length (Liu et al. 2025) |
//!
//! The KL term is the estimator k3 of Schulman 2020.

use serde::{Deserialize, Serialize};

/// Added to the standard deviation of a group.
const STD_EPSILON: f64 = 1e-4;

/// How tokens are weighed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossType {
    /// The mean over answers of the mean over their tokens.
    #[default]
    Grpo,
    /// The mean over all tokens.
    Bnpo,
    /// The sum over tokens, over a number that no answer changes.
    DrGrpo,
}

/// The constants of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grpo {
    /// β, the weight of the KL term.
    pub beta: f64,
    /// How far below and above 1 a ratio may be before it is clipped.
    pub epsilon: [f64; 2],
    /// How tokens are weighed.
    pub loss_type: LossType,
    /// The longest answer that may be drawn, in tokens.
    pub max_completion_length: usize,
}

/// log p of one token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLogProbs {
    /// Under the policy.
    pub policy: f64,
    /// Under the policy that drew it.
    pub old: f64,
    /// Under the frozen start, where β is not 0.
    pub reference: Option<f64>,
}

/// What the loss makes of one token, without its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLoss {
    /// lₜ
    pub loss: f64,
    /// Its slope by the policy's log p.
    pub slope: f64,
    /// KLₜ; 0 without a reference.
    pub kl: f64,
    /// Whether the ratio is clipped, so that the token pulls no further.
    pub clipped: bool,
}

/// How much an optimizer step reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepSize {
    /// Answers.
    pub answers: usize,
    /// Their tokens.
    pub tokens: usize,
}

/// The advantage of each answer: its reward beside those of its group of `group` answers, divided by
/// their standard deviation if `scale`.
///
/// ```
/// use llm_train::objective::advantages;
/// let found = advantages(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0], 4, true);
/// assert!((found[0] - 0.5 / ((1.0f64 / 3.0).sqrt() + 1e-4)).abs() < 1e-12);
/// assert_eq!(found[0], -found[1]);
/// assert_eq!(found[4..], [0.0; 4]); // all alike: nothing to learn from
/// ```
pub fn advantages(rewards: &[f64], group: usize, scale: bool) -> Vec<f64> {
    let of_group = |rewards: &[f64]| -> Vec<f64> {
        let n = rewards.len() as f64;
        let mean = rewards.iter().sum::<f64>() / n;
        let squares: f64 = rewards.iter().map(|r| (r - mean).powi(2)).sum();
        let std = (squares / (n - 1.0).max(1.0)).sqrt();
        let over = if scale { std + STD_EPSILON } else { 1.0 };
        rewards.iter().map(|r| (r - mean) / over).collect()
    };
    rewards.chunks(group.max(1)).flat_map(of_group).collect()
}

impl Grpo {
    /// The loss of one token of an answer with this advantage.
    pub fn token(&self, log_probs: TokenLogProbs, advantage: f64) -> TokenLoss {
        let TokenLogProbs {
            policy,
            old,
            reference,
        } = log_probs;
        let [below, above] = self.epsilon;
        let ratio = (policy - old).exp();
        let bounded = ratio.max(1.0 - below).min(1.0 + above);
        let clipped =
            (ratio < 1.0 - below && advantage < 0.0) || (ratio > 1.0 + above && advantage > 0.0);
        // e^d − d − 1 of d = log ref − log π, whose slope by log π is 1 − e^d
        let (kl, kl_slope) = reference.map_or((0.0, 0.0), |reference| {
            let d = reference - policy;
            (d.exp_m1() - d, -d.exp_m1())
        });
        let slope = if clipped { 0.0 } else { -advantage * ratio };
        // `min` and `max` would pass over a ratio that is no number.
        let pull = match ratio.is_nan() {
            true => ratio,
            false => -(ratio * advantage).min(bounded * advantage),
        };
        TokenLoss {
            loss: pull + self.beta * kl,
            slope: slope + self.beta * kl_slope,
            kl,
            clipped,
        }
    }

    /// The weight of each token of an answer of `tokens` tokens.
    pub fn weight(&self, tokens: usize, step: StepSize) -> f64 {
        let of = |count: usize| 1.0 / count.max(1) as f64;
        match self.loss_type {
            LossType::Grpo => of(step.answers) * of(tokens),
            LossType::Bnpo => of(step.tokens),
            LossType::DrGrpo => of(step.answers) * of(self.max_completion_length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grpo(beta: f64) -> Grpo {
        Grpo {
            beta,
            epsilon: [0.2, 0.28],
            loss_type: LossType::Grpo,
            max_completion_length: 10,
        }
    }

    #[test]
    fn slopes_are_those_of_differences_on_both_sides_of_the_clip() {
        const STEP: f64 = 1e-6;
        /// A central difference errs by STEP² and by rounding over STEP.
        const NUMERIC: f64 = 1e-8;
        let (mut clipped, mut free) = (0, 0);
        for (index, ratio) in [0.5, 0.79, 0.81, 1.0, 1.27, 1.29, 3.0].iter().enumerate() {
            for advantage in [-1.3, 0.0, 0.7] {
                for reference in [None, Some(-2.0), Some(-0.1)] {
                    let policy = -1.0 - index as f64 / 10.0;
                    let old = policy - f64::ln(*ratio);
                    let at = |by: f64| {
                        let policy = policy + by;
                        let log_probs = TokenLogProbs {
                            policy,
                            old,
                            reference,
                        };
                        grpo(0.3).token(log_probs, advantage)
                    };
                    let numeric = (at(STEP).loss - at(-STEP).loss) / (2.0 * STEP);
                    let found = at(0.0);
                    let gap = (numeric - found.slope).abs();
                    assert!(gap <= NUMERIC, "ratio {ratio}, A {advantage}: {gap:e}");
                    assert!(found.kl >= 0.0);
                    clipped += usize::from(found.clipped);
                    free += usize::from(!found.clipped);
                }
            }
        }
        assert!(clipped > 5 && free > 5, "{clipped} {free}");
    }

    #[test]
    fn a_group_of_one_or_none_has_nothing_to_say() {
        assert_eq!(advantages(&[0.7], 1, true), [0.0]);
        assert_eq!(advantages(&[], 4, true), [0.0; 0]);
        assert_eq!(advantages(&[0.0, 1.0], 0, true), [0.0, 0.0]);
        let plain = advantages(&[0.0, 1.0, 1.0, 0.0], 2, false);
        assert_eq!(plain, [-0.5, 0.5, 0.5, -0.5]);
    }

    #[test]
    fn weights_of_a_step_add_up() {
        let lengths = [3, 5, 2];
        let step = StepSize {
            answers: 3,
            tokens: 10,
        };
        let total = |loss_type| {
            let grpo = Grpo {
                loss_type,
                ..grpo(0.0)
            };
            let of = |&tokens: &usize| tokens as f64 * grpo.weight(tokens, step);
            lengths.iter().map(of).sum::<f64>()
        };
        assert!((total(LossType::Grpo) - 1.0).abs() < 1e-15);
        assert!((total(LossType::Bnpo) - 1.0).abs() < 1e-15);
        assert!((total(LossType::DrGrpo) - 10.0 / 30.0).abs() < 1e-15);
    }
}
