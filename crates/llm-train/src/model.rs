//! What the loop needs of a model.

use candle_core::Tensor;
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::{OfLogProbs, Ops};

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

    /// log p of each target of a batch under `softmax(logits / temperature)`, 0 where it does not
    /// count; numbers without a gradient.
    ///
    /// # Shapes
    /// Length B · T.
    ///
    /// # Errors
    /// As [`LanguageModel::loss`].
    fn log_probs(
        &self,
        batch: &Batch,
        temperature: f64,
        pass: &Pass,
    ) -> llm_core::Result<Vec<f64>> {
        let logits = cooled_logits(self, batch, temperature, pass)?;
        pass.ops.log_probs(&logits, &batch.targets)
    }

    /// A loss that is a function of [`LanguageModel::log_probs`].
    ///
    /// # Shapes
    /// A scalar.
    ///
    /// # Errors
    /// As [`LanguageModel::loss`], or what `loss` reports.
    fn log_prob_loss(
        &self,
        batch: &Batch,
        temperature: f64,
        pass: &Pass,
        loss: &mut OfLogProbs,
    ) -> llm_core::Result<Tensor> {
        let logits = cooled_logits(self, batch, temperature, pass)?;
        pass.ops.log_prob_loss(&logits, &batch.targets, loss)
    }
}

/// # Shapes
/// `[B · T, V]`.
fn cooled_logits<M: LanguageModel + ?Sized>(
    model: &M,
    batch: &Batch,
    temperature: f64,
    pass: &Pass,
) -> llm_core::Result<Tensor> {
    let logits = model.next_token_logits(&batch.ids, pass)?;
    let (b, t, v) = logits.dims3()?;
    let logits = pass.ops.reshape(&logits, (b * t, v))?;
    pass.ops.scale(&logits, 1.0 / temperature)
}

impl LanguageModel for Decoder {
    fn next_token_logits(&self, ids: &Tensor, pass: &Pass) -> llm_core::Result<Tensor> {
        self.forward(ids, pass)
    }

    fn loss(&self, batch: &Batch, pass: &Pass, scale: f64) -> llm_core::Result<Tensor> {
        self.next_token_loss(&batch.ids, &batch.targets, scale, pass)
    }

    fn log_probs(
        &self,
        batch: &Batch,
        temperature: f64,
        pass: &Pass,
    ) -> llm_core::Result<Vec<f64>> {
        Decoder::log_probs(self, &batch.ids, &batch.targets, temperature, pass)
    }

    fn log_prob_loss(
        &self,
        batch: &Batch,
        temperature: f64,
        pass: &Pass,
        loss: &mut OfLogProbs,
    ) -> llm_core::Result<Tensor> {
        Decoder::log_prob_loss(self, &batch.ids, &batch.targets, temperature, pass, loss)
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
