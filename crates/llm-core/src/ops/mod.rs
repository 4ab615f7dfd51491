//! The differentiable operations that every layer is made of.
//!
//! Each exists twice behind one name. [`Ops::Fused`] runs our CPU kernels, one large graph node with
//! its own backward each. [`Ops::Composed`] spells the same function out in the tensor library's
//! basic operations, whose gradients are known to be complete: it is the slow model that the
//! gradient audit compares with, and what runs on GPUs when training.

mod attention;
mod checkpoint;
mod column_scale;
mod composed;
mod cross_entropy;
mod dropout;
mod embedding;
mod frozen;
mod gated_mlp;
mod gelu;
mod head_loss;
mod layer_norm;
mod linear;
mod log_prob_loss;
mod lora_linear;
mod placed_attention;
mod prepend;
mod rms_norm;
mod rope;
mod segments;
mod slices;
mod swiglu;
mod tape;

use std::sync::Arc;

use candle_core::{Device, Shape, Tensor};

pub use attention::AttentionSpec;
pub use checkpoint::checkpoint;
pub use frozen::{PackedWeight, Products};
pub use gated_mlp::GatedMlp;
pub use gelu::GeluKind;
pub use log_prob_loss::{LogProbLoss, OfLogProbs};
pub use lora_linear::Adapter;
pub use placed_attention::Placing;
pub use rope::RopeTable;
pub use segments::Segments;
pub use tape::{Tape, record};

use crate::Result;

/// The label of a token that does not count in the loss.
pub const IGNORE_INDEX: i64 = -100;

/// Which implementation of the operations runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ops {
    /// Our CPU kernels with backward. Tensors must be f32 or f64 on the CPU.
    Fused,
    /// Basic tensor operations, differentiable on every device.
    Composed,
}

impl Ops {
    /// The fused kernels on a CPU, the composed operations elsewhere.
    pub fn for_device(device: &Device) -> Self {
        if device.is_cpu() {
            Self::Fused
        } else {
            Self::Composed
        }
    }

    /// `y = x Wᵀ + b`.
    ///
    /// A `weight` outside the autograd graph is frozen: its gradient is never computed. It may be
    /// bf16 beside f32 activations, which gives the result of the widened weight.
    ///
    /// # Shapes
    /// `x [.., I]`, `weight [O, I]`, `bias [O]` → `[.., O]`.
    pub fn linear(self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        match self {
            Self::Fused => linear::linear(x, weight, bias),
            Self::Composed => composed::linear(x, weight, bias),
        }
    }

    /// `r + x Wᵀ + b`: a projection into a residual stream. A frozen one keeps neither `r` nor the
    /// product for the backward pass.
    ///
    /// # Shapes
    /// `residual [.., O]`, `x [.., I]`, `weight [O, I]`, `bias [O]` → `[.., O]`.
    pub fn add_linear(
        self,
        residual: &Tensor,
        x: &Tensor,
        weight: &PackedWeight,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        match self {
            Self::Fused => linear::add_packed(residual, x, weight, bias),
            Self::Composed => self.add(residual, &self.packed_linear(x, weight, bias)?),
        }
    }

    /// As [`Ops::linear`] for a weight that may keep its packed form between calls, which makes
    /// decoding fast.
    ///
    /// # Shapes
    /// `x [.., I]`, `weight [O, I]`, `bias [O]` → `[.., O]`.
    pub fn packed_linear(
        self,
        x: &Tensor,
        weight: &PackedWeight,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        match self {
            Self::Fused => linear::packed(x, weight, bias),
            Self::Composed => composed::linear(x, weight.tensor(), bias),
        }
    }

