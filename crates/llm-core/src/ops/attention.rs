//! Causal attention with grouped heads and a sliding window.

use candle_core::Tensor;

use crate::Result;

/// What an attention call needs beside its tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionSpec {
    /// Factor on q·k, usually 1/√D.
    pub scale: f64,
    /// A query at position p reads the keys after p − window; `None` reads all before it.
    pub window: Option<usize>,
}

impl AttentionSpec {
    /// Whether the query at `position` reads the key at position `key`.
    pub fn reads(&self, position: usize, key: usize) -> bool {
        key <= position && self.window.is_none_or(|window| key + window > position)
    }
}

pub(super) fn causal_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    spec: &AttentionSpec,
) -> Result<Tensor> {
    super::composed::causal_attention(q, k, v, spec)
}
