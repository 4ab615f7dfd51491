//! How much arithmetic a model takes: floating-point operations by formula.
//!
//! A multiply and an add are two operations, so a matrix costs a token two for each of its weights.
//! Attention costs more: a query meets S keys (2 · S · H · D operations in every layer) and mixes S
//! values (as many again). Norms, activations and softmax are left out; they are a fraction of a
//! percent.
//!
//! For a plain block (H · D = C, F = 4 C, no grouping) this is the well-known
//! `24 L C² + 4 S C L`. The `12 L C²` that is often quoted beside it counts weights, or
//! multiply-adds, and is half of the first term.
//!
//! A backward pass computes two products for each one of the forward pass, so a training step costs
//! three times the forward pass: `6 N` a token, with N weights and attention left out.
//!
//! ```
//! use llm_core::model::flops;
//! let (matrices, attention) = flops::plain_blocks(32, 4096, 2048);
//! assert_eq!((matrices, attention), (12_884_901_888, 1_073_741_824));
//! assert_eq!(flops::training(175e9, 300e9), 3.15e23);
//! ```

use super::count;
use crate::config::ModelConfig;

/// A training step costs this many forward passes.
pub const PASSES: u64 = 3;

/// The arithmetic of one forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// The matrices of the blocks.
    pub blocks: u128,
    /// Queries on keys and weights on values.
    pub attention: u128,
    /// The head.
    pub head: u128,
}

impl Forward {
    /// The sum.
    pub fn total(&self) -> u128 {
        self.blocks + self.attention + self.head
    }
}

/// The forward pass of one token that reads `context` tokens, itself included.
pub fn token(config: &ModelConfig, context: u64) -> Forward {
    let read = |window: &Option<usize>| context.min(window.map_or(u64::MAX, |w| w as u64));
    let pairs = config.layer_windows.iter().map(read).map(u128::from).sum();
    forward(config, 1, pairs)
}

/// The forward pass of a text of `tokens` tokens, each reading those before it and itself; every
/// position gets its logits, as in training.
pub fn text(config: &ModelConfig, tokens: u64) -> Forward {
    let pairs = config.layer_windows.iter().map(|window| {
        let window = window.map_or(tokens, |window| tokens.min(window as u64));
        // 1 + 2 + … + window, and then the whole window for each further token.
        let (window, tokens) = (u128::from(window), u128::from(tokens));
        window * (window + 1) / 2 + (tokens - window) * window
    });
    forward(config, tokens, pairs.sum())
}

// ANCHOR: forward
/// `tokens` tokens that read `pairs` keys in all layers together.
fn forward(config: &ModelConfig, tokens: u64, pairs: u128) -> Forward {
    let tokens = u128::from(tokens);
    let queries = config.num_attention_heads as u128 * config.head_dim as u128;
    Forward {
        blocks: 2 * u128::from(count::block_weights(config)) * tokens,
        attention: 4 * queries * pairs,
        head: 2 * config.vocab_size as u128 * config.hidden_size as u128 * tokens,
    }
}
// ANCHOR_END: forward

/// What a token costs in `layers` plain blocks of `width` when it reads `context` tokens:
/// `24 L C²` for the matrices and `4 S C L` for attention.
pub fn plain_blocks(layers: u64, width: u64, context: u64) -> (u64, u64) {
    (24 * layers * width * width, 4 * context * width * layers)
}

// ANCHOR: training
/// The operations of training: `6 · parameters · tokens`.
pub fn training(parameters: f64, tokens: f64) -> f64 {
    2.0 * PASSES as f64 * parameters * tokens
}
// ANCHOR_END: training

// ANCHOR: gpu_seconds
/// The seconds that one GPU of `peak` operations a second needs for `flops` when it reaches the
/// share `utilization` of it (MFU: model FLOPs utilization).
pub fn gpu_seconds(flops: f64, peak: f64, utilization: f64) -> f64 {
    flops / (peak * utilization)
}
// ANCHOR_END: gpu_seconds

/// The utilization that counts the model's own operations, from a speed that also counts what is
/// computed twice because activations were not kept: with full recomputation a step is four forward
/// passes, of which three are the model's.
pub fn without_recomputation(utilization: f64) -> f64 {
    utilization * PASSES as f64 / (PASSES + 1) as f64
}