    /// `y = x Wᵀ + b + s · dropout(x) Aᵀ Bᵀ` (Hu et al. 2021), W frozen.
    ///
    /// # Shapes
    /// `x [.., I]`, `weight [O, I]`, `bias [O]`, adapter of `[R, I]` and `[O, R]` → `[.., O]`.
    ///
    /// # Errors
    /// Sizes that do not fit, or a dropout outside `0 ≤ p < 1`.
    pub fn lora_linear(
        self,
        x: &Tensor,
        weight: &PackedWeight,
        bias: Option<&Tensor>,
        adapter: &Adapter,
    ) -> Result<Tensor> {
        let trained = |tensor: &Tensor| tensor.track_op();
        match self {
            Self::Fused if !trained(weight.tensor()) && !bias.is_some_and(trained) => {
                lora_linear::lora_linear(x, weight, bias, adapter)
            }
            _ => lora_linear::composed(self, x, weight, bias, adapter),
        }
    }

    /// `y = x ⊙ (m / n) + b`, a factor for each column. The magnitudes m may train; the norms n are
    /// constants, whatever they were computed from (Liu et al. 2024, section 4.3).
    ///
    /// # Shapes
    /// `x [.., O]`, `magnitude [O]`, `norms [O]`, `bias [O]` → `[.., O]`.
    ///
    /// # Errors
    /// Sizes or number types that do not fit.
    pub fn scale_columns(
        self,
        x: &Tensor,
        magnitude: &Tensor,
        norms: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        match self {
            Self::Fused if !bias.is_some_and(Tensor::track_op) => {
                column_scale::fused(x, magnitude, norms, bias)
            }
            _ => column_scale::composed(x, magnitude, norms, bias),
        }
    }

    /// `y = x / √(mean(x²) + ε) · w` over the last axis (Zhang and Sennrich 2019).
    ///
    /// # Shapes
    /// `x [.., C]`, `weight [C]` → `[.., C]`.
    pub fn rms_norm(self, x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
        match self {
            Self::Fused => rms_norm::rms_norm(x, weight, eps),
            Self::Composed => composed::rms_norm(x, weight, eps),
        }
    }

    /// `y = (x − mean(x)) / √(var(x) + ε) · w + b` over the last axis (Ba et al. 2016).
    ///
    /// # Shapes
    /// `x [.., C]`, `weight [C]`, `bias [C]` → `[.., C]`.
    pub fn layer_norm(
        self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        eps: f64,
    ) -> Result<Tensor> {
        match self {
            Self::Fused => layer_norm::layer_norm(x, weight, bias, eps),
            Self::Composed => composed::layer_norm(x, weight, bias, eps),
        }
    }

    /// Rotates each head by its position (Su et al. 2021), halves paired as in Hugging Face.
    ///
    /// Row `t` of `x` stands at position `offset + t`.
    ///
    /// # Shapes
    /// `x [B, T, H, D]` → `[B, T, H, D]`.
    pub fn rope(self, x: &Tensor, table: &RopeTable, offset: usize) -> Result<Tensor> {
        match self {
            Self::Fused => rope::rope(x, table, offset),
            Self::Composed => composed::rope(x, table, offset),
        }
    }

    /// Scaled dot-product attention in which a query reads the keys at or before its position.
    ///
    /// Query `t` stands at position `S − T + t`, key `s` at position `s`; with a window `w` a
    /// query at position `p` reads the keys `p − w < s ≤ p`. `K` divides `H`; query head `h`
    /// reads key-value head `h / (H / K)`.
    ///
    /// # Shapes
    /// `q [B, T, H, D]`, `k` and `v [B, S, K, D]` → `[B, T, H, D]`.
    pub fn causal_attention(
        self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        spec: &AttentionSpec,
    ) -> Result<Tensor> {
        match self {
            Self::Fused => attention::causal_attention(q, k, v, spec),
            Self::Composed => composed::causal_attention(q, k, v, spec),
        }
    }

    /// [`Ops::causal_attention`] of queries and keys that are normed and turned first, all of one
    /// text from `placing.offset` on. Where the norms do not train, only q, k and v are kept for the
    /// backward pass.
    ///
    /// # Shapes
    /// `q [B, T, H, D]`, `k` and `v [B, T, K, D]` → `[B, T, H, D]`.
    pub fn placed_attention(
        self,
        qkv: [&Tensor; 3],
        placing: &Placing,
        spec: &AttentionSpec,
    ) -> Result<Tensor> {
        match self {
            Self::Fused => placed_attention::placed_attention(qkv, placing, spec),
            Self::Composed => placed_attention::chain(self, qkv, placing, spec),
        }
    }

