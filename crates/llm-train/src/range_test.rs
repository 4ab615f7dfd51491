//! Which learning rate? A range test.
//!
//! The rate rises exponentially from step to step, from one at which nothing happens to one at which
//! the run falls apart, `lr(i) = low · (high / low)^(i / (n − 1))`, and the loss of each step is
//! smoothed, `s ← β s + (1 − β) loss`, without the bias of its start. Three rates are read off:
//!
//! - where the smoothed loss **falls fastest** per factor of the rate,
//! - where it is **lowest**,
//! - where it **diverges**: it is a quarter above where it began, or is no number.
//!
//! The suggestion is the fastest fall, and at most a tenth of the rate of the lowest loss: behind it
//! the run already jumps about. Smith 2015.

use serde::Serialize;

use crate::config::Method;
use crate::schedule::{Schedule, ScheduleKind};
use crate::session::Session;
use crate::{Error, Result};

/// The memory of the smoothed loss.
const BETA: f64 = 0.9;
/// How far above its start the loss counts as diverged.
const DIVERGED: f64 = 1.25;
/// Steps at the start that say where the loss began.
const FIRST: usize = 5;
/// A fall smaller than this share of where the loss began is rounding.
const FALL: f64 = 1e-6;
/// Fewer points than this are no curve.
const LEAST_STEPS: u64 = 10;
/// More are a training run.
const MOST_STEPS: u64 = 100_000;

/// From where to where, in how many steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The first rate.
    pub low: f64,
    /// The last rate.
    pub high: f64,
    /// Steps from one to the other.
    pub steps: u64,
}

/// One step of the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The rate.
    pub lr: f64,
    /// The loss before this step's update.
    pub loss: f64,
    /// The smoothed loss.
    pub smooth: f64,
}

/// What the test found; a rate is `None` where the curve does not show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RangeTest {
    /// The steps up to the divergence or the end.
    pub points: Vec<Point>,
    /// Where the smoothed loss falls fastest.
    pub fastest: Option<f64>,
    /// Where it is lowest.
    pub lowest: Option<f64>,
    /// Where it diverges.
    pub diverged: Option<f64>,
    /// The rate to train with.
    pub suggested: Option<f64>,
}

impl Range {
    /// Fails on a range that is none.
    ///
    /// # Errors
    /// Rates out of order or too few steps.
    pub fn validate(&self) -> Result<()> {
        let Self { low, high, steps } = *self;
        if !(low > 0.0 && low < high && high <= 1e3) {
            let problem = format!("goes from {low:e} to {high:e}, expected 0 < low < high <= 1000");
            return Err(Error::input("learning rate range", problem));
        }
        if !(LEAST_STEPS..=MOST_STEPS).contains(&steps) {
            let problem = format!("has {steps} steps, expected {LEAST_STEPS} to {MOST_STEPS}");
            return Err(Error::input("learning rate range", problem));
        }
        Ok(())
    }

    /// The rate of step `index`, counted from 0.
    pub fn rate(&self, index: u64) -> f64 {
        let share = index as f64 / (self.steps - 1).max(1) as f64;
        self.low * (self.high / self.low).powf(share)
    }
}

impl Session {
    /// Runs the test on this session's model and data; `each` is told of every step. The model is
    /// spoilt afterwards and not saved.
    ///
    /// # Errors
    /// A range that is none, or what the model reports. A loss or gradient that is not finite is
    /// what the test looks for and no error.
    pub fn range_test(&self, range: Range, mut each: impl FnMut(&Point)) -> Result<RangeTest> {
        range.validate()?;
        if self.config.method == Method::Grpo {
            let problem = "is grpo, whose loss does not fall as rewards rise; expected another one";
            return Err(Error::input("learning rate range: `method`", problem));
        }
        let stepper = self.stepper(range.steps)?;
        let mut trainer = self.trainer(&self.model, stepper, range.steps);
        let mut walk = trainer.walk();
        let mut curve = Curve::default();
        for index in 0..range.steps {
            let lr = range.rate(index);
            trainer.stepper.schedule = constant(lr);
            let loss = match trainer.one_step(&mut walk) {
                Ok((report, _)) => report.loss,
                Err(Error::NotFinite { .. }) => f64::NAN,
                Err(error) => return Err(error),
            };
            let ends = !curve.push(lr, loss);
            if let Some(point) = curve.points.last() {
                each(point);
            }
            if ends {
                break;
            }
        }
        Ok(curve.read())
    }
}

fn constant(lr: f64) -> Schedule {
    Schedule {
        kind: ScheduleKind::Constant,
        max_lr: lr,
        min_lr: lr,
        warmup_steps: 0,
        total_steps: 0,
    }
}

/// The curve so far.
#[derive(Clone, Debug, Default)]
struct Curve {
    points: Vec<Point>,
    sum: f64,
    weight: f64,
    diverged: Option<f64>,
}

