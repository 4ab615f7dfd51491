//! Layers: the functions of this folder together with the numbers that they learn.
//!
//! A layer knows three things: its output for an input, its gradients for an input and the gradient
//! of its output, and the list of its tensors ([`Layer`]).
//!
//! ```
//! use llm_core::math::layers::Linear;
//! use llm_core::math::parameters::Layer;
//! use ndarray::array;
//! let mut layer = Linear { weight: array![[2.0, -1.0]], bias: Some(array![0.5]) };
//! let x = array![[3.0, 4.0]];
//! assert_eq!(layer.forward(&x), array![[2.5]]);
//! let (gradients, d_x) = layer.backward(&x, &array![[1.0]]); // the loss is the output itself
//! assert_eq!((gradients.weight.clone(), d_x), (x.clone(), array![[2.0, -1.0]]));
//! layer.add(&gradients, -0.1);
//! assert!(layer.forward(&x)[[0, 0]] < 2.5);
//! ```
//!
//! Nothing is stored between forward and backward: `backward` computes again what it needs. That
//! costs time and keeps each function whole; the operations of [`crate::ops`] store instead.

use ndarray::{Array1, Array2};

use super::linear::{linear, linear_backward};
use super::mlp::{gelu, gelu_slope, relu, relu_slope, swiglu, swiglu_backward};
use super::norm::{layer_norm, layer_norm_backward, rms_norm, rms_norm_backward};
use super::parameters::{Layer, Parameter, within};
use super::scale::gaussian;
use crate::ops::GeluKind;
use crate::rng::ChaCha8Rng;

/// Keeps a norm's division finite where a row is all zeros.
pub const EPS: f64 = 1e-5;

/// `y = x Wᵀ + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// `[O, I]`
    pub weight: Array2<f64>,
    /// `[O]`; modern models do without.
    pub bias: Option<Array1<f64>>,
}

impl Linear {
    /// Draws of variance 1/I, which keep the size of what passes through: a sum of I products spreads
    /// like √I, and the weights take that out again. A bias starts at zero.
    pub fn draw(rng: &mut ChaCha8Rng, inputs: usize, outputs: usize, bias: bool) -> Self {
        Self {
            weight: gaussian(rng, outputs, inputs, (inputs as f64).sqrt().recip()),
            bias: bias.then(|| Array1::zeros(outputs)),
        }
    }

    /// Each output is a weighted sum of all inputs of the same token.
    ///
    /// # Shapes
    /// `x [T, I]` → `[T, O]`.
    pub fn forward(&self, x: &Array2<f64>) -> Array2<f64> {
        linear(x, &self.weight, self.bias.as_ref())
    }

    /// The gradients of its tensors and of `x`.
    ///
    /// # Shapes
    /// `x [T, I]`, `d_y [T, O]` → and `[T, I]`.
    pub fn backward(&self, x: &Array2<f64>, d_y: &Array2<f64>) -> (Self, Array2<f64>) {
        let gradients = linear_backward(x, &self.weight, d_y);
        let layer = Self {
            // A layer without a bias must not get one from its gradient.
            weight: gradients.weight,
            bias: self.bias.as_ref().map(|_| gradients.bias),
        };
        (layer, gradients.x)
    }
}

impl Layer for Linear {
    fn parameters(&self) -> Vec<Parameter<'_>> {
        let bias = self.bias.iter().map(|bias| Parameter::new("bias", bias));
        std::iter::once(Parameter::new("weight", &self.weight))
            .chain(bias)
            .collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut [f64]> {
        let bias = self.bias.iter_mut().filter_map(|bias| bias.as_slice_mut());
        self.weight.as_slice_mut().into_iter().chain(bias).collect()
    }
}

/// Brings each token's vector to one size.
#[derive(Clone, Debug, PartialEq)]
pub enum Norm {
    /// Mean 0, spread 1, then stretched by `weight [C]` and shifted by `bias [C]`.
    Layer {
        /// `[C]`
        weight: Array1<f64>,
        /// `[C]`
        bias: Array1<f64>,
    },
    /// Mean square 1, then stretched by `weight [C]`.
    Rms {
        /// `[C]`
        weight: Array1<f64>,
    },
}

impl Norm {
    /// A layer norm that does not stretch or shift yet.
    pub fn layer(c: usize) -> Self {
        let (weight, bias) = (Array1::ones(c), Array1::zeros(c));
        Self::Layer { weight, bias }
    }

    /// An RMS norm that does not stretch yet.
    pub fn rms(c: usize) -> Self {
        let weight = Array1::ones(c);
        Self::Rms { weight }
    }

    /// Each token on its own: no norm looks at another row, so it works for one token as for many.
    ///
    /// # Shapes
    /// `x [T, C]` → `[T, C]`.
    pub fn forward(&self, x: &Array2<f64>) -> Array2<f64> {
        match self {
            Self::Layer { weight, bias } => layer_norm(x, weight, bias, EPS),
            Self::Rms { weight } => rms_norm(x, weight, EPS),
        }
    }

