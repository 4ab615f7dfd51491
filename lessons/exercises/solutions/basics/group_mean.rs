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
    let own = rows.iter().filter(|(source, _)| *source == group);
    own.filter_map(|(_, score)| *score).collect()
}

/// The mean of some numbers.
fn mean(scores: &[f64]) -> Option<f64> {
    (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}
