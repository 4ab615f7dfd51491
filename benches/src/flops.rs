//! How much arithmetic a workload is: floating-point operations of its matrix products.
//!
//! A multiply-add is two operations. A pass over N rows of a matrix `[O, I]` is `2 N I O`; its
//! gradients are one such product each. Attention reads T (T + 1) / 2 pairs of query and key, each
//! 2 D operations a head and product: two products forward (q kᵀ and weights · v), five backward
//! (q kᵀ again, dv, d weights, dq, dk). Norms, activations and the optimizer count as nothing.
//!
//! ```
//! use llm_benches::{flops, shape::LARGE};
//! let step = flops::train_step(&LARGE.config()?, LARGE.batch, LARGE.tokens);
//! assert_eq!(step / 1_000_000, 139_255);
//! # Ok::<(), llm_core::Error>(())
//! ```

use llm_core::config::{MlpKind, ModelConfig};

/// Products of a projection whose input and weight have a gradient: y, dx, dW.
const ALL_THREE: u64 = 3;

/// I and O of a matrix.
type Matrix = (usize, usize);

/// The matrices of one layer: those of attention's input, and the others.
fn projections(config: &ModelConfig) -> ([Matrix; 3], Vec<Matrix>) {
    let (c, f) = (config.hidden_size, config.intermediate_size);
    let queries = config.num_attention_heads * config.head_dim;
    let keys = config.num_key_value_heads * config.head_dim;
    let mut rest = vec![(queries, c)];
    rest.extend(match config.mlp {
        MlpKind::SwiGlu => vec![(c, f), (c, f), (f, c)],
        MlpKind::Gelu(_) => vec![(c, f), (f, c)],
    });
    ([(c, queries), (c, keys), (c, keys)], rest)
}

/// Scalars of matrices.
fn scalars(matrices: &[Matrix]) -> u64 {
    matrices.iter().map(|&(i, o)| (i * o) as u64).sum()
}

/// Scalars of all matrices that a token is multiplied by, the head included.
pub fn matrix_scalars(config: &ModelConfig) -> u64 {
    let (inputs, rest) = projections(config);
    let layer = scalars(&inputs) + scalars(&rest);
    layer * config.num_hidden_layers as u64 + (config.vocab_size * config.hidden_size) as u64
}

/// One product over the pairs of causal attention: `queries` queries, the last of them at the end
/// of `keys` keys.
///
/// # Shapes
/// q `[B, T, H, D]`, keys `[B, S, _, D]` as `[B, H, D]`, T, S.
pub fn attention_product([b, h, d]: [usize; 3], queries: usize, keys: usize) -> u64 {
    let pairs: usize = (keys - queries + 1..=keys).sum();
    2 * (pairs * b * h * d) as u64
}

/// `products` attention products in every layer.
fn all_attention(config: &ModelConfig, batch: usize, tokens: usize, products: u64) -> u64 {
    let sizes = [batch, config.num_attention_heads, config.head_dim];
    products * config.num_hidden_layers as u64 * attention_product(sizes, tokens, tokens)
}

/// Forward and backward pass of a model that trains as a whole.
pub fn train_step(config: &ModelConfig, batch: usize, tokens: usize) -> u64 {
    let rows = (batch * tokens) as u64;
    ALL_THREE * 2 * rows * matrix_scalars(config) + all_attention(config, batch, tokens, 7)
}

/// Forward and backward pass with adapters of rank `r` on `q_proj`, `k_proj` and `v_proj` and a
/// frozen base: dx of the base but no dW, and no dx where nothing below has a gradient.
pub fn lora_step(config: &ModelConfig, r: usize, batch: usize, tokens: usize) -> u64 {
    let rows = (batch * tokens) as u64;
    let (inputs, _) = projections(config);
    let base = 2 * matrix_scalars(config) - scalars(&inputs);
    let narrow: usize = inputs.iter().map(|&(i, _)| i * r).sum();
    let wide: usize = inputs.iter().map(|&(_, o)| o * r).sum();
    let layers = config.num_hidden_layers as u64;
    let adapters = layers * ALL_THREE * (narrow + wide) as u64 - narrow as u64;
    2 * rows * (base + adapters) + all_attention(config, batch, tokens, 7)
}

/// One token after `context` tokens in the cache.
pub fn decode_token(config: &ModelConfig, context: usize) -> u64 {
    let sizes = [1, config.num_attention_heads, config.head_dim];
    let layers = config.num_hidden_layers as u64;
    2 * matrix_scalars(config) + 2 * layers * attention_product(sizes, 1, context + 1)
}
