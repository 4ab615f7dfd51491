//! Hide the future. Lesson: 03_attention_math.
//!
//! ```text
//! query t stands at position S - T + t; it may read the keys s at or before its position
//! ```
//!
//! With a cache there are more keys than queries: the T queries are then the last of S tokens. What is
//! hidden must get exactly 0 from softmax, so think about which score has an exp of 0.

/// Scores `[T][S]`, T queries over S keys, with what a query must not read hidden.
pub fn mask_future(mut scores: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let queries = scores.len();
    for (t, row) in scores.iter_mut().enumerate() {
        let keys = row.len();
        for (s, score) in row.iter_mut().enumerate() {
            if is_future(t, s, queries, keys) {
                *score = hidden(*score);
            }
        }
    }
    scores
}

/// What becomes of a score that must not be seen.
fn hidden(score: f64) -> f64 {
    todo!("{score} becomes a score for which softmax gives exactly 0: which one?")
}

/// Whether key `s` lies behind query `t` of so many queries over so many keys.
fn is_future(t: usize, s: usize, queries: usize, keys: usize) -> bool {
    todo!("query {t} of {queries}: at which of {keys} positions does it stand, and is {s} later?")
}
