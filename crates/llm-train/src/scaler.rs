//! Loss scaling: small gradients survive float16.
//!
//! The smallest float16 is 6e-8, and many gradients are smaller. The loss is multiplied by a power
//! of two `s` before the backward pass, so all gradients are, and the optimizer divides by `s`
//! again in f32. When a gradient overflows, `s` is halved and the step is computed again **on the
//! same rows**; after 2,000 steps without an overflow `s` is doubled. A power of two changes no
//! digit, so without over- and underflow the result is that of a run without scaling.
//! Micikevicius et al. 2018.

use serde::{Deserialize, Serialize};

/// Where the factor starts.
const FIRST: f64 = 65_536.0;
/// Below it a gradient that is not finite is the run's own fault.
const LEAST: f64 = 1.0;
/// Above it nothing is gained.
const MOST: f64 = 16_777_216.0;
/// Steps without an overflow until the factor is doubled.
const PATIENCE: u64 = 2000;

/// The factor on the loss and how it fares; part of a checkpoint.
///
/// ```
/// let mut scaler = llm_train::scaler::LossScaler::default();
/// assert_eq!(scaler.factor(), 65_536.0);
/// assert!(scaler.back_off());
/// assert_eq!(scaler.factor(), 32_768.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScaler {
    factor: f64,
    good_steps: u64,
}

impl Default for LossScaler {
    fn default() -> Self {
        Self {
            factor: FIRST,
            good_steps: 0,
        }
    }
}

impl LossScaler {
    /// What the loss is multiplied by now.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Whether the factor is one that a run can have come to: what a file says may be anything.
    pub fn is_sound(&self) -> bool {
        (LEAST..=MOST).contains(&self.factor) && self.good_steps < PATIENCE
    }

    /// A step was done without an overflow.
    pub fn stepped(&mut self) {
        self.good_steps += 1;
        if self.good_steps >= PATIENCE {
            self.good_steps = 0;
            self.factor = (self.factor * 2.0).min(MOST);
        }
    }

    /// A gradient overflowed: halves the factor; false when that cannot be the cause.
    pub fn back_off(&mut self) -> bool {
        self.good_steps = 0;
        let lower = self.factor / 2.0;
        let helps = lower >= LEAST;
        if helps {
            self.factor = lower;
        }
        helps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_grows_after_two_thousand_good_steps_and_not_without_end() {
        let mut scaler = LossScaler::default();
        for _ in 0..1999 {
            scaler.stepped();
        }
        assert_eq!(scaler.factor(), FIRST);
        scaler.stepped();
        assert_eq!(scaler.factor(), 2.0 * FIRST);
        for _ in 0..1999 {
            scaler.stepped();
        }
        assert!(scaler.back_off());
        scaler.stepped();
        assert_eq!(scaler.factor(), FIRST, "an overflow starts the count again");
        for _ in 0..100 * PATIENCE {
            scaler.stepped();
        }
        assert_eq!(scaler.factor(), MOST);
    }

    #[test]
    fn at_one_an_overflow_is_the_runs_own() {
        let mut scaler = LossScaler::default();
        let halvings = (0..100).take_while(|_| scaler.back_off()).count();
        assert_eq!((halvings, scaler.factor()), (16, LEAST));
    }
}
