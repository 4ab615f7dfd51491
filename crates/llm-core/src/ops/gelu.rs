//! The Gaussian error linear unit.

use candle_core::Tensor;

use crate::Result;

/// Which formula of GELU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeluKind {
    /// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`: GPT-2's `gelu_new`.
    Tanh,
    /// `x Φ(x)` with the error function: `gelu`.
    Erf,
}

pub(super) fn gelu(x: &Tensor, kind: GeluKind) -> Result<Tensor> {
    super::composed::gelu(x, kind)
}
