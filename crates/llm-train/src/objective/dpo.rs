//! Direct preference optimization (Rafailov et al. 2023).
//!
//! For a prompt x, a chosen answer c and a rejected one r, with π the policy, ref the frozen start
//! and each log-probability summed over the tokens of the answer:
//!
//! ```text
//! reward(y) = β · (log π(y|x) − log ref(y|x))
//! m         = reward(c) − reward(r)                     the margin
//! loss      = −log σ(m)                                 ln 2 at the start, where m = 0
//! ```
//!
//! With label smoothing ε (a share ε of the pairs labelled the wrong way round, Mitchell 2023):
//! `loss = −(1 − ε) log σ(m) − ε log σ(−m)`, whose lowest point is at a finite margin.
//!
//! ```
//! use llm_train::objective::Dpo;
//! let dpo = Dpo { beta: 0.1, label_smoothing: 0.0 };
//! let start = dpo.pair([-12.0, -9.0], [-12.0, -9.0]);
//! assert!((start.loss - 2f64.ln()).abs() < 1e-15);
//! assert_eq!(start.slopes, [-0.05, 0.05]);
//! let later = dpo.pair([-10.0, -19.0], [-12.0, -9.0]);
//! assert!((later.margin() - 1.2).abs() < 1e-12 && later.loss < start.loss);
//! ```

/// The constants of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dpo {
    /// β: how much a difference of log-probabilities counts. Small ones let the policy go far.
    pub beta: f64,
    /// ε, below 0.5.
    pub label_smoothing: f64,
}

/// What the loss makes of one pair; of two numbers the first belongs to the chosen answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// The loss.
    pub loss: f64,
    /// Its slope by the policy's summed log-probability of each answer.
    pub slopes: [f64; 2],
    /// β · (log π − log ref) of each answer.
    pub rewards: [f64; 2],
}

impl Compared {
    /// By how much the chosen answer's reward is the larger one.
    pub fn margin(&self) -> f64 {
        self.rewards[0] - self.rewards[1]
    }

    /// Whether the chosen answer has the larger reward.
    pub fn is_right(&self) -> bool {
        self.margin() > 0.0
    }
}

impl Dpo {
    /// The loss of a pair from the summed log-probabilities of its answers, chosen one first.
    pub fn pair(&self, policy: [f64; 2], reference: [f64; 2]) -> Compared {
        let rewards = [0, 1].map(|side| self.beta * (policy[side] - reference[side]));
        let margin = rewards[0] - rewards[1];
        let wrong = self.label_smoothing;
        // −log σ(m) = softplus(−m), whose slope is −σ(−m)
        let loss = (1.0 - wrong) * softplus(-margin) + wrong * softplus(margin);
        let slope = self.beta * (wrong * sigmoid(margin) - (1.0 - wrong) * sigmoid(-margin));
        Compared {
            loss,
            slopes: [slope, -slope],
            rewards,
        }
    }
}

/// `ln(1 + eˣ)` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `1 / (1 + e⁻ˣ)` without overflow.
fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x >= 0.0 {
        1.0 / (1.0 + e)
    } else {
        e / (1.0 + e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_differences_and_far_margins_stay_finite() {
        const STEP: f64 = 1e-5;
        /// A central difference errs by STEP² and by rounding over STEP.
        const NUMERIC: f64 = 1e-9;
        for label_smoothing in [0.0, 0.2] {
            let dpo = Dpo {
                beta: 0.3,
                label_smoothing,
            };
            for policy in [[-3.0, -5.0], [-20.0, -1.0], [-1.0, -40.0], [0.0, 0.0]] {
                let reference = [-4.0, -4.5];
                let found = dpo.pair(policy, reference);
                for side in 0..2 {
                    let moved = |by: f64| {
                        let mut policy = policy;
                        policy[side] += by;
                        dpo.pair(policy, reference).loss
                    };
                    let numeric = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
                    let gap = (numeric - found.slopes[side]).abs();
                    assert!(gap <= NUMERIC, "{policy:?} side {side}: {gap:e}");
                }
            }
            for far in [[1e6, -1e6], [-1e6, 1e6]] {
                let far = dpo.pair(far, [0.0, 0.0]);
                assert!(far.loss.is_finite() && far.slopes.iter().all(|s| s.is_finite()));
            }
        }
    }

    #[test]
    fn smoothing_puts_the_lowest_loss_at_a_finite_margin() {
        let dpo = Dpo {
            beta: 1.0,
            label_smoothing: 0.1,
        };
        // σ(m) = 1 − ε
        let best = (0.9f64 / 0.1).ln();
        assert!(dpo.pair([best, 0.0], [0.0; 2]).slopes[0].abs() < 1e-15);
        assert!(dpo.pair([2.0 * best, 0.0], [0.0; 2]).slopes[0] > 0.0);
    }
}
