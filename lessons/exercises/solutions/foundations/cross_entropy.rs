//! The loss of one prediction and its slope. Lesson: cross_entropy_loss.
//!
//! ```text
//! loss = -ln softmax(logits)[target] = ln Σ exp(xⱼ) - x[target]
//! slope of logit i = softmax(logits)ᵢ - (1 if i is the target, else 0)
//! ```
//!
//! The second form of the loss never takes the logarithm of a tiny number. With the largest logit m,
//! ln Σ exp(xⱼ) = m + ln Σ exp(xⱼ - m).

/// How surprising `target` is under `logits`.
pub fn loss(logits: &[f64], target: usize) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    largest + total.ln() - logits[target]
}

/// The slope of the loss for each logit.
pub fn slope(logits: &[f64], target: usize) -> Vec<f64> {
    // exp(-loss) of a token is its share: no second softmax is needed.
    let share = |token: usize| (-loss(logits, token)).exp();
    let one = |token: usize| -> f64 {
        let wanted = if token == target { 1.0 } else { 0.0 };
        share(token) - wanted
    };
    (0..logits.len()).map(one).collect()
}
