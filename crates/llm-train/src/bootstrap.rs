//! Intervals by resampling rows.
//!
//! Held-out sets are small, so a difference between two models is reported with the range that
//! resampling the *rows* gives it: rows are drawn with replacement, both models keep their values
//! of a drawn row (paired), and the 2.5 % and 97.5 % quantiles of the difference are the interval
//! (the percentile method, Efron 1979). Seeded, so the interval is a function of the data.

use llm_core::rng::{Purpose, stream};
use rand::Rng;

use crate::{Error, Result};

/// Resamples that make the ends of a 95 % interval repeatable to about 2 % of its width.
pub const RESAMPLES: usize = 10_000;

/// A value with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Interval {
    /// The value on the rows as they are.
    pub value: f64,
    /// The 2.5 % quantile of the resamples.
    pub low: f64,
    /// The 97.5 % quantile of the resamples.
    pub high: f64,
}

impl Interval {
    /// Whether zero lies outside: the difference is larger than the rows' own scatter.
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// A share of right answers with its 95 % score interval (Wilson 1927), which unlike resampling has
/// a width where all answers are right.
pub fn proportion(right: usize, all: usize) -> Interval {
    /// The 97.5 % quantile of the normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    let (n, share) = (all.max(1) as f64, right as f64 / all.max(1) as f64);
    let scale = 1.0 + Z * Z / n;
    let middle = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    Interval {
        value: share,
        low: (middle - half).max(0.0),
        high: (middle + half).min(1.0),
    }
}

/// One row's part in a ratio of sums: a loss and its tokens, or a hit and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Summed over rows in the numerator.
    pub sum: f64,
    /// Summed over rows in the denominator.
    pub weight: f64,
}

/// The value `Σ sum / Σ weight` of rows, with its interval.
///
/// # Errors
/// As [`paired_difference`].
pub fn interval(parts: &[Part], resamples: usize, seed: u64) -> Result<Interval> {
    // The difference to rows of value 0: their ratio is 0 in every draw.
    let nothing = |_: &Part| Part {
        sum: 0.0,
        weight: 1.0,
    };
    let zeros: Vec<Part> = parts.iter().map(nothing).collect();
    paired_difference(&zeros, parts, resamples, seed)
}

/// The difference `Σ after / Σ weight − Σ before / Σ weight` over paired rows, with its interval.
///
/// # Errors
/// No rows, another number of rows on each side, or a row whose weight is not positive.
pub fn paired_difference(
    before: &[Part],
    after: &[Part],
    resamples: usize,
    seed: u64,
) -> Result<Interval> {
    if before.is_empty() || before.len() != after.len() {
        let problem = format!("{} rows before and {} after", before.len(), after.len());
        return Err(Error::input("bootstrap", problem));
    }
    let heavy = |part: &Part| part.weight > 0.0 && part.sum.is_finite();
    if !before.iter().chain(after).all(heavy) {
        return Err(Error::input(
            "bootstrap",
            "a row has no weight or no finite value",
        ));
    }
    let n = before.len();
    let mut rng = stream(seed, Purpose::Bootstrap);
    let mut draws: Vec<f64> = (0..resamples.max(1))
        .map(|_| difference((0..n).map(|_| rng.random_range(0..n)), before, after))
        .collect();
    draws.sort_by(f64::total_cmp);
    let value = difference(0..n, before, after);
    Ok(Interval {
        value,
        low: quantile(&draws, 0.025),
        high: quantile(&draws, 0.975),
    })
}

fn difference(rows: impl Iterator<Item = usize>, before: &[Part], after: &[Part]) -> f64 {
    let zero = Part {
        sum: 0.0,
        weight: 0.0,
    };
    let add = |a: Part, b: Part| Part {
        sum: a.sum + b.sum,
        weight: a.weight + b.weight,
    };
    let (b, a) = rows.fold((zero, zero), |(b, a), row| {
        (add(b, before[row]), add(a, after[row]))
    });
    a.sum / a.weight - b.sum / b.weight
}

/// The quantile `q` of sorted values, between neighbours by linear interpolation.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (below, share) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * share
}

#[cfg(test)]
mod tests {
    use llm_core::rng::standard_normal;

