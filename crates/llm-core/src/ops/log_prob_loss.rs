//! Losses that are any function of the log-probabilities of the targets.
//!
//! Preferences and policy gradients have losses `L(ℓ₁ … ℓ_N)` of `ℓₙ = log p(targetₙ)`: they compare
//! sums over an answer with those of another model, or clip a ratio. By the chain rule
//!
//! ```text
//! dL/dz[n] = ∂L/∂ℓₙ · (onehot(targetₙ) − softmax(z[n]))
//! ```
//!
//! which is the gradient of a cross-entropy whose row n has the weight `−∂L/∂ℓₙ`. So the
//! log-probabilities are computed first, outside the graph; the caller says what the loss and its
//! slopes are; and the graph gets one node with that value and those weights. The function itself
//! is plain arithmetic in f64, to be read and tested without tensors.
//!
//! ```
//! use candle_core::{DType, Device, Var};
//! use llm_core::ops::{LogProbLoss, Ops};
//! # fn main() -> llm_core::Result<()> {
//! let logits = Var::zeros((2, 4), DType::F64, &Device::Cpu)?;
//! // (ℓ₁ + ℓ₂)², whose slope by each is 2 (ℓ₁ + ℓ₂)
//! let loss = Ops::Fused.log_prob_loss(&logits, &[0, 3], &mut |log_probs| {
//!     let sum: f64 = log_probs.iter().sum();
//!     Ok(LogProbLoss { value: sum * sum, slopes: vec![2.0 * sum; 2] })
//! })?;
//! let sum = -2.0 * 4f64.ln();
//! assert!((loss.to_scalar::<f64>()? - sum * sum).abs() < 1e-12);
//! let gradient = loss.backward()?.get(&logits).unwrap().to_vec2::<f64>()?;
//! assert!((gradient[0][0] - 2.0 * sum * 0.75).abs() < 1e-12);
//! # Ok(()) }
//! ```

use candle_core::{DType, Device, Tensor};

use super::head_loss::{self, MOST_LOGITS, Rows};
use super::{Ops, PackedWeight, composed, cross_entropy, tape};
use crate::{Error, Result};

/// What a loss makes of log-probabilities.
#[derive(Clone, Debug, PartialEq)]
pub struct LogProbLoss {
    /// The loss.
    pub value: f64,
    /// `∂L/∂ℓₙ` for every log-probability; what it says of ignored ones does not matter.
    pub slopes: Vec<f64>,
}

/// The loss as a function of the log-probabilities of all targets, 0 where a target is ignored.
pub type OfLogProbs<'a> = dyn FnMut(&[f64]) -> Result<LogProbLoss> + 'a;

impl LogProbLoss {
    /// The weights of the cross-entropy of `count` rows from `first` on; there are as many slopes.
    pub(super) fn weights(&self, first: usize, count: usize) -> Vec<f64> {
        let slopes = self.slopes.iter().skip(first).take(count);
        slopes.map(|slope| -slope).collect()
    }

    /// Fails unless there is a slope for each of `n` log-probabilities.
    fn checked(self, n: usize) -> Result<Self> {
        if self.slopes.len() == n {
            return Ok(self);
        }
        let problem = format!("has {} slopes for {n} targets", self.slopes.len());
        Err(Error::input("loss of log-probabilities", problem))
    }
}

impl Ops {
    /// `log softmax(logits)[target]` of each row, 0 where the target is
    /// [`IGNORE_INDEX`](super::IGNORE_INDEX); numbers, no part of the graph.
    ///
    /// # Shapes
    /// `logits [N, V]`, `targets` of length N → length N.
    ///
    /// # Errors
    /// As [`Ops::cross_entropy`].
    pub fn log_probs(self, logits: &Tensor, targets: &[i64]) -> Result<Vec<f64>> {
        cross_entropy::check_targets(logits, targets)?;
        match self {
            Self::Fused => cross_entropy::log_probs(logits, targets),
            Self::Composed => numbers(&composed::row_losses(&logits.detach(), targets)?.neg()?),
        }
    }

