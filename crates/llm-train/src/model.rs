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

    /// `scale · Σ −log p(target)` over the supervised targets of a batch. A model that can do so
    /// without all logits at once has its own version.
    ///
    /// # Shapes
    /// A scalar.
    ///
    /// # Errors
    /// As [`LanguageModel::next_token_logits`], or a target outside the vocabulary.
    fn loss(&self, batch: &Batch, pass: &Pass, scale: f64) -> llm_core::Result<Tensor> {
        let logits = self.next_token_logits(&batch.ids, pass)?;
        let (b, t, v) = logits.dims3()?;
        let logits = pass.ops.reshape(&logits, (b * t, v))?;
        pass.ops.cross_entropy(&logits, &batch.targets, scale)
    }
}

impl LanguageModel for Decoder {
    fn next_token_logits(&self, ids: &Tensor, pass: &Pass) -> llm_core::Result<Tensor> {
        self.forward(ids, pass)
    }

    fn loss(&self, batch: &Batch, pass: &Pass, scale: f64) -> llm_core::Result<Tensor> {
        self.next_token_loss(&batch.ids, &batch.targets, scale, pass)
    }
}

/// The sum of −log p(target) of each row of a batch.
///
/// # Errors
/// What the model reports.
pub fn row_losses(model: &impl LanguageModel, batch: &Batch, ops: Ops) -> Result<Vec<f64>> {
    let pass = Pass::eval(ops).packed(batch.segments.clone());
    let logits = model.next_token_logits(&batch.ids, &pass)?.detach();
    let (b, t, _v) = logits.dims3()?;
    let row = |row: usize| {
        let targets = &batch.targets[row * t..(row + 1) * t];
        crate::step::scalar(&ops.cross_entropy(&logits.get(row)?, targets, 1.0)?)
    };
    (0..b).map(row).collect()
}
