//! BLEU (Papineni et al. 2002) with the defaults of `sacrebleu`: words by the rules of WMT's
//! `mteval-v13a`, letters in their case, n-grams up to 4, exponential smoothing.
//!
//! `BLEU = 100 · min(1, e^(1 − r/h)) · exp(¼ Σₙ ln pₙ)` with `h` and `r` words in all predictions
//! and references, and `pₙ` the share of the predictions' n-grams that occur in their reference. An
//! order without any match counts as `1 / (2ᵏ · total)`, `k` being how many orders were so far.

use std::iter::Sum;

use super::words::{common, counts, is_space, words};

/// The longest n-grams that count.
pub const MAX_ORDER: usize = 4;

/// What BLEU is computed from; counts of rows add up to those of a corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BleuCounts {
    /// n-grams of the prediction that occur in the reference, by n − 1.
    pub matches: [usize; MAX_ORDER],
    /// n-grams of the prediction, by n − 1.
    pub totals: [usize; MAX_ORDER],
    /// Words of the prediction.
    pub predicted: usize,
    /// Words of the reference.
    pub expected: usize,
}

impl BleuCounts {
    /// The counts of one row.
    pub fn of(prediction: &str, reference: &str) -> Self {
        let (predicted, expected) = (tokens(prediction), tokens(reference));
        let mut counted = Self {
            predicted: predicted.len(),
            expected: expected.len(),
            ..Self::default()
        };
        let orders = counted.matches.iter_mut().zip(&mut counted.totals);
        for (n, (matches, total)) in (1..).zip(orders) {
            let bags = (counts(predicted.windows(n)), counts(expected.windows(n)));
            *matches = common(&bags.0, &bags.1);
            *total = (predicted.len() + 1).saturating_sub(n);
        }
        counted
    }

    /// BLEU over all four orders, 0 to 100: `corpus_bleu`.
    ///
    /// 0 when nothing matches, and also when no prediction has four words.
    pub fn score(&self) -> f64 {
        self.up_to(MAX_ORDER)
    }

    /// BLEU over the orders that the predictions are long enough for: `sentence_bleu`.
    pub fn sentence_score(&self) -> f64 {
        self.up_to(self.totals.iter().take_while(|&&total| total > 0).count())
    }

    fn up_to(&self, orders: usize) -> f64 {
        let counted = || self.matches.iter().zip(&self.totals).take(orders);
        let any_match = counted().any(|(&matches, _)| matches > 0);
        if !any_match || counted().any(|(_, &total)| total == 0) {
            return 0.0;
        }
        let mut smoothing = 1.0;
        let mut logarithms = 0.0;
        for (&matches, &total) in counted() {
            let matches = match matches {
                0 => {
                    smoothing *= 2.0;
                    1.0 / smoothing
                }
                some => some as f64,
            };
            logarithms += (100.0 * matches / total as f64).ln();
        }
        self.brevity() * (logarithms / orders as f64).exp()
    }

    /// The penalty for predictions that are shorter than their references.
    fn brevity(&self) -> f64 {
        match self.predicted < self.expected {
            true => (1.0 - self.expected as f64 / self.predicted as f64).exp(),
            false => 1.0,
        }
    }
}

impl Sum for BleuCounts {
    fn sum<I: Iterator<Item = Self>>(rows: I) -> Self {
        rows.fold(Self::default(), |mut sum, row| {
            let add = |sums: &mut [usize], row: [usize; MAX_ORDER]| {
                sums.iter_mut().zip(row).for_each(|(sum, row)| *sum += row);
            };
            add(&mut sum.matches, row.matches);
            add(&mut sum.totals, row.totals);
            sum.predicted += row.predicted;
            sum.expected += row.expected;
            sum
        })
    }
}

/// The BLEU of one row by itself, 0 to 100, over the orders that the prediction is long enough for.
pub fn sentence_bleu(prediction: &str, reference: &str) -> f64 {
    BleuCounts::of(prediction, reference).sentence_score()
}