    /// A loss that is a function of [`Ops::log_probs`].
    ///
    /// # Shapes
    /// `logits [N, V]`, `targets` of length N → a scalar.
    ///
    /// # Errors
    /// As [`Ops::cross_entropy`], what `loss` reports, or another number of slopes than of targets.
    pub fn log_prob_loss(
        self,
        logits: &Tensor,
        targets: &[i64],
        loss: &mut OfLogProbs,
    ) -> Result<Tensor> {
        let known = loss(&self.log_probs(logits, targets)?)?.checked(targets.len())?;
        match self {
            Self::Fused => {
                let weights = known.weights(0, targets.len());
                cross_entropy::weighted(logits, targets, weights, known.value)
            }
            Self::Composed => composed_loss(logits, targets, &known),
        }
    }

    /// [`Ops::log_probs`] of the logits `hidden · headᵀ`, without all logits at once.
    ///
    /// # Shapes
    /// `hidden [.., C]`, `head [V, C]`, `targets` of as many as hidden has rows → as many.
    ///
    /// # Errors
    /// As [`Ops::cross_entropy`].
    pub fn linear_log_probs(
        self,
        hidden: &Tensor,
        head: &PackedWeight,
        targets: &[i64],
    ) -> Result<Vec<f64>> {
        match self {
            Self::Fused => head_loss::log_probs(hidden, head, targets, MOST_LOGITS),
            Self::Composed => self.log_probs(&self.all_logits(hidden, head, targets)?, targets),
        }
    }

    /// [`Ops::log_prob_loss`] of the logits `hidden · headᵀ`, without all logits at once.
    ///
    /// # Shapes
    /// `hidden [.., C]`, `head [V, C]`, `targets` of as many as hidden has rows → a scalar.
    ///
    /// # Errors
    /// As [`Ops::log_prob_loss`].
    pub fn linear_log_prob_loss(
        self,
        hidden: &Tensor,
        head: &PackedWeight,
        targets: &[i64],
        loss: &mut OfLogProbs,
    ) -> Result<Tensor> {
        match self {
            Self::Fused => linear(hidden, head, targets, loss, MOST_LOGITS),
            Self::Composed => {
                let logits = self.all_logits(hidden, head, targets)?;
                self.log_prob_loss(&logits, targets, loss)
            }
        }
    }

    /// # Shapes
    /// `hidden [.., C]`, `head [V, C]` → `[N, V]`.
    fn all_logits(self, hidden: &Tensor, head: &PackedWeight, targets: &[i64]) -> Result<Tensor> {
        let logits = self.packed_linear(hidden, head, None)?;
        Ok(tape::reshape(
            &logits,
            (targets.len(), head.tensor().dim(0)?),
        )?)
    }
}

/// [`Ops::linear_log_prob_loss`] with at most `most` logits at once.
fn linear(
    hidden: &Tensor,
    head: &PackedWeight,
    targets: &[i64],
    loss: &mut OfLogProbs,
    most: usize,
) -> Result<Tensor> {
    let log_probs = head_loss::log_probs(hidden, head, targets, most)?;
    let known = loss(&log_probs)?.checked(targets.len())?;
    head_loss::head_loss(hidden, head, targets, Rows::Known(&known), most)
}

/// `Σ slope · ℓ` with the loss's own value in the place of its value.
fn composed_loss(logits: &Tensor, targets: &[i64], known: &LogProbLoss) -> Result<Tensor> {
    let losses = composed::row_losses(logits, targets)?;
    let weights = Tensor::from_vec(known.weights(0, targets.len()), targets.len(), &Device::Cpu)?;
    let weights = weights
        .to_dtype(losses.dtype())?
        .to_device(losses.device())?;
    let sum = (losses * weights)?.sum_all()?;
    Ok(((&sum - sum.detach())? + known.value)?)
}

