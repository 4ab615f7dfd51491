//! Root-mean-square norm.

use candle_core::Tensor;

use crate::Result;

pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    super::composed::rms_norm(x, weight, eps)
}
