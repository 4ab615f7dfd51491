//! Training and held-out rows.

use std::collections::{BTreeMap, HashSet};

use llm_core::rng::{Purpose, stream};
use rand::seq::SliceRandom;

use super::Row;
use crate::{Error, Result};

/// Rows of each part, in their original order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Rows to train on.
    pub train: Vec<Row>,
    /// Rows to measure on.
    pub validation: Vec<Row>,
}

/// Holds out about `fraction` of the rows, chosen by `seed`.
///
/// Rows with the same prompt (but for case and white space) stay together: a question that was
/// trained on would otherwise measure memory.
///
/// # Errors
/// A fraction outside `0..1`, or one that leaves a part empty.
pub fn split_rows(rows: Vec<Row>, fraction: f64, seed: u64) -> Result<Split> {
    let (train, validation) = split_by(rows, fraction, seed, |row| row)?;
    Ok(Split { train, validation })
}

/// As [`split_rows`] for things with a row: those to train on, and those held out.
///
/// # Errors
/// As [`split_rows`].
pub(crate) fn split_by<T>(
    all: Vec<T>,
    fraction: f64,
    seed: u64,
    row: impl Fn(&T) -> &Row,
) -> Result<(Vec<T>, Vec<T>)> {
    if !(0.0..1.0).contains(&fraction) {
        return Err(Error::input(
            "validation_fraction",
            format!("is {fraction}, expected 0 ≤ f < 1"),
        ));
    }
    if fraction == 0.0 {
        return Ok((all, Vec::new()));
    }
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, one) in all.iter().enumerate() {
        groups.entry(key(row(one))).or_default().push(index);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.shuffle(&mut stream(seed, Purpose::Split));
    let wanted = ((all.len() as f64 * fraction).round() as usize).max(1);
    let mut held = HashSet::new();
    // The last group always trains.
    for group in groups.iter().take(groups.len().saturating_sub(1)) {
        if held.len() >= wanted {
            break;
        }
        held.extend(group.iter().copied());
    }
    if held.is_empty() {
        let problem = "leaves no rows to hold out: all rows have the same prompt";
        return Err(Error::input("validation_fraction", problem));
    }
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for (index, one) in all.into_iter().enumerate() {
        if held.contains(&index) {
            &mut validation
        } else {
            &mut train
        }
        .push(one);
    }
    Ok((train, validation))
}

/// The number of held-out rows whose prompt is also trained on.
pub fn overlap(split: &Split) -> usize {
    let trained: HashSet<String> = split.train.iter().map(key).collect();
    split
        .validation
        .iter()
        .filter(|row| trained.contains(&key(row)))
        .count()
}

/// The prompt as two rows are compared: lower case, white space as single spaces.
fn key(row: &Row) -> String {
    let words: Vec<String> = row
        .prompt()
        .iter()
        .flat_map(|message| message.content.split_whitespace())
        .map(str::to_lowercase)
        .collect();
    words.join(" ")
}
