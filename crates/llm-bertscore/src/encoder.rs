//! The encoder of BERT (Devlin et al. 2018) and RoBERTa (Liu et al. 2019).
//!
//! `x₀ = norm(word + position + type)`, and per layer `a = norm(x + O·attention(x))`,
//! `x' = norm(a + W₂ gelu(W₁ a))`: a Transformer whose norms stand *after* each sum, and in which
//! every token reads every other one.

use candle_core::{D, Tensor};
use llm_core::ops::{GeluKind, Ops};

use crate::Result;
use crate::config::{Config, Family};
use crate::weights::Weights;

/// `y = x Wᵀ + b`.
struct Linear {
    /// `[O, I]`
    weight: Tensor,
    /// `[O]`
    bias: Tensor,
}

impl Linear {
    fn load(weights: &Weights, name: &str, (o, i): (usize, usize)) -> Result<Self> {
        Ok(Self {
            weight: weights.tensor(&format!("{name}.weight"), &[o, i])?,
            bias: weights.tensor(&format!("{name}.bias"), &[o])?,
        })
    }

    fn forward(&self, ops: Ops, x: &Tensor) -> llm_core::Result<Tensor> {
        ops.linear(x, &self.weight, Some(&self.bias))
    }
}

/// Layer norm with weight and bias.
struct Norm {
    /// `[C]`
    weight: Tensor,
    /// `[C]`
    bias: Tensor,
    eps: f64,
}

impl Norm {
    fn load(weights: &Weights, name: &str, config: &Config) -> Result<Self> {
        let c = config.hidden_size;
        Ok(Self {
            weight: weights.tensor(&format!("{name}.LayerNorm.weight"), &[c])?,
            bias: weights.tensor(&format!("{name}.LayerNorm.bias"), &[c])?,
            eps: config.layer_norm_eps,
        })
    }

