//! From the losses of many tokens to one perplexity. Lesson: cross_entropy_loss.
//!
//! ```text
//! perplexity = exp(mean loss over the tokens that count)
//! ```
//!
//! A token whose target is -100 does not count: neither its loss nor its place in the mean.

/// Whether a token with this target counts.
fn counts(target: i64) -> bool {
    target != -100
}

/// The mean of `losses` over the tokens that count.
pub fn mean_loss(losses: &[f64], targets: &[i64]) -> f64 {
    let pairs = losses.iter().zip(targets).filter(|&(_, &target)| counts(target));
    let counted: Vec<f64> = pairs.map(|(loss, _)| *loss).collect();
    counted.iter().sum::<f64>() / counted.len() as f64
}

/// Among how many equally likely tokens the model is as unsure.
pub fn perplexity(losses: &[f64], targets: &[i64]) -> f64 {
    mean_loss(losses, targets).exp()
}