    /// As [`Ops::causal_attention`] over `heads` queries, `kv_heads` keys and `kv_heads` values that
    /// lie side by side, as one projection leaves them: read in place, and the gradient is written
    /// as one tensor.
    ///
    /// # Shapes
    /// `qkv [B, T, (H + 2K) · D]` → `[B, T, H · D]`.
    pub fn causal_attention_packed(
        self,
        qkv: &Tensor,
        heads: usize,
        kv_heads: usize,
        spec: &AttentionSpec,
    ) -> Result<Tensor> {
        attention::check_packed(qkv, (heads, kv_heads), spec)?;
        match self {
            Self::Fused => attention::causal_attention_packed(qkv, (heads, kv_heads), spec),
            Self::Composed => composed::causal_attention_packed(qkv, (heads, kv_heads), spec),
        }
    }

    /// As [`Ops::rope`] where the tokens of all rows, one after another, stand at `positions`.
    ///
    /// # Shapes
    /// `x [B, T, H, D]`, `positions` of length B · T → `[B, T, H, D]`.
    ///
    /// # Errors
    /// Another number of positions, or one past the end of the table.
    pub fn rope_at(self, x: &Tensor, table: &RopeTable, positions: &[u32]) -> Result<Tensor> {
        match self {
            Self::Fused => rope::rope_at(x, table, positions),
            Self::Composed => composed::rope_at(x, table, positions),
        }
    }

    /// As [`Ops::causal_attention`] within each document of packed rows: no token reads one of
    /// another document, and a document has the bits that it would have in a row of its own.
    /// Padding gets zeros.
    ///
    /// # Shapes
    /// `q [B, T, H, D]`, `k` and `v [B, T, K, D]` → `[B, T, H, D]`.
    ///
    /// # Errors
    /// Segments of another batch, or what [`Ops::causal_attention`] reports.
    pub fn segmented_attention(
        self,
        [q, k, v]: [&Tensor; 3],
        spec: &AttentionSpec,
        segments: &Arc<Segments>,
    ) -> Result<Tensor> {
        segments::check(q, k, v, spec, segments)?;
        match self {
            Self::Fused => segments::fused([q, k, v], spec, segments),
            Self::Composed => segments::composed([q, k, v], spec, segments),
        }
    }

    /// The Gaussian error linear unit (Hendrycks and Gimpel 2016).
    ///
    /// # Shapes
    /// `x [..]` → `[..]`.
    pub fn gelu(self, x: &Tensor, kind: GeluKind) -> Result<Tensor> {
        match self {
            Self::Fused => gelu::gelu(x, kind),
            Self::Composed => composed::gelu(x, kind),
        }
    }

    /// `silu(gate) · up` (Shazeer 2020).
    ///
    /// # Shapes
    /// `gate [.., F]`, `up [.., F]` → `[.., F]`.
    pub fn swiglu(self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        match self {
            Self::Fused => swiglu::swiglu(gate, up),
            Self::Composed => composed::swiglu(gate, up),
        }
    }

    /// `x + down(silu(gate(n)) · up(n))` with `n` the [`Ops::rms_norm`] of x: the feed-forward half
    /// of a block. Where nothing of it trains, only x and the outputs of gate and up are kept for
    /// the backward pass.
    ///
    /// # Shapes
    /// `x [.., C]` → `[.., C]`.
    pub fn gated_mlp(self, x: &Tensor, mlp: &GatedMlp) -> Result<Tensor> {
        match self {
            Self::Fused => gated_mlp::gated_mlp(x, mlp),
            Self::Composed => gated_mlp::chain(self, x, mlp),
        }
    }

