//! The gated unit of Llama's feed-forward layer.

use candle_core::Tensor;

use crate::Result;

pub(super) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    super::composed::swiglu(gate, up)
}
