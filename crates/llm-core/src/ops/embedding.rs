//! Token embedding.

use candle_core::Tensor;

use crate::Result;

pub(super) fn embedding(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    super::composed::embedding(table, ids)
}
