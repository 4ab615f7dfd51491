//! Multi-head attention as a layer (Vaswani et al. 2017): project, split, attend, concat, project.
//!
//! ```text
//! q, k, v = x Wqᵀ, x Wkᵀ, x Wvᵀ        y = concat(attention of each head) Woᵀ
//! ```
//!
//! Each head has its own rows of Wq, Wk and Wv, so it asks its own question with D = C/H channels; a
//! head costs what it adds and H heads cost what one of full width does: 4 C² numbers, 4 C more with
//! biases. [`super::heads`] has the functions, this page the numbers that they learn.

use candle_core::{DType, Device};
use ndarray::{Array2, Array3};

use super::attention::{Mask, Trace};
use super::gradient::compare;
use super::heads::{attend_heads, attend_heads_backward, attend_heads_with_ops, concat};
use super::heads::{group, outputs, repeat, split, trace_heads};
use super::layers::Linear;
use super::parameters::{Layer, Parameter, within};
use super::self_attention::SelfAttention;
use crate::Result;
use crate::rng::ChaCha8Rng;

/// The sizes of a [`MultiHead`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSizes {
    /// C
    pub channels: usize,
    /// H, a divisor of C.
    pub heads: usize,
    /// K, a divisor of H.
    pub kv_heads: usize,
}

/// Attention as a layer: three projections, H heads, one projection back.
#[derive(Clone, Debug, PartialEq)]
pub struct MultiHead {
    /// H
    pub heads: usize,
    /// K
    pub kv_heads: usize,
    /// `[H·D, C]`
    pub q: Linear,
    /// `[K·D, C]`
    pub k: Linear,
    /// `[K·D, C]`
    pub v: Linear,
    /// `[C, H·D]`
    pub o: Linear,
}

/// Every matrix on the way through [`MultiHead`].
#[derive(Clone, Debug)]
pub struct HeadsTrace {
    /// `[H, T, D]`
    pub q: Array3<f64>,
    /// `[K, T, D]`
    pub k: Array3<f64>,
    /// `[K, T, D]`
    pub v: Array3<f64>,
    /// One a query head; its weights are `[T, T]`.
    pub heads: Vec<Trace>,
    /// `[T, H·D]`
    pub joined: Array2<f64>,
    /// `[T, C]`
    pub output: Array2<f64>,
}

impl HeadsTrace {
    /// The weights of all heads side by side; what a query may not read is NaN.
    ///
    /// # Shapes
    /// → `[T, H·T]`.
    pub fn maps(&self) -> Array2<f64> {
        let (h, t, _d) = self.q.dim();
        Array2::from_shape_fn((t, h * t), |(query, at)| {
            let (head, key) = (&self.heads[at / t], at % t);
            match head.masked[[query, key]].is_finite() {
                true => head.weights[[query, key]],
                false => f64::NAN,
            }
        })
    }
}

impl MultiHead {
    /// Drawn weights; biases on all four projections or on none.
    ///
    /// # Errors
    /// Heads that do not divide the channels, key-value heads that do not divide the heads.
    pub fn draw(rng: &mut ChaCha8Rng, sizes: HeadSizes, bias: bool) -> Result<Self> {
        let (c, h, k) = (sizes.channels, sizes.heads, sizes.kv_heads);
        let (_h, _t, d) = split(&Array2::zeros((0, c)), h)?.dim();
        group(h, k)?;
        Ok(Self {
            heads: h,
            kv_heads: k,
            q: Linear::draw(rng, c, h * d, bias),
            k: Linear::draw(rng, c, k * d, bias),
            v: Linear::draw(rng, c, k * d, bias),
            o: Linear::draw(rng, h * d, c, bias),
        })
    }

    /// What each head's scores are multiplied by: 1/√D.
    pub fn scale(&self) -> f64 {
        let (q_outputs, _c) = self.q.weight.dim();
        ((q_outputs / self.heads.max(1)) as f64).sqrt().recip()
    }

