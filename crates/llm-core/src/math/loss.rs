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

use candle_core::{DType, Device, Tensor, Var};
use ndarray::Array2;

use super::softmax::{log_sum_exp, softmax};
use crate::ops::{IGNORE_INDEX, Ops};
use crate::{Error, Result};

// ANCHOR: surprise
/// The loss of one prediction: `−ln softmax(logits)[target]`. A target that is none of the tokens is
/// infinitely surprising.
///
/// # Shapes
/// `logits [V]` → a number.
pub fn surprise(logits: &[f64], target: usize) -> f64 {
    // −ln(exp(xₜ) / Σ exp(x)) = ln Σ exp(x) − xₜ. Taking the logarithm of the finished share instead
    // would give ln 0 = −inf as soon as a share is too small for a float.
    let hit = logits.get(target).copied().unwrap_or(f64::NEG_INFINITY);
    log_sum_exp(logits) - hit
}

/// The gradient of [`surprise`] with respect to the logits: the shares, less one at the target.
///
/// # Shapes
/// `logits [V]` → `[V]`.
pub fn surprise_backward(logits: &[f64], target: usize) -> Vec<f64> {
    let mut slope = softmax(logits);
    if let Some(slope) = slope.get_mut(target) {
        *slope -= 1.0;
    }
    slope
}
// ANCHOR_END: surprise

// ANCHOR: cross_entropy
/// The loss of many predictions. A target outside `0..V` other than the ignored one counts as
/// infinitely surprising.
///
/// # Shapes
/// `logits [N, V]`, `targets` of length N → a number.
pub fn cross_entropy(logits: &Array2<f64>, targets: &[i64], scale: f64) -> f64 {
    let mut sum = 0.0;
    for (row, &target) in logits.outer_iter().zip(targets) {
        if target != IGNORE_INDEX {
            sum += surprise(&row.to_vec(), usize::try_from(target).unwrap_or(usize::MAX));
        }
    }
    scale * sum
}
// ANCHOR_END: cross_entropy

/// The gradient of [`cross_entropy`] with respect to the logits.
///
/// # Shapes
/// `logits [N, V]`, `targets` of length N → `[N, V]`.
pub fn cross_entropy_backward(logits: &Array2<f64>, targets: &[i64], scale: f64) -> Array2<f64> {
    let mut gradient = Array2::zeros(logits.dim());
    for (n, &target) in targets.iter().enumerate() {
        if target == IGNORE_INDEX {
            continue; // the row stays zero: nothing is learned from it
        }
        let target = usize::try_from(target).unwrap_or(usize::MAX);
        let slope = surprise_backward(&logits.row(n).to_vec(), target);
        for (token, slope) in slope.into_iter().enumerate() {
            gradient[[n, token]] = scale * slope;
        }
    }
    gradient
}

/// [`cross_entropy`] and its gradient by the one operation of [`crate::ops`] that models run, on
/// `device` in `dtype`.
///
/// # Shapes
/// `logits [N, V]`, `targets` of length N → a number and `[N, V]`, row-major.
///
/// # Errors
/// A target outside `0..V` that is not the ignored one, or what the tensor library reports.
pub fn cross_entropy_with_ops(
    logits: &Array2<f64>,
    targets: &[i64],
    scale: f64,
    (dtype, device): (DType, &Device),
) -> Result<(f64, Vec<f64>)> {
    let values: Vec<f64> = logits.iter().copied().collect();
    let x = Tensor::from_vec(values, logits.dim(), &Device::Cpu)?;
    let x = Var::from_tensor(&x.to_dtype(dtype)?.to_device(device)?)?;
    let loss = Ops::for_device(device).cross_entropy(x.as_tensor(), targets, scale)?;
    let slopes = loss.backward()?;
    let missing = || Error::input("cross_entropy", "no gradient for the logits");
    let plain = |x: &Tensor| -> Result<Vec<f64>> {
        let x = x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
        Ok(x.flatten_all()?.to_vec1()?)
    };
    let slope = plain(slopes.get(x.as_tensor()).ok_or_else(missing)?)?;
    Ok((plain(&loss)?.iter().sum(), slope))
}

/// How many rows count: the divisor of a mean loss.
pub fn counted(targets: &[i64]) -> usize {
    targets
        .iter()
        .filter(|&&target| target != IGNORE_INDEX)
        .count()
}

/// `eˡᵒˢˢ`: among how many equally likely tokens the model is as unsure as its mean loss says.
pub fn perplexity(loss: f64) -> f64 {
    loss.exp()
}

/// The loss in bits: how many yes-or-no questions the right token costs. The natural logarithm
/// counts in nats, and one bit is ln 2 of them.
pub fn bits(loss: f64) -> f64 {
    loss / std::f64::consts::LN_2
}

// ANCHOR: epsilon
/// `−ln(p + ε)`, as many tutorials write it to keep ln 0 away. **Not the loss**: kept here to be
/// compared with it.
///
/// Its value never exceeds `−ln ε`, and where p is far below ε it is flat: the model that is most
/// wrong is told that nothing it could change matters.
///
/// # Shapes
/// `logits [V]` → a number.
pub fn with_epsilon(logits: &[f64], target: usize, epsilon: f64) -> f64 {
    let shares = softmax(logits);
    -(shares.get(target).copied().unwrap_or(0.0) + epsilon).ln()
}
// ANCHOR_END: epsilon

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
    let places: usize = counts.values().flat_map(BTreeMap::values).sum();
    let surprise = counts
        .values()
        .fold(0.0, |sum, next| sum + least_surprise(next));
    surprise / places.max(1) as f64
}

/// What the best guess costs in nats over all times that one context occurs, by what came `next` and
/// how often: it gives each token its true share, and pays −ln(share) each time.
pub fn least_surprise(next: &BTreeMap<u32, usize>) -> f64 {
    let total: usize = next.values().sum();
    let cost = |&count: &usize| count as f64 * (count as f64 / total as f64).ln();
    next.values().fold(0.0, |sum, count| sum - cost(count))
}
