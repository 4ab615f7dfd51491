//! Score an answer by the words that it shares with the reference. Lesson: 06_evals.
//!
//! ```text
//! precision = common / words said      recall = common / words expected
//! F1 = 2 · precision · recall / (precision + recall)
//! ```
//!
//! A word counts as common as often as both texts have it. Case is no matter.

use std::collections::HashMap;

/// How often each word of `text` stands in it.
pub fn bag(text: &str) -> HashMap<String, usize> {
    let mut bag = HashMap::new();
    for word in text.to_lowercase().split_whitespace() {
        *bag.entry(word.to_owned()).or_insert(0) += 1;
    }
    bag
}

/// Words that both texts have.
pub fn common(said: &str, expected: &str) -> usize {
    let (said, expected) = (bag(said), bag(expected));
    let shared = |(word, &count): (&String, &usize)| both(count, expected.get(word).copied());
    said.iter().map(shared).sum()
}

/// How often a word counts that one text has `count` times and the other `other` times, if at all.
fn both(count: usize, other: Option<usize>) -> usize {
    count.min(other.unwrap_or(0))
}

/// F1 of the words, 0 where nothing is shared.
pub fn f1(said: &str, expected: &str) -> f64 {
    let size = |text: &str| text.split_whitespace().count() as f64;
    let (both, said, expected) = (common(said, expected) as f64, size(said), size(expected));
    if both == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (both / said, both / expected);
    2.0 * precision * recall / (precision + recall)
}
