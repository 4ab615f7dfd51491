//! Linear projection.

use candle_core::Tensor;

use crate::Result;

pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    super::composed::linear(x, weight, bias)
}