    /// `scale · Σ −log softmax(logits)[target]` over the rows whose target is not
    /// [`IGNORE_INDEX`]. A mean over tokens is `scale = 1 / count`, with the count taken over all
    /// micro-batches of a step.
    ///
    /// # Shapes
    /// `logits [N, V]`, `targets` of length N → a scalar.
    ///
    /// # Errors
    /// A target that is neither [`IGNORE_INDEX`] nor in `0..V`.
    pub fn cross_entropy(self, logits: &Tensor, targets: &[i64], scale: f64) -> Result<Tensor> {
        cross_entropy::check_targets(logits, targets)?;
        match self {
            Self::Fused => cross_entropy::cross_entropy(logits, targets, scale),
            Self::Composed => composed::cross_entropy(logits, targets, scale),
        }
    }

    /// The [`Ops::cross_entropy`] of the logits `hidden · headᵀ`, without all logits at once.
    ///
    /// # Shapes
    /// `hidden [.., C]`, `head [V, C]`, `targets` of as many as hidden has rows → a scalar.
    ///
    /// # Errors
    /// As [`Ops::cross_entropy`].
    pub fn linear_cross_entropy(
        self,
        hidden: &Tensor,
        head: &PackedWeight,
        targets: &[i64],
        scale: f64,
    ) -> Result<Tensor> {
        match self {
            Self::Fused => head_loss::fused(hidden, head, targets, scale),
            Self::Composed => {
                let logits = self.packed_linear(hidden, head, None)?;
                let (n, v) = (targets.len(), head.tensor().dim(0)?);
                self.cross_entropy(&logits.reshape((n, v))?, targets, scale)
            }
        }
    }

    /// Zeroes each element with probability `p` and scales the rest by `1 / (1 − p)`.
    ///
    /// The mask is a function of `seed` and the element's index alone.
    ///
    /// # Shapes
    /// `x [..]` → `[..]`.
    ///
    /// # Errors
    /// A `p` outside `0 ≤ p < 1`.
    pub fn dropout(self, x: &Tensor, p: f64, seed: u64) -> Result<Tensor> {
        dropout::check_probability(p)?;
        if p == 0.0 {
            return Ok(x.clone());
        }
        match self {
            Self::Fused => dropout::dropout(x, p, seed),
            Self::Composed => composed::dropout(x, p, seed),
        }
    }

    /// Rows of `table` by token id. A frozen table in bf16 gives f32 rows when fused, and rows of
    /// its own type when composed.
    ///
    /// # Shapes
    /// `table [V, C]`, `ids [B, T]` of u32 → `[B, T, C]`.
    ///
    /// # Errors
    /// An id that is not in `0..V`.
    pub fn embedding(self, table: &Tensor, ids: &Tensor) -> Result<Tensor> {
        match self {
            Self::Fused => embedding::embedding(table, ids),
            Self::Composed => composed::embedding(table, ids),
        }
    }

    /// `a + b` of one shape: a residual connection.
    ///
    /// # Shapes
    /// `a [..]`, `b [..]` → `[..]`.
    pub fn add(self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        Ok(tape::add(a, b)?)
    }

    /// `factor · x`.
    ///
    /// # Shapes
    /// `x [..]` → `[..]`.
    pub fn scale(self, x: &Tensor, factor: f64) -> Result<Tensor> {
        Ok(tape::scale(x, factor)?)
    }

    /// `x` in another shape of as many elements.
    ///
    /// # Shapes
    /// `x [..]` → `shape`.
    pub fn reshape(self, x: &Tensor, shape: impl Into<Shape>) -> Result<Tensor> {
        Ok(tape::reshape(x, shape)?)
    }

    /// `len` indices of `axis` from `start` on.
    ///
    /// # Shapes
    /// `x [..]` → `[..]` with `len` along `axis`.
    pub fn narrow(self, x: &Tensor, axis: usize, start: usize, len: usize) -> Result<Tensor> {
        Ok(tape::narrow(x, axis, start, len)?)
    }
}
