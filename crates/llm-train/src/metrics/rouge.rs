//! ROUGE (Lin 2004), with the words and the arithmetic of the package `rouge-score` without its
//! stemmer.
//!
//! A word is a run of `a`–`z` and `0`–`9` of the lower-cased text; everything else separates. So an
//! accented letter cuts its word in two, and a text in another script has no words and scores 0
//! even against itself: the measure is for English.

use super::words::{Overlap, common, counts};

/// The three scores of a pair of texts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rouge {
    /// Single words.
    pub rouge1: Overlap,
    /// Pairs of neighbouring words.
    pub rouge2: Overlap,
    /// The longest common subsequence of words.
    pub rouge_l: Overlap,
}

/// ROUGE-1, ROUGE-2 and ROUGE-L of a prediction.
///
/// ```
/// let scores = llm_train::metrics::rouge::rouge("a b c", "a c b");
/// assert_eq!(scores.rouge1.f1, 1.0);
/// assert_eq!(scores.rouge2.f1, 0.0);
/// assert_eq!(scores.rouge_l.recall, 2.0 / 3.0);
/// ```
pub fn rouge(prediction: &str, reference: &str) -> Rouge {
    let (prediction, reference) = (prediction.to_lowercase(), reference.to_lowercase());
    let (predicted, expected) = (tokens(&prediction), tokens(&reference));
    let subsequence = longest_common_subsequence(&predicted, &expected);
    Rouge {
        rouge1: ngrams(&predicted, &expected, 1),
        rouge2: ngrams(&predicted, &expected, 2),
        rouge_l: Overlap::of(subsequence, predicted.len(), expected.len()),
    }
}

/// The words of a lower-cased text.
fn tokens(lower: &str) -> Vec<&str> {
    lower
        .split(|letter: char| !(letter.is_ascii_lowercase() || letter.is_ascii_digit()))
        .filter(|word| !word.is_empty())
        .collect()
}

/// The overlap of all runs of `n` words.
fn ngrams(predicted: &[&str], expected: &[&str], n: usize) -> Overlap {
    let number = |words: &[&str]| (words.len() + 1).saturating_sub(n);
    let shared = common(&counts(predicted.windows(n)), &counts(expected.windows(n)));
    Overlap::of(shared, number(predicted), number(expected))
}

/// The length of the longest sequence of words that both texts hold in this order, gaps allowed.
///
/// One row of the table at a time: `|a| · |b|` steps, `|b|` numbers of memory.
fn longest_common_subsequence(a: &[&str], b: &[&str]) -> usize {
    let mut above = vec![0; b.len() + 1];
    for word in a {
        let mut corner = 0; // the entry above and to the left
        let mut left = 0;
        for (entry, other) in above.iter_mut().skip(1).zip(b) {
            let here = match word == other {
                true => corner + 1,
                false => left.max(*entry),
            };
            corner = std::mem::replace(entry, here);
            left = here;
        }
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_ascii_runs() {
        assert_eq!(tokens("l'été, 3.5 kg_x"), ["l", "t", "3", "5", "kg", "x"]);
        assert!(tokens("日本語 …").is_empty());
    }

    #[test]
    fn subsequences_of_known_length() {
        let words = |text: &'static str| text.split(' ').collect::<Vec<_>>();
        let length = |a, b| longest_common_subsequence(&words(a), &words(b));
        assert_eq!(length("x a y b z c", "a b c"), 3);
        assert_eq!(length("a b c d e", "e d c b a"), 1);
        assert_eq!(length("a a a", "a a"), 2);
        assert_eq!(longest_common_subsequence(&[], &words("a")), 0);
    }
}
