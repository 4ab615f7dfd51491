//! The linear layer: every output is a weighted sum of all inputs.
//!
//! ```text
//! y[t, o] = Σᵢ x[t, i] · w[o, i] + b[o]
//! ```
//!
//! The weight is stored as `[O, I]`, one row an output, as in the model files.

use ndarray::{Array1, Array2};

/// `y = x Wᵀ + b`.
///
/// # Shapes
/// `x [T, I]`, `weight [O, I]`, `bias [O]` → `[T, O]`.
pub fn linear(x: &Array2<f64>, weight: &Array2<f64>, bias: Option<&Array1<f64>>) -> Array2<f64> {
    let (t, i) = x.dim();
    let (o, _i) = weight.dim();
    let mut y = Array2::zeros((t, o));
    for token in 0..t {
        for output in 0..o {
            let mut sum = bias.map_or(0.0, |bias| bias[output]);
            for input in 0..i {
                sum += x[[token, input]] * weight[[output, input]];
            }
            y[[token, output]] = sum;
        }
    }
    y
}

/// The gradients of a [`linear`] layer.
#[derive(Clone, Debug)]
pub struct LinearGradients {
    /// `[T, I]`
    pub x: Array2<f64>,
    /// `[O, I]`
    pub weight: Array2<f64>,
    /// `[O]`
    pub bias: Array1<f64>,
}

/// What a small change of inputs, weights and bias does to the loss, given what a small change of
/// the outputs does (`d_y`).
///
/// # Shapes
/// `x [T, I]`, `weight [O, I]`, `d_y [T, O]`.
pub fn linear_backward(
    x: &Array2<f64>,
    weight: &Array2<f64>,
    d_y: &Array2<f64>,
) -> LinearGradients {
    let (t, i) = x.dim();
    let (o, _i) = weight.dim();
    let mut gradients = LinearGradients {
        x: Array2::zeros((t, i)),
        weight: Array2::zeros((o, i)),
        bias: Array1::zeros(o),
    };
    // y[t, o] contains the product x[t, i] · w[o, i] once. So w[o, i] is how much x[t, i] moves
    // y[t, o], and the other way round: the two factors swap places.
    for token in 0..t {
        for output in 0..o {
            let d = d_y[[token, output]];
            gradients.bias[output] += d;
            for input in 0..i {
                gradients.x[[token, input]] += d * weight[[output, input]];
                gradients.weight[[output, input]] += d * x[[token, input]];
            }
        }
    }
    gradients
}
