//! The feed-forward half of a block: each token on its own, wider and back.
//!
//! ```text
//! ReLU     max(0, x)                                the first Transformer
//! GELU     x Φ(x), Φ the normal distribution        GPT-2, BERT (Hendrycks and Gimpel 2016)
//! SwiGLU   silu(gate) · up, silu(x) = x σ(x)        Llama, Qwen (Shazeer 2020)
//! ```
//!
//! Without a bend in the middle two linear layers would be one linear layer.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

use ndarray::{Array1, Array2};

use super::linear::linear;
use crate::ops::GeluKind;

/// `max(0, x)`.
pub fn relu(x: f64) -> f64 {
    x.max(0.0)
}

/// The slope of [`relu`]; 0 at the kink, as in PyTorch.
pub fn relu_slope(x: f64) -> f64 {
    if x > 0.0 { 1.0 } else { 0.0 }
}

/// `1 / (1 + e^(−x))`.
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `x σ(x)`, also called swish.
pub fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

/// The slope of [`silu`].
pub fn silu_slope(x: f64) -> f64 {
    let s = sigmoid(x);
    s + x * s * (1.0 - s)
}

/// The error function, to the last digits of an `f64`.
///
/// `erf(x) = 2/√π e^(−x²) Σₙ 2ⁿ x^(2n+1) / (1·3·5⋯(2n+1))`: all terms have one sign, so nothing
/// cancels. Beyond |x| = 6 the value differs from ±1 by less than an `f64` can say.
pub fn erf(x: f64) -> f64 {
    if x.is_nan() || x.abs() > 6.0 {
        return if x.is_nan() { x } else { x.signum() };
    }
    let mut term = x;
    let mut sum = x;
    let mut odd = 1.0;
    while term.abs() > f64::EPSILON * 1e-2 * sum.abs() {
        odd += 2.0;
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// The Gaussian error linear unit.
pub fn gelu(x: f64, kind: GeluKind) -> f64 {
    match kind {
        // Φ(x) = (1 + erf(x/√2)) / 2: how likely a normal draw lies below x.
        GeluKind::Erf => 0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2)),
        // GPT-2's cheaper fit of the same curve.
        GeluKind::Tanh => 0.5 * x * (1.0 + tanh_argument(x).tanh()),
    }
}

fn tanh_argument(x: f64) -> f64 {
    (2.0 / PI).sqrt() * (x + 0.044_715 * x * x * x)
}

/// The slope of [`gelu`].
pub fn gelu_slope(x: f64, kind: GeluKind) -> f64 {
    match kind {
        GeluKind::Erf => {
            let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
            0.5 * (1.0 + erf(x * FRAC_1_SQRT_2)) + x * density
        }
        GeluKind::Tanh => {
            let tanh = tanh_argument(x).tanh();
            let inner = (2.0 / PI).sqrt() * (1.0 + 3.0 * 0.044_715 * x * x);
            0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * inner
        }
    }
}

/// `silu(gate) · up`, element by element: one half decides how much of the other passes.
///
/// # Shapes
/// `gate [T, F]`, `up [T, F]` → `[T, F]`.
pub fn swiglu(gate: &Array2<f64>, up: &Array2<f64>) -> Array2<f64> {
    Array2::from_shape_fn(gate.dim(), |at| silu(gate[at]) * up[at])
}

/// The gradients of [`swiglu`] with respect to gate and up.
///
/// # Shapes
/// All `[T, F]`.
pub fn swiglu_backward(
    gate: &Array2<f64>,
    up: &Array2<f64>,
    d_y: &Array2<f64>,
) -> (Array2<f64>, Array2<f64>) {
    let d_gate = Array2::from_shape_fn(gate.dim(), |at| d_y[at] * up[at] * silu_slope(gate[at]));
    let d_up = Array2::from_shape_fn(up.dim(), |at| d_y[at] * silu(gate[at]));
    (d_gate, d_up)
}

/// Wider, bend, back: `activation(x W₁ᵀ + b₁) W₂ᵀ + b₂`.
///
/// # Shapes
/// `x [T, C]`, `up ([F, C], [F])`, `down ([C, F], [C])` → `[T, C]`.
pub fn mlp(
    x: &Array2<f64>,
    up: (&Array2<f64>, &Array1<f64>),
    down: (&Array2<f64>, &Array1<f64>),
    activation: impl Fn(f64) -> f64,
) -> Array2<f64> {
    let wide = linear(x, up.0, Some(up.1));
    linear(&wide.mapv(activation), down.0, Some(down.1))
}
