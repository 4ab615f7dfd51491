//! Softmax: from scores to shares.
//!
//! ```text
//! softmax(x)ᵢ = exp(xᵢ) / Σⱼ exp(xⱼ)
//! ```
//!
//! Every share is positive and they add up to one, so softmax turns "how well does it fit?" into
//! "which part of my attention does it get?". Adding a constant to all scores changes nothing.
//!
//! ```
//! use llm_core::math::softmax::softmax;
//! let shares = softmax(&[2.0, 1.0, 0.5, -1.0, 3.0]);
//! assert!((shares[4] - 0.6236).abs() < 1e-4);
//! ```

// ANCHOR: softmax
/// The shares of `scores`; all `-inf` (nothing to choose from) gives zeros.
///
/// # Shapes
/// `scores [S]` → `[S]`.
pub fn softmax(scores: &[f64]) -> Vec<f64> {
    // Without this shift exp(1000) is infinite and the shares are inf/inf = NaN. With it the largest
    // term is exp(0) = 1 and the others lie between 0 and 1: nothing can overflow.
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return vec![0.0; scores.len()];
    }
    let mut shares = Vec::with_capacity(scores.len());
    let mut total = 0.0;
    for score in scores {
        // A hidden score is -inf, and exp(-inf) is exactly 0.0: it gets no share at all.
        let weight = (score - largest).exp();
        shares.push(weight);
        total += weight;
    }
    for share in &mut shares {
        *share /= total;
    }
    shares
}
// ANCHOR_END: softmax

/// Softmax of `scores / temperature`: below 1 the largest gets more, above 1 all get alike.
///
/// # Shapes
/// `scores [S]` → `[S]`.
pub fn softmax_with_temperature(scores: &[f64], temperature: f64) -> Vec<f64> {
    let scaled: Vec<f64> = scores.iter().map(|score| score / temperature).collect();
    softmax(&scaled)
}

// ANCHOR: backward
/// The gradient of a loss with respect to the scores, from that with respect to the shares.
///
/// ```text
/// ∂L/∂xᵢ = sᵢ (∂L/∂sᵢ − Σⱼ sⱼ ∂L/∂sⱼ)
/// ```
///
/// A share can only grow at the cost of the others, hence the subtracted average.
///
/// # Shapes
/// `shares [S]`, `d_shares [S]` → `[S]`.
pub fn softmax_backward(shares: &[f64], d_shares: &[f64]) -> Vec<f64> {
    let mut average = 0.0;
    for (share, d_share) in shares.iter().zip(d_shares) {
        average += share * d_share;
    }
    let pairs = shares.iter().zip(d_shares);
    pairs
        .map(|(share, d_share)| share * (d_share - average))
        .collect()
}
// ANCHOR_END: backward

/// `ln Σ exp(xᵢ)`, with the same shift as [`softmax`].
///
/// # Shapes
/// `scores [S]` → a number.
pub fn log_sum_exp(scores: &[f64]) -> f64 {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return largest; // no score at all, or an infinite one
    }
    let mut total = 0.0;
    for score in scores {
        total += (score - largest).exp();
    }
    largest + total.ln()
}

/// The formula of the page as it stands, without the shift. **Overflows** for scores above 709:
/// kept to be compared with [`softmax`].
///
/// # Shapes
/// `scores [S]` → `[S]`.
pub fn naive_softmax(scores: &[f64]) -> Vec<f64> {
    let exps: Vec<f64> = scores.iter().map(|score| score.exp()).collect();
    let total: f64 = exps.iter().sum();
    exps.iter().map(|exp| exp / total).collect()
}

/// The entropy `−Σ s ln s` in nats: 0 when one share takes all, `ln S` when all are equal.
///
/// # Shapes
/// `shares [S]` → a number.
pub fn entropy(shares: &[f64]) -> f64 {
    let mut sum = 0.0;
    for &share in shares {
        // s ln s tends to 0 with s, but 0 · ln 0 is NaN for a computer.
        if share > 0.0 {
            sum -= share * share.ln();
        }
    }
    sum
}
