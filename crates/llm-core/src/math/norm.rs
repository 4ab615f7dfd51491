//! Norms: bring every token's vector to one size before the next layer reads it.
//!
//! ```text
//! layer norm  y = (x − mean) / √(variance + ε) · w + b        (Ba et al. 2016)
//! RMS norm    y =  x         / √(mean of squares + ε) · w     (Zhang and Sennrich 2019)
//! ```
//!
//! RMS norm leaves the mean where it is: cheaper, and modern models do as well without.

use ndarray::{Array1, Array2};

/// The gradients of a norm.
#[derive(Clone, Debug)]
pub struct NormGradients {
    /// `[T, C]`
    pub x: Array2<f64>,
    /// `[C]`
    pub weight: Array1<f64>,
    /// `[C]`; stays zero for RMS norm.
    pub bias: Array1<f64>,
}

/// `x` less its mean, and one over its standard deviation.
fn standardize(row: &[f64], eps: f64) -> (Vec<f64>, f64) {
    let c = row.len() as f64;
    let mean = row.iter().sum::<f64>() / c;
    let centred: Vec<f64> = row.iter().map(|x| x - mean).collect();
    // Divided by C, not by C − 1: this is the spread of these numbers, not an estimate from a sample.
    let variance = centred.iter().map(|x| x * x).sum::<f64>() / c;
    (centred, 1.0 / (variance + eps).sqrt())
}

/// Layer norm of each row.
///
/// # Shapes
/// `x [T, C]`, `weight [C]`, `bias [C]` → `[T, C]`.
pub fn layer_norm(
    x: &Array2<f64>,
    weight: &Array1<f64>,
    bias: &Array1<f64>,
    eps: f64,
) -> Array2<f64> {
    let mut y = Array2::zeros(x.dim());
    for (t, row) in x.outer_iter().enumerate() {
        let (centred, scale) = standardize(&row.to_vec(), eps);
        for (c, value) in centred.into_iter().enumerate() {
            y[[t, c]] = value * scale * weight[c] + bias[c];
        }
    }
    y
}

/// The gradients of [`layer_norm`].
///
/// Moving one input also moves the mean and the spread of its row, so two averages over the row are
/// taken out again: what only shifts or stretches the whole row cannot change the output.
///
/// # Shapes
/// `x [T, C]`, `weight [C]`, `d_y [T, C]`.
pub fn layer_norm_backward(
    x: &Array2<f64>,
    weight: &Array1<f64>,
    d_y: &Array2<f64>,
    eps: f64,
) -> NormGradients {
    let (_t, c) = x.dim();
    let mut gradients = NormGradients {
        x: Array2::zeros(x.dim()),
        weight: Array1::zeros(c),
        bias: Array1::zeros(c),
    };
    for (t, row) in x.outer_iter().enumerate() {
        let (centred, scale) = standardize(&row.to_vec(), eps);
        let normed: Vec<f64> = centred.iter().map(|value| value * scale).collect();
        let (mut shift, mut stretch) = (0.0, 0.0);
        for channel in 0..c {
            let d = d_y[[t, channel]] * weight[channel];
            shift += d / c as f64;
            stretch += d * normed[channel] / c as f64;
            gradients.weight[channel] += d_y[[t, channel]] * normed[channel];
            gradients.bias[channel] += d_y[[t, channel]];
        }
        for channel in 0..c {
            let d = d_y[[t, channel]] * weight[channel];
            gradients.x[[t, channel]] = scale * (d - shift - normed[channel] * stretch);
        }
    }
    gradients
}

/// One over the root of the mean square.
fn inverse_rms(row: &[f64], eps: f64) -> f64 {
    let mean_square = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
    1.0 / (mean_square + eps).sqrt()
}

/// RMS norm of each row.
///
/// # Shapes
/// `x [T, C]`, `weight [C]` → `[T, C]`.
pub fn rms_norm(x: &Array2<f64>, weight: &Array1<f64>, eps: f64) -> Array2<f64> {
    let mut y = Array2::zeros(x.dim());
    for (t, row) in x.outer_iter().enumerate() {
        let scale = inverse_rms(&row.to_vec(), eps);
        for (c, value) in row.iter().enumerate() {
            y[[t, c]] = value * scale * weight[c];
        }
    }
    y
}

/// The gradients of [`rms_norm`]: as for layer norm without the shift.
///
/// # Shapes
/// `x [T, C]`, `weight [C]`, `d_y [T, C]`.
pub fn rms_norm_backward(
    x: &Array2<f64>,
    weight: &Array1<f64>,
    d_y: &Array2<f64>,
    eps: f64,
) -> NormGradients {
    let (_t, c) = x.dim();
    let mut gradients = NormGradients {
        x: Array2::zeros(x.dim()),
        weight: Array1::zeros(c),
        bias: Array1::zeros(c),
    };
    for (t, row) in x.outer_iter().enumerate() {
        let scale = inverse_rms(&row.to_vec(), eps);
        let mut stretch = 0.0;
        for (channel, value) in row.iter().enumerate() {
            let normed = value * scale;
            stretch += d_y[[t, channel]] * weight[channel] * normed / c as f64;
            gradients.weight[channel] += d_y[[t, channel]] * normed;
        }
        for (channel, value) in row.iter().enumerate() {
            let d = d_y[[t, channel]] * weight[channel];
            gradients.x[[t, channel]] = scale * (d - value * scale * stretch);
        }
    }
    gradients
}
