//! What training against preferences and rewards asks of a decoder: log-probabilities of given
//! tokens, a loss that is a function of them, and a copy that stays as it is.

use candle_core::Tensor;

use super::Decoder;
use crate::Result;
use crate::nn::Pass;
use crate::ops::OfLogProbs;
use crate::params::Mode;

impl Decoder {
    /// `log p(target)` of every position at a temperature τ, that is under `softmax(logits / τ)`; 0
    /// where the target is ignored. Numbers, no part of the graph.
    ///
    /// # Shapes
    /// `ids [B, T]` of u32, `targets` of length B · T → as many.
    ///
    /// # Errors
    /// As [`Decoder::next_token_loss`].
    pub fn log_probs(
        &self,
        ids: &Tensor,
        targets: &[i64],
        temperature: f64,
        pass: &Pass,
    ) -> Result<Vec<f64>> {
        let hidden = self.cooled(ids, temperature, pass)?;
        pass.ops
            .linear_log_probs(&hidden, self.head.packed(), targets)
    }

    /// A loss that is a function of [`Decoder::log_probs`]: of the log-probabilities of the targets
    /// ([`crate::ops::LogProbLoss`]).
    ///
    /// # Shapes
    /// `ids [B, T]` of u32, `targets` of length B · T → a scalar.
    ///
    /// # Errors
    /// As [`Decoder::next_token_loss`], or what `loss` reports.
    pub fn log_prob_loss(
        &self,
        ids: &Tensor,
        targets: &[i64],
        temperature: f64,
        pass: &Pass,
        loss: &mut OfLogProbs,
    ) -> Result<Tensor> {
        let hidden = self.cooled(ids, temperature, pass)?;
        pass.ops
            .linear_log_prob_loss(&hidden, self.head.packed(), targets, loss)
    }

    /// Hidden states whose logits are divided by `temperature`: the head is a matrix without bias.
    fn cooled(&self, ids: &Tensor, temperature: f64, pass: &Pass) -> Result<Tensor> {
        let hidden = self.hidden(ids, None, pass)?;
        match temperature == 1.0 {
            true => Ok(hidden),
            false => pass.ops.scale(&hidden, 1.0 / temperature),
        }
    }

    /// A model of its own with the base weights as they are now, frozen, without adapters and
    /// without a soft prompt: what a policy is compared with. Weights that train are copied, others
    /// are shared.
    ///
    /// # Errors
    /// No memory for the copies.
    pub fn frozen(&self) -> Result<Self> {
        let own = |(name, tensor): (String, Tensor)| {
            let copy = match tensor.track_op() {
                true => tensor.detach().copy()?,
                false => tensor,
            };
            Ok((name, copy))
        };
        let tensors = self.named_tensors()?.into_iter().map(own);
        let (mut model, _) = Self::load(
            &self.config,
            tensors.collect::<Result<_>>()?,
            Mode::Frozen,
            self.embedding.dtype(),
            &self.device,
        )?;
        model.set_products(self.products());
        Ok(model)
    }
}
