//! Layer norm.

use candle_core::Tensor;

use crate::Result;

pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    super::composed::layer_norm(x, weight, bias, eps)
}
