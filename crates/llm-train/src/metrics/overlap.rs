//! Words in common: the answer scores of SQuAD, and Jaccard's index.

use std::collections::{HashMap, HashSet};

use unicode_normalization::char::is_combining_mark;

use super::words::{Overlap, common, counts, words};

/// What SQuAD leaves out, beside punctuation and case.
const ARTICLES: [&str; 3] = ["a", "an", "the"];

/// `text` as SQuAD compares it: lower case, without ASCII punctuation and articles, one space
/// between words.
///
/// ```
/// use llm_train::metrics::overlap::normalised;
/// assert_eq!(normalised(" The  Heart-rate, a sign!"), "heartrate sign");
/// ```
pub fn normalised(text: &str) -> String {
    let lower = text.to_lowercase();
    let plain: String = lower
        .chars()
        .filter(|letter| !letter.is_ascii_punctuation())
        .collect();
    words(&without_articles(&plain))
        .collect::<Vec<_>>()
        .join(" ")
}

/// `text` with a space for each article that stands alone.
fn without_articles(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    // Runs of letters and digits, each with the one other character behind it
    let between = |letter: char| !is_word(letter);
    for run in text.split_inclusive(between) {
        let word = run.trim_end_matches(between);
        kept.push_str(if ARTICLES.contains(&word) { " " } else { word });
        kept.push_str(&run[word.len()..]);
    }
    kept
}

/// Whether Python's `\w` takes `letter` for a part of a word: Unicode's letters and numbers, but not
/// the vowel signs and the letters in circles that are alphabetic without being letters.
fn is_word(letter: char) -> bool {
    let circled = matches!(letter, '\u{24b6}'..='\u{24e9}' | '\u{1f130}'..='\u{1f149}'
        | '\u{1f150}'..='\u{1f169}' | '\u{1f170}'..='\u{1f189}');
    letter.is_alphanumeric() && !circled && !is_combining_mark(letter)
}

/// Whether both texts are the same after [`normalised`]: the exact match of SQuAD, more lenient
/// than [`crate::evaluate::exact_match`].
pub fn normalised_match(prediction: &str, reference: &str) -> bool {
    normalised(prediction) == normalised(reference)
}

/// Precision, recall and F1 over the bags of [`normalised`] words. Two texts without words agree
/// fully, as in SQuAD 2.0, where "no answer" is an answer.
pub fn squad(prediction: &str, reference: &str) -> Overlap {
    let (prediction, reference) = (normalised(prediction), normalised(reference));
    let (predicted, expected) = (counts(words(&prediction)), counts(words(&reference)));
    let total = |bag: &HashMap<&str, usize>| bag.values().sum::<usize>();
    match (total(&predicted), total(&expected)) {
        (0, 0) => Overlap::of(1, 1, 1),
        (p, e) => Overlap::of(common(&predicted, &expected), p, e),
    }
}

/// The F1 of [`squad`].
pub fn f1(prediction: &str, reference: &str) -> f64 {
    squad(prediction, reference).f1
}

/// `∣A ∩ B∣ / ∣A ∪ B∣` over the sets of lower-case words between white space; 1 when both texts
/// have no words.
pub fn jaccard(a: &str, b: &str) -> f64 {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let (a, b): (HashSet<&str>, HashSet<&str>) = (words(&a).collect(), words(&b).collect());
    let both = a.intersection(&b).count();
    match a.len() + b.len() - both {
        0 => 1.0,
        either => both as f64 / either as f64,
    }
}

/// The share of `predicted` that equals `expected` at its place; `None` when there is nothing to
/// compare or the lengths differ.
pub fn accuracy<T: PartialEq>(predicted: &[T], expected: &[T]) -> Option<f64> {
    let comparable = !expected.is_empty() && predicted.len() == expected.len();
    let hits = || {
        predicted
            .iter()
            .zip(expected)
            .filter(|(p, e)| p == e)
            .count()
    };
    comparable.then(|| hits() as f64 / expected.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_go_only_as_whole_words() {
        assert_eq!(
            normalised("A theatre, an anthem; the ANT"),
            "theatre anthem ant"
        );
        // A letter and its accent as two characters: the accent is no letter, so `a` stands alone.
        assert_eq!(normalised("a\u{301} b"), "\u{301} b");
        assert_eq!(normalised("x_a_y"), "xay");
        // A vowel sign and a letter in a circle are no letters either.
        assert_eq!(normalised("\u{924}\u{947}the"), "\u{924}\u{947}");
        assert_eq!(normalised("\u{24b6}an"), "\u{24d0}");
    }

    #[test]
    fn jaccard_of_known_sets() {
        // {the, cat, sat} and {the, dog, sat}: two of four.
        assert_eq!(jaccard("the cat sat", "The dog sat the"), 0.5);
        assert_eq!(jaccard("", " \n"), 1.0);
        assert_eq!(jaccard("", "word"), 0.0);
    }

    #[test]
    fn accuracy_needs_as_many_of_both() {
        assert_eq!(accuracy(&[1, 2, 3, 4], &[1, 2, 0, 4]), Some(0.75));
        assert_eq!(accuracy(&[1], &[1, 2]), None);
        assert_eq!(accuracy::<u8>(&[], &[]), None);
    }
}
