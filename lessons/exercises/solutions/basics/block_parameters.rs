//! Count the numbers of one Transformer block. Lesson: 07_conclusion.
//!
//! ```text
//! attention   q, o [C, C]    k, v [K·D, C], D = C / H
//! mlp         up [F, C], down [C, F], with a gate [F, C] in SwiGLU
//! norms       two of C; a layer norm shifts as well as stretches, an RMS norm only stretches
//! ```
//!
//! A linear layer with O outputs has O biases, if it has any.

/// What a block is made of.
pub struct Block {
    pub channels: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub inner: usize,
    /// SwiGLU has a third matrix.
    pub gated: bool,
    /// GPT-2 has biases and layer norms, Llama neither.
    pub biases: bool,
}

/// The four projections of attention.
pub fn attention(block: &Block) -> usize {
    let (c, kv) = (block.channels, block.kv_heads * block.channels / block.heads);
    let biases = if block.biases { 2 * c + 2 * kv } else { 0 };
    2 * c * c + 2 * c * kv + biases
}

/// The feed-forward layer.
pub fn mlp(block: &Block) -> usize {
    let matrices = if block.gated { 3 } else { 2 };
    let wide = if block.gated { 2 * block.inner } else { block.inner };
    let biases = if block.biases { wide + block.channels } else { 0 };
    matrices * block.channels * block.inner + biases
}

/// Both norms.
pub fn norms(block: &Block) -> usize {
    let each = if block.biases { 2 } else { 1 };
    2 * each * block.channels
}
