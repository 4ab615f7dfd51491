//! What the loop needs of a model.

use candle_core::Tensor;
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;

use crate::Result;
use crate::batch::Batch;

/// A model that scores the next token at every position.
pub trait LanguageModel {
    /// The scores of the next token.
    ///
    /// # Shapes
    /// `ids [B, T]` of u32 → `[B, T, V]`.
    ///
    /// # Errors
    /// An id outside the vocabulary, or more tokens than the context holds.
    fn next_token_logits(&self, ids: &Tensor, pass: &Pass) -> llm_core::Result<Tensor>;
}

impl LanguageModel for Decoder {
    fn next_token_logits(&self, ids: &Tensor, pass: &Pass) -> llm_core::Result<Tensor> {
        self.forward(ids, pass)
    }
}

/// `scale · Σ −log p(target)` over a batch's supervised targets.
///
/// # Shapes
/// A scalar.
///
/// # Errors
/// What the model reports.
pub fn batch_loss(
    model: &impl LanguageModel,
    batch: &Batch,
    pass: &Pass,
    scale: f64,
) -> Result<Tensor> {
    let logits = model.next_token_logits(&batch.ids, pass)?;
    let (b, t, v) = logits.dims3()?;
    let logits = pass.ops.reshape(&logits, (b * t, v))?;
    Ok(pass.ops.cross_entropy(&logits, &batch.targets, scale)?)
}

/// The sum of −log p(target) of each row of a batch.
///
/// # Errors
/// What the model reports.
pub fn row_losses(model: &impl LanguageModel, batch: &Batch, ops: Ops) -> Result<Vec<f64>> {
    let logits = model
        .next_token_logits(&batch.ids, &Pass::eval(ops))?
        .detach();
    let (b, t, _v) = logits.dims3()?;
    let row = |row: usize| {
        let targets = &batch.targets[row * t..(row + 1) * t];
        crate::step::scalar(&ops.cross_entropy(&logits.get(row)?, targets, 1.0)?)
    };
    (0..b).map(row).collect()
}