    use super::*;

    #[test]
    fn score_intervals_of_shares() {
        // Ends are the roots of (share − p)² = z² p (1 − p) / n.
        for (right, all) in [(0, 10), (1, 10), (95, 100), (100, 100), (7, 12)] {
            let found = proportion(right, all);
            let share = right as f64 / all as f64;
            for p in [found.low, found.high] {
                let z2 = 1.959_963_984_540_054_f64.powi(2);
                let left = (share - p).powi(2);
                assert!(
                    (left - z2 * p * (1.0 - p) / all as f64).abs() < 1e-12,
                    "{right}/{all}"
                );
            }
            assert!(found.low <= share && share <= found.high);
        }
        assert!(proportion(100, 100).low > 0.96 && proportion(100, 100).low < 0.97);
    }

    fn ones(values: &[f64]) -> Vec<Part> {
        values
            .iter()
            .map(|&sum| Part { sum, weight: 1.0 })
            .collect()
    }

    #[test]
    fn a_constant_shift_has_an_interval_of_no_width() {
        let before = ones(&[1.0, 2.0, 5.0]);
        let after = ones(&[0.5, 1.5, 4.5]);
        let interval = paired_difference(&before, &after, 500, 7).unwrap();
        // Sums of three numbers and a division: a few units in the last place.
        for value in [interval.value, interval.low, interval.high] {
            assert!((value + 0.5).abs() <= 1e-14, "{interval:?}");
        }
        assert!(interval.excludes_zero());
    }

    #[test]
    fn the_interval_has_the_width_of_the_normal_approximation() {
        // n = 400 paired differences from N(0.3, 1): ±1.96 / √400 = ±0.098. The quantiles of 4,000
        // resamples and the sample's own deviation scatter by some 5 % each.
        const RELATIVE: f64 = 0.15;
        let mut rng = stream(11, Purpose::Demo);
        let before: Vec<f64> = (0..400).map(|_| standard_normal(&mut rng)).collect();
        let after: Vec<f64> = before
            .iter()
            .map(|b| b + 0.3 + standard_normal(&mut rng))
            .collect();
        let interval = paired_difference(&ones(&before), &ones(&after), 4000, 7).unwrap();
        let half = (interval.high - interval.low) / 2.0;
        let gap = (half / 0.098 - 1.0).abs();
        assert!(
            gap <= RELATIVE,
            "half width {half}, off by {gap}, tolerance {RELATIVE}"
        );
        assert!(interval.low < interval.value && interval.value < interval.high);
        let again = paired_difference(&ones(&before), &ones(&after), 4000, 7).unwrap();
        assert_eq!(interval, again);
    }

    #[test]
    fn an_interval_of_one_set_is_around_its_own_ratio() {
        let part = |sum, weight| Part { sum, weight };
        let rows = [
            part(1.0, 4.0),
            part(0.0, 1.0),
            part(3.0, 3.0),
            part(1.0, 2.0),
        ];
        let found = interval(&rows, 2000, 7).unwrap();
        assert_eq!(found.value, 0.5);
        assert!((0.0..0.5).contains(&found.low) && found.high > 0.5 && found.high <= 1.0);
        assert!(interval(&[], 10, 7).is_err());
    }

    #[test]
    fn rows_weigh_by_their_tokens() {
        let part = |sum, weight| Part { sum, weight };
        let before = [part(10.0, 10.0), part(2.0, 1.0)];
        let after = [part(5.0, 10.0), part(2.0, 1.0)];
        let value = paired_difference(&before, &after, 10, 1).unwrap().value;
        assert!((value - (7.0 / 11.0 - 12.0 / 11.0)).abs() < 1e-15);
    }

    #[test]
    fn nothing_to_compare_is_an_error() {
        assert!(paired_difference(&[], &[], 10, 1).is_err());
        assert!(paired_difference(&ones(&[1.0]), &ones(&[1.0, 2.0]), 10, 1).is_err());
        let weightless = [Part {
            sum: 0.0,
            weight: 0.0,
        }];
        assert!(paired_difference(&weightless, &weightless, 10, 1).is_err());
    }
}
