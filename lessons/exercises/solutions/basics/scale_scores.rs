//! The scores of one query. Lesson: 03_attention_math.
//!
//! ```text
//! score[s] = q · k[s] / √D
//! ```
//!
//! A sum of D products spreads like √D; what it is divided by keeps softmax awake for every D.

/// One score for each key; the query and every key have D numbers.
pub fn scores(query: &[f64], keys: &[Vec<f64>]) -> Vec<f64> {
    keys.iter().map(|key| scaled(product(query, key), query.len())).collect()
}

/// The dot product.
fn product(query: &[f64], key: &[f64]) -> f64 {
    query.iter().zip(key).map(|(q, k)| q * k).sum()
}

/// The product of two arrows of `d` numbers, ready for softmax.
fn scaled(product: f64, d: usize) -> f64 {
    product / (d as f64).sqrt()
}
