//! Attention as a module: four matrices that learn.
//!
//! ```text
//! q = x Wqᵀ    k = x Wkᵀ    v = x Wvᵀ    y = attention(q, k, v) Woᵀ
//! ```
//!
//! [`attend`] itself has nothing to learn. What a token asks, offers and says is in these matrices, and
//! [`SelfAttention::backward`] says how each of their numbers should move.
//!
//! ```
//! use llm_core::math::attention::Mask;
//! use llm_core::math::self_attention::SelfAttention;
//! use llm_core::rng::{Purpose, stream};
//! let module = SelfAttention::init(&mut stream(7, Purpose::Init), 8, 4);
//! assert_eq!(module.count(), 4 * 8 * 4);
//! let x = ndarray::Array2::ones((3, 8));
//! assert_eq!(module.forward(&x, Mask::Causal).y.dim(), (3, 8));
//! ```

use ndarray::Array2;

use super::attention::{AttentionGradients, Mask, Trace, attend, attend_backward};
use super::linear::{linear, linear_backward};
use super::rope::{THETA, frequencies, turn};
use super::scale::gaussian;
use crate::rng::ChaCha8Rng;

/// One head of self-attention. Its gradient has the same four matrices, so it is the same type.
#[derive(Clone, Debug, PartialEq)]
pub struct SelfAttention {
    /// What a token asks for: `[D, C]`
    pub query: Array2<f64>,
    /// What a token offers: `[D, C]`
    pub key: Array2<f64>,
    /// What a token says when it is read: `[D, C]`
    pub value: Array2<f64>,
    /// What becomes of the mixture: `[C, D]`
    pub output: Array2<f64>,
}

/// What [`SelfAttention::forward`] computed, kept because the way back needs it.
#[derive(Clone, Debug)]
pub struct Forward {
    /// `[T, D]`
    pub q: Array2<f64>,
    /// `[T, D]`
    pub k: Array2<f64>,
    /// `[T, D]`
    pub v: Array2<f64>,
    /// Scores, weights and the mixed values.
    pub trace: Trace,
    /// `[T, C]`
    pub y: Array2<f64>,
}

/// Everything that [`SelfAttention::backward`] finds out.
#[derive(Clone, Debug)]
pub struct Backward {
    /// The gradient of each matrix.
    pub parameters: SelfAttention,
    /// The gradients of q, k and v.
    pub heads: AttentionGradients,
    /// For the layer below: `[T, C]`
    pub x: Array2<f64>,
}

impl SelfAttention {
    /// Seeded draws; variance 1 / inputs keeps the variance of what passes through.
    ///
    /// # Shapes
    /// C channels, heads of D.
    pub fn init(rng: &mut ChaCha8Rng, c: usize, d: usize) -> Self {
        let mut draw = |o, i| gaussian(rng, o, i, (i as f64).sqrt().recip());
        Self {
            query: draw(d, c),
            key: draw(d, c),
            value: draw(d, c),
            output: draw(c, d),
        }
    }

