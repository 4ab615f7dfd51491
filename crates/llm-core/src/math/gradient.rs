//! A gradient check: move one number a little and see what the loss does.
//!
//! ```text
//! ∂f/∂xᵢ ≈ (f(x + h eᵢ) − f(x − h eᵢ)) / 2h
//! ```
//!
//! Looking to both sides makes the error shrink with h² instead of h. Too small an h drowns in
//! rounding: in `f64` about 1e-5 is best, and gives some ten right digits.
//!
//! ```
//! use llm_core::math::gradient::{compare, numeric};
//! let slope = numeric(&[3.0], 1e-5, |x| x[0] * x[0]);
//! assert!(compare(&[6.0], &slope).relative() < 1e-9);
//! ```
//!
//! [`autograd`] asks the tensor library instead, which records each operation and walks back.

use candle_core::{Device, Tensor, Var};

use crate::{Error, Result};

// ANCHOR: numeric
/// The numeric gradient of `f` at `x`: two evaluations for each number.
///
/// # Shapes
/// `x [N]` → `[N]`.
pub fn numeric(x: &[f64], h: f64, mut f: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    let mut moved = x.to_vec();
    let mut gradient = Vec::with_capacity(x.len());
    for (index, &value) in x.iter().enumerate() {
        moved[index] = value + h;
        let above = f(&moved);
        moved[index] = value - h;
        let below = f(&moved);
        moved[index] = value;
        gradient.push((above - below) / (2.0 * h));
    }
    gradient
}
// ANCHOR_END: numeric

/// The gradient of `f` at `x` by automatic differentiation: one evaluation forwards, one walk
/// backwards over what it recorded, however many numbers there are.
///
/// # Shapes
/// `x [N]` → `[N]`; `f` maps a tensor `[N]` of f64 to a scalar.
///
/// # Errors
/// What the tensor library reports, or a result that does not depend on `x`.
pub fn autograd(x: &[f64], f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Vec<f64>> {
    let x = Var::new(x, &Device::Cpu)?;
    let slopes = f(x.as_tensor())?.backward()?;
    let missing = || Error::input("autograd", "the result does not depend on its input");
    let slope = slopes.get(x.as_tensor()).ok_or_else(missing)?;
    Ok(slope.to_vec1()?)
}

/// How far an analytic gradient is from the numeric one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The largest `|analytic − numeric|`.
    pub largest: f64,
    /// Where it is.
    pub at: usize,
    /// The largest `|numeric|`, to compare with.
    pub size: f64,
}

impl Difference {
    /// The largest difference over the largest numeric value; NaN when anything is NaN.
    pub fn relative(&self) -> f64 {
        self.largest / self.size
    }
}

/// Compares two gradients of the same tensor. A missing element or a NaN counts as infinitely far.
pub fn compare(analytic: &[f64], numeric: &[f64]) -> Difference {
    let mut difference = Difference {
        largest: 0.0,
        at: 0,
        size: 0.0,
    };
    for index in 0..analytic.len().max(numeric.len()) {
        let pair = analytic.get(index).zip(numeric.get(index));
        let apart = pair.map_or(f64::INFINITY, |(a, n)| (a - n).abs());
        let apart = if apart.is_nan() { f64::INFINITY } else { apart };
        if apart > difference.largest {
            (difference.largest, difference.at) = (apart, index);
        }
        difference.size = difference
            .size
            .max(numeric.get(index).map_or(0.0, |n| n.abs()));
    }
    difference
}
