//! The learning rate of each step.
//!
//! With `s = step + 1` (so that the first step already learns), `w` warmup steps and `n` steps:
//! `lr = max · s / w` while `s ≤ w`, then from `max` down to `min` with the progress
//! `p = (s − w) / (n − w)`, clamped to 1 so that a longer run stays at `min`:
//! cosine `min + ½ (max − min)(1 + cos πp)`, linear `max + (min − max) p`.
//!
//! ```
//! use llm_train::schedule::{Schedule, ScheduleKind};
//! let kind = ScheduleKind::Cosine;
//! let s = Schedule { kind, max_lr: 5e-4, min_lr: 5e-5, warmup_steps: 1000, total_steps: 10_000 };
//! assert!(s.lr(0) > 0.0);
//! assert_eq!(s.at(1000), 5e-4);
//! assert_eq!(s.lr(19_000), 5e-5); // the cosine does not rise again
//! ```
//!
//! Loshchilov and Hutter 2016 (SGDR) for the cosine.

use serde::{Deserialize, Serialize};

/// The shape of the decay after warmup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// Stay at the maximum.
    Constant,
    /// A straight line to the minimum.
    Linear,
    /// Half a cosine to the minimum.
    #[default]
    Cosine,
}

/// A learning rate for each step of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The decay after warmup.
    pub kind: ScheduleKind,
    /// The rate at the end of warmup.
    pub max_lr: f64,
    /// The rate at the end of the run and after it.
    pub min_lr: f64,
    /// Steps of linear warmup.
    pub warmup_steps: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
}

impl Schedule {
    /// The rate of the step with this index, counted from 0.
    pub fn lr(&self, step: u64) -> f64 {
        self.at(step.saturating_add(1))
    }

    /// The rate after `steps` steps have begun: the textbook formula, 0 at 0 with warmup.
    pub fn at(&self, steps: u64) -> f64 {
        if steps < self.warmup_steps {
            return self.max_lr * steps as f64 / self.warmup_steps as f64;
        }
        let (done, span) = (
            steps - self.warmup_steps,
            self.total_steps.saturating_sub(self.warmup_steps),
        );
        let progress = if span == 0 {
            1.0
        } else {
            (done as f64 / span as f64).min(1.0)
        };
        match self.kind {
            ScheduleKind::Constant => self.max_lr,
            _ if span == 0 && done == 0 => self.max_lr,
            _ if progress >= 1.0 => self.min_lr, // exactly, whatever cos rounds to
            ScheduleKind::Linear => self.max_lr + (self.min_lr - self.max_lr) * progress,
            ScheduleKind::Cosine => {
                let wave = 1.0 + (std::f64::consts::PI * progress).cos();
                self.min_lr + 0.5 * (self.max_lr - self.min_lr) * wave
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(kind: ScheduleKind) -> Schedule {
        Schedule {
            kind,
            max_lr: 5e-4,
            min_lr: 5e-5,
            warmup_steps: 1000,
            total_steps: 10_000,
        }
    }

    #[test]
    fn cosine_has_the_golden_values() {
        // The reference gives four digits.
        const TOLERANCE: f64 = 5e-8;
        let s = golden(ScheduleKind::Cosine);
        let table = [
            (500, 2.5e-4),
            (1000, 5e-4),
            (3250, 4.341e-4),
            (5500, 2.75e-4),
            (7750, 1.159e-4),
            (10_000, 5e-5),
            (19_000, 5e-5),
        ];
        for (steps, want) in table {
            let gap = (s.at(steps) - want).abs();
            assert!(
                gap <= TOLERANCE,
                "{steps}: {} against {want}, gap {gap:e}",
                s.at(steps)
            );
            assert_eq!(s.lr(steps - 1), s.at(steps));
        }
    }

    #[test]
    fn the_first_step_learns_with_and_without_warmup() {
        for kind in [
            ScheduleKind::Constant,
            ScheduleKind::Linear,
            ScheduleKind::Cosine,
        ] {
            for warmup_steps in [0, 1, 7, 1000] {
                let s = Schedule {
                    warmup_steps,
                    ..golden(kind)
                };
                assert!(s.lr(0) > 0.0, "{kind:?} {warmup_steps}");
                let all = (0..11_000).map(|step| s.lr(step));
                assert!(all.clone().all(|lr| (0.0..=5e-4).contains(&lr)), "{kind:?}");
                let peak = all.fold(0.0, f64::max);
                assert!(
                    peak >= 5e-4 * 0.999,
                    "{kind:?} {warmup_steps}: never reaches {peak}"
                );
            }
        }
    }

    #[test]
    fn linear_is_half_way_in_the_middle_and_constant_stays() {
        assert!((golden(ScheduleKind::Linear).at(5500) - 2.75e-4).abs() < 1e-15);
        assert_eq!(golden(ScheduleKind::Constant).at(9_999_999), 5e-4);
    }

    #[test]
    fn a_run_that_is_all_warmup_ends_at_the_maximum() {
        let s = Schedule {
            total_steps: 1000,
            ..golden(ScheduleKind::Cosine)
        };
        assert_eq!(s.at(1000), 5e-4);
        assert_eq!(s.at(1001), 5e-5);
    }
}
