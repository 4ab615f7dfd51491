//! Softmax that survives large scores. Lesson: softmax.
//!
//! ```text
//! softmax(x)ᵢ = exp(xᵢ) / Σⱼ exp(xⱼ)
//! ```
//!
//! Written as it stands, exp(1000) is infinite. Adding the same number to all scores changes nothing
//! about the shares, so take one off that makes every exp harmless.

/// The shares of `scores`, which sum to 1. A score of -inf gets exactly 0.
pub fn softmax(scores: &[f64]) -> Vec<f64> {
    let shift = shift(scores);
    let exps: Vec<f64> = scores.iter().map(|score| (score - shift).exp()).collect();
    exps.iter().map(|exp| exp / total(&exps)).collect()
}

/// What is taken off all scores.
fn shift(scores: &[f64]) -> f64 {
    // The largest exp becomes exp(0) = 1 and the others lie below it.
    scores.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// What the exps are divided by.
fn total(exps: &[f64]) -> f64 {
    exps.iter().sum()
}