    // ANCHOR: forward
    /// Project, split, attend, concat, project.
    ///
    /// # Shapes
    /// `x [T, C]` → a [`HeadsTrace`] with the output `[T, C]`.
    ///
    /// # Errors
    /// Heads that do not divide their channels.
    pub fn forward(&self, x: &Array2<f64>, mask: Mask) -> Result<HeadsTrace> {
        let q = split(&self.q.forward(x), self.heads)?;
        let k = split(&self.k.forward(x), self.kv_heads)?;
        let v = split(&self.v.forward(x), self.kv_heads)?;
        let heads = trace_heads(&q, &k, &v, self.scale(), mask)?;
        let joined = concat(&outputs(&heads, q.dim()));
        // Heads did not meet so far: this last matrix mixes what they found.
        let output = self.o.forward(&joined);
        Ok(HeadsTrace {
            q,
            k,
            v,
            heads,
            joined,
            output,
        })
    }
    // ANCHOR_END: forward

    /// The largest difference between what its heads read and what the fused operation that models
    /// run makes of the same q, k and v.
    ///
    /// # Errors
    /// What the tensor library reports.
    pub fn apart_from_fused(&self, trace: &HeadsTrace) -> Result<f64> {
        let heads = (&trace.q, &trace.k, &trace.v);
        let fused = attend_heads_with_ops(heads, self.scale(), DType::F64, &Device::Cpu)?;
        Ok(apart(&trace.joined, &concat(&fused)))
    }

    /// The largest difference to multi-head attention in which every head has its own copy of the
    /// keys and values that it shares here.
    ///
    /// # Errors
    /// Key-value heads that do not divide the heads.
    pub fn apart_from_copies(&self, trace: &HeadsTrace, mask: Mask) -> Result<f64> {
        let times = group(self.heads, self.kv_heads)?;
        let (k, v) = (repeat(&trace.k, times), repeat(&trace.v, times));
        let copies = attend_heads(&trace.q, &k, &v, self.scale(), mask)?;
        Ok(apart(&trace.joined, &concat(&copies)))
    }

    /// The gradients of its tensors and of `x`: the same way back.
    ///
    /// # Shapes
    /// `x` and `d_y [T, C]` → and `[T, C]`.
    ///
    /// # Errors
    /// As [`MultiHead::forward`].
    pub fn backward(
        &self,
        x: &Array2<f64>,
        mask: Mask,
        d_y: &Array2<f64>,
    ) -> Result<(Self, Array2<f64>)> {
        let HeadsTrace {
            q, k, v, joined, ..
        } = self.forward(x, mask)?;
        let (o, d_joined) = self.o.backward(&joined, d_y);
        // concat only moved numbers, so its gradient moves them back: that is split, and the other
        // way round.
        let d_heads = split(&d_joined, self.heads)?;
        let (d_q, d_k, d_v) = attend_heads_backward((&q, &k, &v), self.scale(), mask, &d_heads)?;
        let (q, d_x_q) = self.q.backward(x, &concat(&d_q));
        let (k, d_x_k) = self.k.backward(x, &concat(&d_k));
        let (v, d_x_v) = self.v.backward(x, &concat(&d_v));
        let gradients = Self {
            heads: self.heads,
            kv_heads: self.kv_heads,
            q,
            k,
            v,
            o,
        };
        // x was read three times.
        Ok((gradients, d_x_q + d_x_k + d_x_v))
    }
}

/// The largest difference of two matrices.
pub fn apart(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let flat = |x: &Array2<f64>| x.iter().copied().collect::<Vec<f64>>();
    compare(&flat(a), &flat(b)).largest
}

impl From<SelfAttention> for MultiHead {
    /// The one head as a layer of one head: the same matrices, no biases.
    fn from(one: SelfAttention) -> Self {
        let linear = |weight| Linear { weight, bias: None };
        Self {
            heads: 1,
            kv_heads: 1,
            q: linear(one.query),
            k: linear(one.key),
            v: linear(one.value),
            o: linear(one.output),
        }
    }
}

impl Layer for MultiHead {
    fn parameters(&self) -> Vec<Parameter<'_>> {
        let parts = [
            ("q", &self.q),
            ("k", &self.k),
            ("v", &self.v),
            ("o", &self.o),
        ];
        let named = parts.map(|(name, part)| within(name, part));
        named.concat()
    }

    fn parameters_mut(&mut self) -> Vec<&mut [f64]> {
        let parts = [&mut self.q, &mut self.k, &mut self.v, &mut self.o];
        parts
            .into_iter()
            .flat_map(|part| part.parameters_mut())
            .collect()
    }
}
