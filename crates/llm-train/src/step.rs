//! One optimizer step: accumulate, clip, update.
//!
//! A step reads a *window* of micro-batches. Every micro-batch's loss is a sum over its tokens
//! divided by the supervised tokens of the **whole window**, so the accumulated gradient is that of
//! one large batch even when the rows differ in length. (Averaging the averages of micro-batches,
//! as is often done, weighs the tokens of short batches more.)
//!
//! Memory does not grow with the window: of each backward pass only the variables' gradients are
//! kept, detached, and the loss and its graph are dropped before the next micro-batch begins.
//!
//! With a [`LossScaler`] a gradient that overflows lowers the factor, and the window is computed
//! again: no rows are lost, and a step is always one update.

use std::collections::BTreeMap;

use candle_core::Tensor;
use llm_core::ops::{Tape, record};
use llm_core::params::Parameters;
use llm_core::profile::{Cost, span};

use crate::optimizer::AdamW;
use crate::scaler::LossScaler;
use crate::schedule::Schedule;
use crate::{Error, Result, clip};

/// What one step did, with the values exactly as they were used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The number of this step, counted from 1.
    pub step: u64,
    /// The window's loss: Σ over supervised tokens / their number.
    pub loss: f64,
    /// The norm of all gradients before clipping.
    pub grad_norm: f64,
    /// The learning rate of this step.
    pub lr: f64,
}

/// The parts of a step that live as long as the run.
#[derive(Debug)]
pub struct Stepper {
    /// What is trained.
    pub parameters: Parameters,
    /// The optimizer and its moments.
    pub optimizer: AdamW,
    /// The learning rate.
    pub schedule: Schedule,
    /// Gradients are clipped to this norm; `None` leaves them.
    pub max_grad_norm: Option<f64>,
    /// The factor on the loss of a run in float16; `None` multiplies by nothing.
    pub scaler: Option<LossScaler>,
}

impl Stepper {
    /// Runs one step over `micro_batches` micro-batches; `loss(i)` is the scaled loss of the i-th.
    ///
    /// # Errors
    /// A loss or gradient that is not finite (named, with the step), a parameter that no
    /// micro-batch reaches, and what `loss` reports. The parameters are unchanged then.
    pub fn step(
        &mut self,
        micro_batches: usize,
        mut loss: impl FnMut(usize) -> Result<Tensor>,
    ) -> Result<StepReport> {
        let _span = span("step", Cost::default);
        let step = self.optimizer.updates() + 1;
        let (total, sums, norm, factor) = self.gradients(micro_batches, &mut loss, step)?;
        let grad_norm = norm / factor;
        let clipped = self
            .max_grad_norm
            .map_or(1.0, |max| clip::factor(grad_norm, max));
        let lr = self.schedule.lr(step - 1);
        self.optimizer
            .step(&self.parameters, &sums, lr, clipped / factor)?;
        if let Some(scaler) = &mut self.scaler {
            scaler.stepped();
        }
        Ok(StepReport {
            step,
            loss: total,
            grad_norm,
            lr,
        })
    }

    /// Loss, gradients and their norm, both times the factor, and the factor; an overflow lowers it
    /// and is computed again.
    fn gradients(
        &mut self,
        micro_batches: usize,
        loss: &mut impl FnMut(usize) -> Result<Tensor>,
        step: u64,
    ) -> Result<(f64, BTreeMap<String, Tensor>, f64, f64)> {
        loop {
            let factor = self.scaler.map_or(1.0, |scaler| scaler.factor());
            let mut sums = BTreeMap::new();
            let mut total = 0.0;
            for index in 0..micro_batches {
                let (losses, tape) = {
                    let _span = span("graph forward", Cost::default);
                    record(|| scaled(loss(index)?, factor))
                };
                total += accumulate((losses?, tape), &self.parameters, &mut sums, step)?;
            }
            match clip::global_norm(&sums, step) {
                Ok(norm) => return Ok((total, sums, norm, factor)),
                Err(error) => {
                    let overflow = matches!(error, Error::NotFinite { .. });
                    let scaler = self.scaler.as_mut().filter(|_| overflow);
                    if !scaler.is_some_and(LossScaler::back_off) {
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// A loss, and what the backward pass starts from.
fn scaled(loss: Tensor, factor: f64) -> Result<(Tensor, Tensor)> {
    let times = match factor == 1.0 {
        true => loss.clone(),
        false => (&loss * factor)?,
    };
    Ok((loss, times))
}

/// Adds the gradients of the scaled loss to `sums` and returns the loss's value.
fn accumulate(
    ((loss, times), tape): ((Tensor, Tensor), Tape),
    parameters: &Parameters,
    sums: &mut BTreeMap<String, Tensor>,
    step: u64,
) -> Result<f64> {
    let value = scalar(&loss)?;
    if !value.is_finite() {
        let what = "the loss".to_owned();
        return Err(Error::NotFinite {
            step,
            what,
            value: value.to_string(),
        });
    }
    let mut store = {
        let _span = span("graph backward", Cost::default);
        tape.backward(&times)?
    };
    for (name, var) in parameters.iter() {
        let Some(gradient) = store.remove(var) else {
            continue;
        };
        // A gradient is itself a node of the graph and would keep all of it alive.
        let gradient = gradient.detach();
        match sums.get_mut(name) {
            Some(sum) => *sum = (&*sum + gradient)?,
            None => {
                sums.insert(name.to_owned(), gradient);
            }
        }
    }
    Ok(value)
}

/// The value of a loss as f64.
pub(crate) fn scalar(loss: &Tensor) -> Result<f64> {
    Ok(loss.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?)
}
