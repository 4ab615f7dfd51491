//! How close a generated text comes to a reference, by the definitions that reports quote.
//!
//! | metric | what is compared | the same numbers as |
//! |---|---|---|
//! | exact match | the texts, white space at both ends aside | |
//! | F1 | bags of words without case, punctuation and articles | SQuAD 2.0's script |
//! | Jaccard | sets of lower-case words, `∣A ∩ B∣ / ∣A ∪ B∣` | |
//! | ROUGE-1, -2, -L | n-grams and the longest common subsequence (Lin 2004), F-measure | `rouge-score`, no stemmer |
//! | BLEU | n-grams up to 4 of the whole corpus (Papineni et al. 2002) | `sacrebleu`, its defaults |
//!
//! All but BLEU are between 0 and 1 and are averaged over rows; BLEU is between 0 and 100, counts
//! over all rows at once, and is therefore no mean of the rows' own values. The prediction is what
//! the model said *after* the prompt: cutting the prompt off is the caller's work.
//!
//! ```
//! use llm_train::metrics::{Pair, corpus, row};
//! let scores = row("the cat sat", "The cat sat down.");
//! assert_eq!(scores.exact_match, 0.0);
//! assert_eq!(scores.rouge1, 6.0 / 7.0); // precision 3/3, recall 3/4
//! let pair = Pair { prediction: "it rains a lot".into(), reference: "it rains a lot".into() };
//! assert_eq!(corpus(&[pair]).bleu.round(), 100.0);
//! ```
//!
//! [`likelihood`] has what needs no reference but the model's own probabilities: perplexity and
//! bits per byte.

pub mod bleu;
pub mod likelihood;
pub mod overlap;
pub mod rouge;
mod words;

use serde::{Deserialize, Serialize};

use bleu::BleuCounts;
pub use words::Overlap;

/// What a model said, and what it should have said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The generated text, without its prompt.
    pub prediction: String,
    /// The text of the data.
    pub reference: String,
}

/// The scores of one row, each between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowScores {
    /// 1 when both texts are the same after stripping white space at the ends, else 0.
    pub exact_match: f64,
    /// [`overlap::f1`].
    pub f1: f64,
    /// [`overlap::jaccard`].
    pub jaccard: f64,
    /// The F-measure of single words.
    pub rouge1: f64,
    /// The F-measure of pairs of words.
    pub rouge2: f64,
    /// The F-measure of the longest common subsequence.
    #[serde(rename = "rougeL")]
    pub rouge_l: f64,
}

/// The scores of a set: means over its rows, and the BLEU of the whole. All 0 without rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Corpus {
    /// How many rows.
    pub rows: usize,
    /// The share of rows that match exactly, 0 to 1.
    pub exact_match: f64,
    /// Mean of [`RowScores::f1`].
    pub f1: f64,
    /// Mean of [`RowScores::jaccard`].
    pub jaccard: f64,
    /// Mean of [`RowScores::rouge1`].
    pub rouge1: f64,
    /// Mean of [`RowScores::rouge2`].
    pub rouge2: f64,
    /// Mean of [`RowScores::rouge_l`].
    #[serde(rename = "rougeL")]
    pub rouge_l: f64,
    /// Corpus BLEU, 0 to 100.
    pub bleu: f64,
}

/// The scores of one prediction.
pub fn row(prediction: &str, reference: &str) -> RowScores {
    let rouge = rouge::rouge(prediction, reference);
    RowScores {
        exact_match: f64::from(crate::evaluate::exact_match(prediction, reference)),
        f1: overlap::f1(prediction, reference),
        jaccard: overlap::jaccard(prediction, reference),
        rouge1: rouge.rouge1.f1,
        rouge2: rouge.rouge2.f1,
        rouge_l: rouge.rouge_l.f1,
    }
}

/// The scores of a set.
pub fn corpus(pairs: &[Pair]) -> Corpus {
    rows_and_corpus(pairs).1
}

/// The scores of every row and of the set.
pub fn rows_and_corpus(pairs: &[Pair]) -> (Vec<RowScores>, Corpus) {
    let rows: Vec<RowScores> = pairs
        .iter()
        .map(|pair| row(&pair.prediction, &pair.reference))
        .collect();
    let counts: BleuCounts = pairs
        .iter()
        .map(|pair| BleuCounts::of(&pair.prediction, &pair.reference))
        .sum();
    if rows.is_empty() {
        return (rows, Corpus::default());
    }
    let mean = |value: fn(&RowScores) -> f64| {
        rows.iter().map(value).sum::<f64>() / rows.len() as f64
    };
    let corpus = Corpus {
        rows: rows.len(),
        exact_match: mean(|row| row.exact_match),
        f1: mean(|row| row.f1),
        jaccard: mean(|row| row.jaccard),
        rouge1: mean(|row| row.rouge1),
        rouge2: mean(|row| row.rouge2),
        rouge_l: mean(|row| row.rouge_l),
        bleu: counts.score(),
    };
    (rows, corpus)
}