    fn forward(&self, ops: Ops, x: &Tensor) -> llm_core::Result<Tensor> {
        ops.layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

impl Layer {
    fn load(config: &Config, weights: &Weights, index: usize) -> Result<Self> {
        let (c, f) = (config.hidden_size, config.intermediate_size);
        let linear = |name: &str, sizes| {
            Linear::load(weights, &format!("encoder.layer.{index}.{name}"), sizes)
        };
        let norm = |name: &str| {
            Norm::load(weights, &format!("encoder.layer.{index}.{name}"), config)
        };
        Ok(Self {
            query: linear("attention.self.query", (c, c))?,
            key: linear("attention.self.key", (c, c))?,
            value: linear("attention.self.value", (c, c))?,
            out: linear("attention.output.dense", (c, c))?,
            attention_norm: norm("attention.output")?,
            up: linear("intermediate.dense", (f, c))?,
            down: linear("output.dense", (c, f))?,
            norm: norm("output")?,
        })
    }

    /// `x [B, T, C]` → `[B, T, C]`.
    fn forward(&self, encoder: &Encoder, x: &Tensor) -> llm_core::Result<Tensor> {
        let ops = encoder.ops;
        let read = self.attend(encoder, x)?;
        let sum = ops.add(x, &self.out.forward(ops, &read)?)?;
        let x = self.attention_norm.forward(ops, &sum)?;
        let wide = ops.gelu(&self.up.forward(ops, &x)?, encoder.gelu)?;
        let sum = ops.add(&x, &self.down.forward(ops, &wide)?)?;
        self.norm.forward(ops, &sum)
    }

    /// Every token reads every token of its row: `x [B, T, C]` → `[B, T, C]`.
    fn attend(&self, encoder: &Encoder, x: &Tensor) -> llm_core::Result<Tensor> {
        let (b, t, c) = x.dims3()?;
        let h = encoder.heads;
        let d = c / h;
        let by_head = |linear: &Linear| -> llm_core::Result<Tensor> {
            let flat = linear.forward(encoder.ops, x)?;
            Ok(flat.reshape((b, t, h, d))?.transpose(1, 2)?.contiguous()?)
        };
        let (q, k, v) = (by_head(&self.query)?, by_head(&self.key)?, by_head(&self.value)?);
        let scale = 1.0 / (d as f64).sqrt();
        let scores = (q.matmul(&k.transpose(2, 3)?.contiguous()?)? * scale)?;
        let weights = softmax(&scores)?;
        let read = weights.matmul(&v)?.transpose(1, 2)?;
        Ok(read.contiguous()?.reshape((b, t, c))?)
    }
}

/// Softmax over the last axis.
fn softmax(scores: &Tensor) -> candle_core::Result<Tensor> {
    let largest = scores.max_keepdim(D::Minus1)?;
    let exponentials = scores.broadcast_sub(&largest)?.exp()?;
    exponentials.broadcast_div(&exponentials.sum_keepdim(D::Minus1)?)
}

/// The embedding and the first layers of an encoder.
pub(crate) struct Encoder {
    ops: Ops,
    heads: usize,
    gelu: GeluKind,
    family: Family,
    pad_token_id: u32,
    first_position: usize,
    /// `[V, C]`
    words: Tensor,
    /// `[positions, C]`
    positions: Tensor,
    /// `[C]`: texts are never pairs here, so all tokens are of the first type
    token_type: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
}

impl Encoder {
    /// Reads the embedding and the first `layers` layers.
    ///
    /// # Errors
    /// A tensor that is missing, of another shape or not finite.
    pub(crate) fn load(config: &Config, weights: &Weights, layers: usize) -> Result<Self> {
        let c = config.hidden_size;
        let table = |name: &str, rows| {
            weights.tensor(&format!("embeddings.{name}_embeddings.weight"), &[rows, c])
        };
        let words = table("word", config.vocab_size)?;
        let types = table("token_type", config.type_vocab_size)?;
        let first_type = types.get(0).map_err(|source| weights.candle(source))?;
        Ok(Self {
            ops: Ops::for_device(words.device()),
            heads: config.num_attention_heads,
            gelu: config.gelu,
            family: config.family,
            pad_token_id: config.pad_token_id,
            first_position: config.first_position(),
            words,
            positions: table("position", config.max_position_embeddings)?,
            token_type: first_type,
            norm: Norm::load(weights, "embeddings", config)?,
            layers: (0..layers)
                .map(|index| Layer::load(config, weights, index))
                .collect::<Result<_>>()?,
        })
    }

    /// How many layers there are.
    pub(crate) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// The vectors of texts of one length.
    ///
    /// # Shapes
    /// B rows of T ids → `[B, T, C]`.
    ///
    /// # Errors
    /// An id outside the vocabulary, or more tokens than positions.
    pub(crate) fn forward(&self, rows: &[&[u32]]) -> llm_core::Result<Tensor> {
        let shape = (rows.len(), rows.first().map_or(0, |row| row.len()));
        let device = self.words.device();
        let ids = Tensor::from_vec(rows.concat(), shape, device)?;
        let positions: Vec<u32> = rows.iter().flat_map(|row| self.positions_of(row)).collect();
        let positions = Tensor::from_vec(positions, shape, device)?;
        let words = self.ops.embedding(&self.words, &ids)?;
        let places = self.ops.embedding(&self.positions, &positions)?;
        let sum = self.ops.add(&words, &places)?.broadcast_add(&self.token_type)?;
        let mut x = self.norm.forward(self.ops, &sum)?;
        for layer in &self.layers {
            x = layer.forward(self, &x)?;
        }
        Ok(x)
    }

    /// BERT counts every token from 0. RoBERTa counts from behind the padding token's id, and a
    /// token of that name in a text stays at it.
    fn positions_of(&self, ids: &[u32]) -> Vec<u32> {
        let mut next = u32::try_from(self.first_position).unwrap_or(u32::MAX);
        let position = |&id: &u32| match (self.family, id == self.pad_token_id) {
            (Family::Roberta, true) => self.pad_token_id,
            _ => {
                let here = next;
                next = next.saturating_add(1);
                here
            }
        };
        ids.iter().map(position).collect()
    }
}