    /// Names and matrices, in a fixed order.
    pub fn parameters(&self) -> [(&'static str, &Array2<f64>); 4] {
        [
            ("query", &self.query),
            ("key", &self.key),
            ("value", &self.value),
            ("output", &self.output),
        ]
    }

    fn parameters_mut(&mut self) -> [(&'static str, &mut Array2<f64>); 4] {
        [
            ("query", &mut self.query),
            ("key", &mut self.key),
            ("value", &mut self.value),
            ("output", &mut self.output),
        ]
    }

    /// The number of numbers: `4 · C · D`.
    pub fn count(&self) -> usize {
        self.parameters().iter().map(|(_, w)| w.len()).sum()
    }

    /// 1/√D
    pub fn scale(&self) -> f64 {
        (self.query.nrows() as f64).sqrt().recip()
    }

    // ANCHOR: forward
    /// # Shapes
    /// `x [T, C]` → [`Forward`] with `y [T, C]`.
    pub fn forward(&self, x: &Array2<f64>, mask: Mask) -> Forward {
        let [q, k, v] = self.project(x);
        self.read(q, k, v, mask)
    }

    /// q, k and v: three views of each token.
    pub(super) fn project(&self, x: &Array2<f64>) -> [Array2<f64>; 3] {
        [&self.query, &self.key, &self.value].map(|weight| linear(x, weight, None))
    }

    /// What the tokens read, and what becomes of it.
    fn read(&self, q: Array2<f64>, k: Array2<f64>, v: Array2<f64>, mask: Mask) -> Forward {
        let trace = attend(&q, &k, &v, self.scale(), mask);
        let y = linear(&trace.output, &self.output, None);
        Forward { q, k, v, trace, y }
    }
    // ANCHOR_END: forward

    // ANCHOR: backward
    /// The same steps in the opposite order; each turns the gradient of what it made into the
    /// gradients of what it was made from.
    ///
    /// # Shapes
    /// `x [T, C]`, `d_y [T, C]`.
    pub fn backward(&self, x: &Array2<f64>, forward: &Forward, d_y: &Array2<f64>) -> Backward {
        let (heads, output) = self.read_backward(forward, d_y);
        self.project_backward(x, heads, output)
    }

    /// From `d_y` to the gradients of q, k and v, and to that of the output matrix.
    fn read_backward(
        &self,
        forward: &Forward,
        d_y: &Array2<f64>,
    ) -> (AttentionGradients, Array2<f64>) {
        let Forward { q, k, v, trace, .. } = forward;
        let output = linear_backward(&trace.output, &self.output, d_y);
        let heads = attend_backward((q, k, v), &trace.weights, self.scale(), &output.x);
        (heads, output.weight)
    }

    /// From the gradients of q, k and v to those of the matrices that made them, and of `x`.
    fn project_backward(
        &self,
        x: &Array2<f64>,
        heads: AttentionGradients,
        output: Array2<f64>,
    ) -> Backward {
        let query = linear_backward(x, &self.query, &heads.q);
        let key = linear_backward(x, &self.key, &heads.k);
        let value = linear_backward(x, &self.value, &heads.v);
        let parameters = Self {
            query: query.weight,
            key: key.weight,
            value: value.weight,
            output,
        };
        // x went into three projections: what each says about it adds up.
        let x = query.x + key.x + value.x;
        Backward {
            parameters,
            heads,
            x,
        }
    }
    // ANCHOR_END: backward

    /// [`SelfAttention::forward`] with queries and keys turned by the places where the tokens stand,
    /// as [rope](super::rope) does. Values are not turned: places decide who is read, not what is
    /// said.
    ///
    /// # Shapes
    /// `x [T, C]`, `places [T]` → [`Forward`] with q and k as they were compared.
    pub fn forward_at(&self, x: &Array2<f64>, places: &[f64], mask: Mask) -> Forward {
        let [q, k, v] = self.project(x);
        let turned = |x| turn(x, &self.frequencies(), places, 1.0);
        self.read(turned(&q), turned(&k), v, mask)
    }

    /// The way back of [`SelfAttention::forward_at`].
    ///
    /// # Shapes
    /// `x [T, C]`, `places [T]`, `d_y [T, C]`.
    pub fn backward_at(
        &self,
        x: &Array2<f64>,
        places: &[f64],
        forward: &Forward,
        d_y: &Array2<f64>,
    ) -> Backward {
        let (mut heads, output) = self.read_backward(forward, d_y);
        // The gradient of a turn is the turn back.
        let turned = |x| turn(x, &self.frequencies(), places, -1.0);
        (heads.q, heads.k) = (turned(&heads.q), turned(&heads.k));
        self.project_backward(x, heads, output)
    }

    fn frequencies(&self) -> Vec<f64> {
        frequencies(self.query.nrows(), THETA)
    }

    /// The length of each matrix taken as one arrow; of a gradient, how hard it pulls.
    pub fn norms(&self) -> [f64; 4] {
        let norm = |w: &Array2<f64>| w.iter().map(|x| x * x).sum::<f64>().sqrt();
        self.parameters().map(|(_, matrix)| norm(matrix))
    }

    /// Adds `factor` times the matrices of `other`, except the one called `except`: a step downhill
    /// where `other` is a gradient and `factor` is minus the learning rate.
    pub fn add_scaled(&mut self, factor: f64, other: &Self, except: Option<&str>) {
        for ((name, own), (_, other)) in self.parameters_mut().into_iter().zip(other.parameters()) {
            if Some(name) != except {
                own.zip_mut_with(other, |own, other| *own += factor * other);
            }
        }
    }

    /// The same module with other numbers in the matrix called `name`, row-major.
    #[must_use]
    pub fn with(&self, name: &str, values: &[f64]) -> Self {
        let mut module = self.clone();
        for (own, matrix) in module.parameters_mut() {
            if own == name {
                let numbers = matrix.iter_mut().zip(values);
                numbers.for_each(|(number, value)| *number = *value);
            }
        }
        module
    }
}
