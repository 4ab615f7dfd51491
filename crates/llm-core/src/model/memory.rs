//! How many bytes a model takes: weights, KV cache, buffers of a forward pass, training.
//!
//! ```
//! use llm_core::model::memory::{Storage, Training, weight_bytes};
//! assert_eq!(weight_bytes(7_000_000_000, Storage::Bf16), 14_000_000_000);
//! assert_eq!(Training::full(7_000_000_000).total(), 112_000_000_000);
//! ```
//!
//! The KV cache holds a key and a value of D numbers for each layer, key-value head and token:
//! `2 · L · K · D` numbers a token. The number of query heads plays no part.
//!
//! Training in mixed precision takes 16 bytes a trained parameter: 2 for the bf16 weight, 2 for its
//! gradient, 4 for the f32 copy that the optimizer adds small steps to, and 4 + 4 for Adam's two
//! moments. A frozen parameter takes its weight and nothing else, which is what LoRA saves; QLoRA
//! (Dettmers et al. 2023) also stores the frozen matrices in 4 bits. What a backward pass keeps
//! comes on top, grows with the batch, and is not counted here.

use super::count;
use crate::config::{MlpKind, ModelConfig};

/// How a weight is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// 32 bits.
    F32,
    /// 16 bits; f16 takes the same.
    Bf16,
    /// 8 bits; the scales of its blocks are left out. FP8 takes the same.
    Int8,
    /// NF4 with an f32 scale for each block of 64.
    Nf4,
    /// NF4 whose scales are themselves 8-bit numbers in blocks of 256.
    Nf4Double,
}

/// Weights that share a scale in NF4.
const NF4_BLOCK: f64 = 64.0;
/// Scales that share a scale in double quantization.
const SCALE_BLOCK: f64 = 256.0;

impl Storage {
    /// All of them, largest first.
    pub const ALL: [Self; 5] = [
        Self::F32,
        Self::Bf16,
        Self::Int8,
        Self::Nf4,
        Self::Nf4Double,
    ];

    /// The name on screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Nf4 => "nf4",
            Self::Nf4Double => "nf4, double quantized",
        }
    }

    /// Bits a weight, scales included where blocks have them.
    pub fn bits(self) -> f64 {
        match self {
            Self::F32 => 32.0,
            Self::Bf16 => 16.0,
            Self::Int8 => 8.0,
            Self::Nf4 => 4.0 + 32.0 / NF4_BLOCK,
            Self::Nf4Double => 4.0 + 8.0 / NF4_BLOCK + 32.0 / (NF4_BLOCK * SCALE_BLOCK),
        }
    }
}

/// The bytes of `parameters` weights, rounded up.
pub fn weight_bytes(parameters: u64, storage: Storage) -> u64 {
    (parameters as f64 * storage.bits() / 8.0).ceil() as u64
}

/// The bytes of the weights when the matrices of the blocks are quantized to `storage` and the
/// tables, norms and biases stay in bf16: what quantized loading does.
pub fn quantized_bytes(config: &ModelConfig, storage: Storage) -> u64 {
    let blocks = count::block_weights(config);
    let rest = count::total(config) - blocks;
    weight_bytes(blocks, storage) + weight_bytes(rest, Storage::Bf16)
}

// ANCHOR: kv
/// The bytes that one more token adds to the KV cache, of numbers of `bytes` bytes.
pub fn kv_bytes_per_token(config: &ModelConfig, bytes: u64) -> u64 {
    config.num_hidden_layers as u64 * kv_bytes_per_layer(config, bytes)
}
// ANCHOR_END: kv

fn kv_bytes_per_layer(config: &ModelConfig, bytes: u64) -> u64 {
    2 * config.num_key_value_heads as u64 * config.head_dim as u64 * bytes
}

/// The bytes of the KV cache of `sequences` texts of `tokens` tokens. A layer with a sliding window
/// keeps no more than its window.
pub fn kv_bytes(config: &ModelConfig, bytes: u64, tokens: u64, sequences: u64) -> u128 {
    let kept = config.layer_windows.iter().map(|window| match window {
        Some(window) => tokens.min(*window as u64),
        None => tokens,
    });
    let tokens: u128 = kept.map(u128::from).sum();
    u128::from(kv_bytes_per_layer(config, bytes)) * tokens * u128::from(sequences)
}

/// The bytes of the buffers that live at once when `tokens` tokens pass through a model without a
/// backward pass, numbers of `bytes` bytes: the residual row and the widest moment of a block,
/// plus the logits of `logits` positions in f32. Attention in tiles needs no T x T scores.
///
/// The widest moment is either q, k, v and the mixed values, or the feed-forward layer's rows.
pub fn forward_bytes(config: &ModelConfig, bytes: u64, tokens: u64, logits: u64) -> u128 {
    let size = |n: usize| n as u128;
    let head = size(config.head_dim);
    let (queries, keys) = (
        size(config.num_attention_heads) * head,
        size(config.num_key_value_heads) * head,
    );
    let attention = 2 * queries + 2 * keys;
    let rows = match config.mlp {
        MlpKind::SwiGlu => 3, // gate, up and their product
        MlpKind::Gelu(_) => 2,
    };
    let wide = rows * size(config.intermediate_size);
    let residual = 2 * size(config.hidden_size); // itself and its normed copy
    let row = (residual + attention.max(wide)) * u128::from(bytes);
    u128::from(tokens) * row + u128::from(logits) * size(config.vocab_size) * 4
}

/// What training keeps in memory apart from what the backward pass needs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Training {
    /// Weights that do not train.
    pub frozen: u64,
    /// bf16 weights that train.
    pub weights: u64,
    /// Their bf16 gradients.
    pub gradients: u64,
    /// Their f32 copies, which take the steps.
    pub master: u64,
    /// Adam's first and second moments in f32.
    pub moments: u64,
}

impl Training {
    // ANCHOR: training
    /// `trained` parameters with mixed precision and Adam, beside `frozen` bytes of other weights.
    pub fn of(frozen: u64, trained: u64) -> Self {
        Self {
            frozen,
            weights: 2 * trained,
            gradients: 2 * trained,
            master: 4 * trained,
            moments: 8 * trained,
        }
    }
    // ANCHOR_END: training

    /// All `parameters` train.
    pub fn full(parameters: u64) -> Self {
        Self::of(0, parameters)
    }

    /// The sum.
    pub fn total(&self) -> u64 {
        self.frozen + self.weights + self.gradients + self.master + self.moments
    }
}
