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
    let Block { channels: c, heads: h, kv_heads: k, biases, .. } = block;
    todo!("two matrices of {c} by {c}, two of {c} by what {k} of {h} heads have; biases: {biases}")
}

/// The feed-forward layer.
pub fn mlp(block: &Block) -> usize {
    let Block { channels: c, inner: f, gated, biases, .. } = block;
    todo!("matrices between {c} and {f}, how many if gated is {gated}? biases: {biases}")
}

/// Both norms.
pub fn norms(block: &Block) -> usize {
    let Block { channels: c, biases, .. } = block;
    todo!("two norms of {c}; with shifts: {biases}")
}
