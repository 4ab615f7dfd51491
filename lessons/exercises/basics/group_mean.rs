//! The mean of a group when some values are unknown. Lesson: 00_polars.
//!
//! ```text
//! mean = sum of the known values / number of the known values
//! ```
//!
//! A row is a source and a score; `None` is a score that nobody gave. It is not 0. A group of which
//! nothing is known has no mean.

/// A source and its score.
pub type Row<'a> = (&'a str, Option<f64>);

/// The mean score of the rows whose source is `group`.
pub fn group_mean(rows: &[Row], group: &str) -> Option<f64> {
    mean(&known_scores(rows, group))
}

/// The scores of `group`, unknown ones left out.
fn known_scores(rows: &[Row], group: &str) -> Vec<f64> {
    todo!(
        "which scores of the {} rows belong to {group}, and which of these are known?",
        rows.len()
    )
}

/// The mean of some numbers.
fn mean(scores: &[f64]) -> Option<f64> {
    todo!("what is the mean of {scores:?}, and what if there are none?")
}