/// All elements as f64.
fn numbers(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.to_dtype(DType::F64)?
        .to_device(&Device::Cpu)?
        .flatten_all()?
        .to_vec1()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::ops::{IGNORE_INDEX, record};

    const V: usize = 7;
    const C: usize = 5;
    const TARGETS: [i64; 9] = [0, 3, IGNORE_INDEX, 6, 1, 1, 5, IGNORE_INDEX, 2];
    /// Sums in another order, in f64.
    const ROUNDING: f64 = 1e-13;

    fn numbered(rows: usize, columns: usize, salt: f64) -> Var {
        let values = (0..rows * columns).map(|i| (i as f64 * 1.3 + salt).sin());
        let values: Vec<f64> = values.collect();
        Var::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    /// `Σₙ n · exp(ℓₙ)` over the rows that count: every slope is another one.
    fn loss(log_probs: &[f64]) -> Result<LogProbLoss> {
        let counts = |index: usize| f64::from(u8::from(TARGETS[index] != IGNORE_INDEX));
        let slopes: Vec<f64> = log_probs
            .iter()
            .enumerate()
            .map(|(index, l)| (index + 1) as f64 * l.exp() * counts(index))
            .collect();
        let value = slopes.iter().sum();
        Ok(LogProbLoss { value, slopes })
    }

    fn largest(a: &Tensor, b: &Tensor) -> f64 {
        let gap = (a - b).unwrap().abs().unwrap().max_all().unwrap();
        gap.to_scalar().unwrap()
    }

    #[test]
    fn groups_of_rows_and_the_composed_operations_agree() {
        let (hidden, head) = (numbered(9, C, 0.1), numbered(V, C, 0.7));
        let weight = PackedWeight::new(head.as_tensor().clone());
        let composed = Ops::Composed
            .linear_log_prob_loss(&hidden, &weight, &TARGETS, &mut loss)
            .unwrap();
        let want = composed.backward().unwrap();
        for most in [1, V, 4 * V + 1, usize::MAX] {
            let (found, tape) = record(|| linear(&hidden, &weight, &TARGETS, &mut loss, most));
            let found = found.unwrap();
            assert!(tape.is_complete(&found), "{most}");
            assert!(largest(&found, &composed) <= ROUNDING, "{most}");
            let gradients = tape.backward(&found).unwrap();
            for var in [&hidden, &head] {
                let gap = largest(gradients.get(var).unwrap(), want.get(var).unwrap());
                assert!(gap <= ROUNDING, "{most}: {gap:e}");
            }
        }
        let log_probs = |ops: Ops| ops.linear_log_probs(&hidden, &weight, &TARGETS).unwrap();
        let (fused, slow) = (log_probs(Ops::Fused), log_probs(Ops::Composed));
        assert_eq!((fused[2], fused[7]), (0.0, 0.0));
        let pairs = fused.iter().zip(&slow);
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() <= ROUNDING));
    }

    #[test]
    fn the_slopes_are_those_of_differences() {
        const STEP: f64 = 1e-6;
        /// A central difference errs by STEP² and by rounding over STEP.
        const NUMERIC: f64 = 1e-8;
        let logits = numbered(9, V, 0.4);
        let value = |logits: &Tensor| {
            let tensor = Ops::Fused.log_prob_loss(logits, &TARGETS, &mut loss);
            tensor.unwrap().to_scalar::<f64>().unwrap()
        };
        let tensor = Ops::Fused.log_prob_loss(&logits, &TARGETS, &mut loss);
        let gradients = tensor.unwrap().backward().unwrap();
        let gradient = gradients.get(&logits).unwrap().flatten_all().unwrap();
        let gradient = gradient.to_vec1::<f64>().unwrap();
        let all = logits.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for (index, slope) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut values = all.clone();
                values[index] += by;
                value(&Tensor::from_vec(values, (9, V), &Device::Cpu).unwrap())
            };
            let numeric = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            let gap = (numeric - slope).abs();
            assert!(gap <= NUMERIC, "logit {index}: {slope} for {numeric}");
        }
        assert!(gradient[2 * V..3 * V].iter().all(|&slope| slope == 0.0));
    }

    #[test]
    fn too_few_slopes_and_targets_out_of_range_are_errors() {
        let logits = numbered(2, V, 0.4);
        let short = &mut |_: &[f64]| {
            let slopes = vec![1.0];
            Ok(LogProbLoss { value: 0.0, slopes })
        };
        let error = Ops::Fused.log_prob_loss(&logits, &[0, 1], short);
        assert!(error.unwrap_err().to_string().contains("1 slopes for 2"));
        let target = V as i64;
        for ops in [Ops::Fused, Ops::Composed] {
            assert!(ops.log_probs(&logits, &[0, target]).is_err());
        }
    }
}
