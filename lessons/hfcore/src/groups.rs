//! Groups of answers to look at.

use llm_train::objective::{Graded, Rewarded};

/// Questions that are tried.
const TRIED: usize = 3;

/// The first question whose answers are neither all right nor all wrong, as the model reads it, and
/// eight answers to it; the last one tried where there is none.
///
/// # Errors
/// No question, or what the model reports.
pub fn a_mixed_group(rewarded: &Rewarded<'_>) -> llm_train::Result<(String, Vec<Graded>)> {
    let seeds = [0, 1, 2, 3, 4, 5, 6, 7];
    let (mut row, mut group) = (0, rewarded.group(0, &seeds)?);
    while row + 1 < TRIED.min(rewarded.asked.len()) && group.iter().all(|one| one.advantage == 0.0)
    {
        row += 1;
        group = rewarded.group(row, &seeds)?;
    }
    let question = rewarded.codec.decode(&rewarded.asked[row].prompt)?;
    Ok((question.trim().to_owned(), group))
}