/// The words of `text` by the rules of `mteval-v13a`: four HTML entities are read, symbols stand
/// alone, full stops and commas too unless they stand between digits, dashes after a digit.
///
/// ```
/// let words = llm_train::metrics::bleu::tokens("1,000.5 &amp; \"so-so\", 3-4.");
/// assert_eq!(words, ["1,000.5", "&", "\"", "so-so", "\"", ",", "3", "-", "4", "."]);
/// ```
pub fn tokens(text: &str) -> Vec<String> {
    let text = text
        .trim_end_matches(is_space)
        .replace("<skipped>", "")
        .replace("-\n", "")
        .replace('\n', " ")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">");
    // The blanks at both ends are neighbours that the rules below look at.
    let mut letters = vec![' '];
    for letter in text.chars() {
        match is_symbol(letter) {
            true => letters.extend([' ', letter, ' ']),
            false => letters.push(letter),
        }
    }
    letters.push(' ');
    let is_point = |letter| letter == '.' || letter == ',';
    let after = |a, b| [a, ' ', b, ' '];
    let before = |a, b| [' ', a, ' ', b];
    let letters = spread(&letters, |a, b| !a.is_ascii_digit() && is_point(b), after);
    let letters = spread(&letters, |a, b| is_point(a) && !b.is_ascii_digit(), before);
    let letters = spread(&letters, |a, b| a.is_ascii_digit() && b == '-', after);
    let text: String = letters.into_iter().collect();
    words(&text).map(str::to_owned).collect()
}

/// ASCII symbols but the apostrophe, comma, dash and full stop.
fn is_symbol(letter: char) -> bool {
    letter.is_ascii_punctuation() && !matches!(letter, '\'' | ',' | '-' | '.')
}

/// `letters` with each pair that `hit` finds replaced by `blanks` of it, from left to right; a
/// letter belongs to one pair only.
fn spread(
    letters: &[char],
    hit: impl Fn(char, char) -> bool,
    blanks: impl Fn(char, char) -> [char; 4],
) -> Vec<char> {
    let mut spread = Vec::with_capacity(letters.len());
    let mut rest = letters;
    loop {
        rest = match rest {
            [a, b, rest @ ..] if hit(*a, *b) => {
                spread.extend(blanks(*a, *b));
                rest
            }
            [a, rest @ ..] => {
                spread.push(*a);
                rest
            }
            [] => return spread,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_belongs_to_one_pair_only() {
        assert_eq!(tokens("a.., 5.. .5"), ["a", ".", ".", ",", "5", ".", ".", ".", "5"]);
        assert_eq!(tokens("10-\n20 10-20-30"), ["1020", "10", "-", "20", "-", "30"]);
        assert_eq!(tokens("&amp;lt; it's x.y"), ["<", "it's", "x", ".", "y"]);
        assert!(tokens(" \u{1c}\n").is_empty());
    }

    #[test]
    fn three_words_have_no_corpus_bleu_but_a_sentence_bleu() {
        let counts = BleuCounts::of("one two three", "one two three");
        assert_eq!(counts.score(), 0.0);
        // Sums of three logarithms of 100: the last places.
        assert!((counts.sentence_score() - 100.0).abs() < 1e-12);
        assert_eq!(sentence_bleu("", "one"), 0.0);
        assert_eq!(sentence_bleu("two", "one"), 0.0);
    }

    #[test]
    fn orders_without_a_match_are_smoothed() {
        // One word of two matches, no pair does: p₁ = 50, p₂ = 100 / (2 · 1), equal lengths.
        let score = sentence_bleu("cold tea", "cold milk");
        assert!((score - 50.0).abs() < 1e-12, "{score}");
        // Two words against three: e^(1 − 3/2).
        let short = sentence_bleu("cold green", "cold green tea");
        assert!((short - 100.0 * (-0.5_f64).exp()).abs() < 1e-12, "{short}");
    }
}