    /// The gradients of its tensors and of `x`.
    ///
    /// # Shapes
    /// `x` and `d_y [T, C]` → and `[T, C]`.
    pub fn backward(&self, x: &Array2<f64>, d_y: &Array2<f64>) -> (Self, Array2<f64>) {
        match self {
            Self::Layer { weight, .. } => {
                let d = layer_norm_backward(x, weight, d_y, EPS);
                let (weight, bias) = (d.weight, d.bias);
                (Self::Layer { weight, bias }, d.x)
            }
            Self::Rms { weight } => {
                let d = rms_norm_backward(x, weight, d_y, EPS);
                (Self::Rms { weight: d.weight }, d.x)
            }
        }
    }
}

impl Layer for Norm {
    fn parameters(&self) -> Vec<Parameter<'_>> {
        match self {
            Self::Layer { weight, bias } => vec![
                Parameter::new("weight", weight),
                Parameter::new("bias", bias),
            ],
            Self::Rms { weight } => vec![Parameter::new("weight", weight)],
        }
    }

    fn parameters_mut(&mut self) -> Vec<&mut [f64]> {
        let arrays = match self {
            Self::Layer { weight, bias } => vec![weight, bias],
            Self::Rms { weight } => vec![weight],
        };
        arrays
            .into_iter()
            .filter_map(|array| array.as_slice_mut())
            .collect()
    }
}

/// The function applied to each number between the two layers of [`FeedForward::Plain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The first Transformer.
    Relu,
    /// GPT-2, BERT.
    Gelu(GeluKind),
}

impl Activation {
    fn bend(self, x: f64) -> f64 {
        match self {
            Self::Relu => relu(x),
            Self::Gelu(kind) => gelu(x, kind),
        }
    }

    fn slope(self, x: f64) -> f64 {
        match self {
            Self::Relu => relu_slope(x),
            Self::Gelu(kind) => gelu_slope(x, kind),
        }
    }
}

/// The half of a block in which each token is on its own: wider, bend, back.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedForward {
    /// `down(activation(up(x)))`
    Plain {
        /// ReLU or GELU.
        activation: Activation,
        /// `[F, C]`
        up: Linear,
        /// `[C, F]`
        down: Linear,
    },
    /// `down(silu(gate(x)) · up(x))`: three matrices, so F is chosen a third smaller.
    Gated {
        /// `[F, C]`
        gate: Linear,
        /// `[F, C]`
        up: Linear,
        /// `[C, F]`
        down: Linear,
    },
}

impl FeedForward {
    /// Wider, bend, back. The bend is all that is not a weighted sum; without it both matrices would
    /// be one.
    ///
    /// # Shapes
    /// `x [T, C]` → `[T, C]`.
    pub fn forward(&self, x: &Array2<f64>) -> Array2<f64> {
        match self {
            Self::Plain {
                activation,
                up,
                down,
            } => down.forward(&up.forward(x).mapv(|x| activation.bend(x))),
            Self::Gated { gate, up, down } => {
                down.forward(&swiglu(&gate.forward(x), &up.forward(x)))
            }
        }
    }

    /// The gradients of its tensors and of `x`.
    ///
    /// # Shapes
    /// `x` and `d_y [T, C]` → and `[T, C]`.
    pub fn backward(&self, x: &Array2<f64>, d_y: &Array2<f64>) -> (Self, Array2<f64>) {
        match self {
            Self::Plain {
                activation,
                up,
                down,
            } => {
                let activation = *activation;
                let wide = up.forward(x);
                let (down, d_bent) = down.backward(&wide.mapv(|x| activation.bend(x)), d_y);
                // Each number was bent on its own: its gradient passes by the slope at its place.
                let d_wide = d_bent * wide.mapv(|x| activation.slope(x));
                let (up, d_x) = up.backward(x, &d_wide);
                let gradients = Self::Plain {
                    activation,
                    up,
                    down,
                };
                (gradients, d_x)
            }
            Self::Gated { gate, up, down } => {
                // The product needs both factors on its way back: each is the other's slope.
                let (opened, wide) = (gate.forward(x), up.forward(x));
                let (down, d_mixed) = down.backward(&swiglu(&opened, &wide), d_y);
                let (d_opened, d_wide) = swiglu_backward(&opened, &wide, &d_mixed);
                let (gate, d_x_gate) = gate.backward(x, &d_opened);
                let (up, d_x_up) = up.backward(x, &d_wide);
                // x was read twice, so what it is to blame for adds up.
                (Self::Gated { gate, up, down }, d_x_gate + d_x_up)
            }
        }
    }
}

impl Layer for FeedForward {
    fn parameters(&self) -> Vec<Parameter<'_>> {
        match self {
            Self::Plain { up, down, .. } => [within("up", up), within("down", down)].concat(),
            Self::Gated { gate, up, down } => {
                [within("gate", gate), within("up", up), within("down", down)].concat()
            }
        }
    }

    fn parameters_mut(&mut self) -> Vec<&mut [f64]> {
        let layers = match self {
            Self::Plain { up, down, .. } => vec![up, down],
            Self::Gated { gate, up, down } => vec![gate, up, down],
        };
        layers
            .into_iter()
            .flat_map(|layer| layer.parameters_mut())
            .collect()
    }
}
