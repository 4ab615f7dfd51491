//! Words and counts that several metrics share.

use std::collections::HashMap;
use std::hash::Hash;

/// Whether Python's `str.split` and `str.strip` take `letter` for white space: Unicode's property
/// and the four separators of ASCII, which Unicode leaves out.
pub(super) fn is_space(letter: char) -> bool {
    letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter)
}

/// The words of `text` between white space.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// How often each of `items` occurs.
pub(super) fn counts<T: Eq + Hash>(items: impl IntoIterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

/// How many items two bags have in common, each as often as it occurs in both.
pub(super) fn common<T: Eq + Hash>(a: &HashMap<T, usize>, b: &HashMap<T, usize>) -> usize {
    a.iter()
        .filter_map(|(item, &count)| b.get(item).map(|&other| count.min(other)))
        .sum()
}

/// Shares of what was said and of what should have been said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overlap {
    /// The share of the prediction that stands in the reference, 0 to 1.
    pub precision: f64,
    /// The share of the reference that stands in the prediction, 0 to 1.
    pub recall: f64,
    /// Their harmonic mean, 0 when both are 0.
    pub f1: f64,
}

impl Overlap {
    /// From `common` items of `predicted` and `expected` ones; an empty side counts as one item.
    pub(super) fn of(common: usize, predicted: usize, expected: usize) -> Self {
        let precision = common as f64 / predicted.max(1) as f64;
        let recall = common as f64 / expected.max(1) as f64;
        let f1 = match common {
            0 => 0.0,
            _ => 2.0 * precision * recall / (precision + recall),
        };
        Self {
            precision,
            recall,
            f1,
        }
    }
}