impl Curve {
    /// Adds a step; false when it diverged.
    fn push(&mut self, lr: f64, loss: f64) -> bool {
        if !loss.is_finite() {
            self.diverged = Some(lr);
            return false;
        }
        self.sum = BETA * self.sum + (1.0 - BETA) * loss;
        self.weight = BETA * self.weight + (1.0 - BETA);
        let smooth = self.sum / self.weight;
        self.points.push(Point { lr, loss, smooth });
        if self.points.len() > FIRST && smooth > DIVERGED * self.began() {
            self.diverged = Some(lr);
        }
        self.diverged.is_none()
    }

    /// The mean loss of the first steps.
    fn began(&self) -> f64 {
        let first = &self.points[..self.points.len().min(FIRST)];
        first.iter().map(|point| point.loss).sum::<f64>() / first.len().max(1) as f64
    }

    fn read(self) -> RangeTest {
        let began = self.began();
        let place = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1);
        let smooth = self.points.iter().map(|point| point.smooth).enumerate();
        let lowest = smooth.min_by(place).map_or(0, |(index, _)| index);
        // Slopes over the logarithm of the rate, whose steps are equal: differences will do.
        let slopes = self.points[..self.points.len().min(lowest + 1)].windows(2);
        let falls = slopes
            .map(|pair| pair[1].smooth - pair[0].smooth)
            .enumerate();
        let fastest = falls
            .min_by(place)
            .filter(|&(_, slope)| slope < -FALL * began.abs())
            .map(|(index, _)| self.points[index].lr);
        let lowest = fastest.map(|_| self.points[lowest].lr);
        let suggested = fastest.zip(lowest).map(|(a, b)| a.min(b / 10.0));
        RangeTest {
            points: self.points,
            fastest,
            lowest,
            diverged: self.diverged,
            suggested,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range = Range {
        low: 1e-6,
        high: 10.0,
        steps: 141, // 20 for each factor of ten
    };

    /// A loss of 4 that falls to 1 around a rate of 1e-3 and explodes above 1e-1.
    fn scripted(lr: f64) -> f64 {
        let place = lr.log10();
        let fall = 3.0 / (1.0 + (-(place + 3.0) * 6.0).exp());
        let rise = ((place + 1.0) * 4.0).exp();
        4.0 - fall + rise
    }

    fn curve(loss: impl Fn(f64) -> f64) -> RangeTest {
        let mut curve = Curve::default();
        let rates = (0..RANGE.steps).map(|index| RANGE.rate(index));
        for lr in rates {
            if !curve.push(lr, loss(lr)) {
                break;
            }
        }
        curve.read()
    }

    #[test]
    fn rates_rise_by_one_factor_from_end_to_end() {
        assert_eq!(RANGE.rate(0), 1e-6);
        assert!((RANGE.rate(140) / 10.0 - 1.0).abs() < 1e-12);
        let factor = RANGE.rate(1) / RANGE.rate(0);
        for index in 1..140 {
            let gap = RANGE.rate(index + 1) / RANGE.rate(index) / factor - 1.0;
            assert!(gap.abs() < 1e-12, "{index}: {gap}");
        }
    }

    #[test]
    fn a_scripted_curve_is_read_at_its_rates() {
        let test = curve(scripted);
        // Smoothing over some ten steps shifts what is read by up to a factor of four.
        let near = |found: Option<f64>, at: f64| {
            let found = found.unwrap();
            assert!(
                found > at / 4.0 && found < at * 4.0,
                "{found} is not near {at}"
            );
        };
        near(test.fastest, 1e-3);
        near(test.lowest, 3e-2);
        near(test.diverged, 0.16);
        assert!(test.suggested.unwrap() <= test.lowest.unwrap() / 10.0);
        assert!(test.suggested.unwrap() > 1e-4);
        assert!(test.points.len() < 141, "the rest is not run");
    }

    #[test]
    fn a_loss_that_is_no_number_is_the_divergence() {
        let test = curve(|lr| if lr > 1e-2 { f64::NAN } else { scripted(lr) });
        let diverged = test.diverged.unwrap();
        assert!((1e-2..1.2e-2).contains(&diverged), "{diverged}");
        assert!(test.points.iter().all(|point| point.lr <= 1e-2));
    }

    #[test]
    fn a_flat_or_rising_curve_suggests_nothing() {
        for loss in [(|_| 4.0) as fn(f64) -> f64, |lr| 4.0 + lr] {
            let test = curve(loss);
            assert_eq!(
                (test.fastest, test.lowest, test.suggested),
                (None, None, None)
            );
        }
        assert_eq!(curve(|_| f64::NAN).points.len(), 0);
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        for (low, high, steps) in [
            (0.0, 1.0, 50),
            (1.0, 1.0, 50),
            (1e-6, 1e4, 50),
            (1e-6, 1.0, 9),
        ] {
            let range = Range { low, high, steps };
            assert_eq!(range.validate().unwrap_err().exit_code(), 2, "{range:?}");
        }
        assert!(
            Range {
                low: f64::NAN,
                ..RANGE
            }
            .validate()
            .is_err()
        );
    }
}
