//! Cross-entropy: how surprised the model is by the token that came.
//!
//! ```text
//! loss = scale · Σₙ −ln softmax(logits[n])[target[n]]
//! ```
//!
//! A uniform guess over V tokens costs `ln V`; certainty costs 0. Rows whose target is
//! [`crate::ops::IGNORE_INDEX`] (prompt and padding) do not count. With `scale = 1 / count` it is the
//! mean over the counted rows.
//!
//! ```
//! use llm_core::math::loss::cross_entropy;
//! use ndarray::array;
//! let loss = cross_entropy(&array![[2.0, 0.5, 3.1, 0.1, -1.0]], &[2], 1.0);
//! assert!((loss - 0.38764).abs() < 1e-5);
//! ```

use std::collections::BTreeMap;

use ndarray::Array2;

use super::softmax::{log_sum_exp, softmax};
use crate::ops::IGNORE_INDEX;

/// The loss. A target outside `0..V` other than the ignored one counts as infinitely surprising.
///
/// # Shapes
/// `logits [N, V]`, `targets` of length N → a number.
pub fn cross_entropy(logits: &Array2<f64>, targets: &[i64], scale: f64) -> f64 {
    let mut sum = 0.0;
    for (row, &target) in logits.outer_iter().zip(targets) {
        if target == IGNORE_INDEX {
            continue;
        }
        let row = row.to_vec();
        let hit = usize::try_from(target)
            .ok()
            .and_then(|index| row.get(index));
        // −ln(exp(xₜ) / Σ exp(x)) = ln Σ exp(x) − xₜ. Taking the logarithm of the finished share
        // instead would give ln 0 = −inf as soon as a share is too small for a float.
        sum += log_sum_exp(&row) - hit.copied().unwrap_or(f64::NEG_INFINITY);
    }
    scale * sum
}

/// The gradient with respect to the logits: the shares, less one at the target.
///
/// # Shapes
/// `logits [N, V]`, `targets` of length N → `[N, V]`.
pub fn cross_entropy_backward(logits: &Array2<f64>, targets: &[i64], scale: f64) -> Array2<f64> {
    let mut gradient = Array2::zeros(logits.dim());
    for (n, &target) in targets.iter().enumerate() {
        if target == IGNORE_INDEX {
            continue; // the row stays zero: nothing is learned from it
        }
        let shares = softmax(&logits.row(n).to_vec());
        for (token, share) in shares.into_iter().enumerate() {
            let wanted = if token as i64 == target { 1.0 } else { 0.0 };
            gradient[[n, token]] = scale * (share - wanted);
        }
    }
    gradient
}

/// What follows each context of a text, and how often: `{context: {next token: count}}`.
///
/// All windows of `context` tokens are cut from the text; in each, position `p` sees only the `p + 1`
/// tokens from the window's start.
pub fn continuations(tokens: &[u32], context: usize) -> BTreeMap<Vec<u32>, BTreeMap<u32, usize>> {
    let mut counts: BTreeMap<Vec<u32>, BTreeMap<u32, usize>> = BTreeMap::new();
    for window in tokens.windows(context + 1) {
        for seen in 1..=context {
            let next = counts.entry(window[..seen].to_vec()).or_default();
            *next.entry(window[seen]).or_default() += 1;
        }
    }
    counts
}

/// The smallest mean loss that any model could reach on [`continuations`]: where one context goes on
/// in two ways, no model can be sure. This is the entropy of the next token given what is seen.
pub fn floor(counts: &BTreeMap<Vec<u32>, BTreeMap<u32, usize>>) -> f64 {
    let (mut surprise, mut places) = (0.0, 0);
    for next in counts.values() {
        let total: usize = next.values().sum();
        places += total;
        for &count in next.values() {
            // The best guess is the true share, and it costs −ln(share) each time.
            surprise -= count as f64 * (count as f64 / total as f64).ln();
        }
    }
    surprise / places.max(1) as f64
}
