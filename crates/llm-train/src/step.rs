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
//!
//! Where several [`Processes`] share a window, each accumulates its own micro-batches; losses and
//! gradients are added up before the norm is taken, so all that follows is the same in each of them.

use std::collections::BTreeMap;

use candle_core::Tensor;
use llm_core::ops::{Tape, record};
use llm_core::params::Parameters;
use llm_core::profile::{Cost, span};

use crate::optimizer::AdamW;
use crate::processes::Processes;
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

/// The gradients of a window.
#[derive(Clone, Debug)]
pub struct Gradients {
    /// The window's loss: Σ over supervised tokens / their number.
    pub loss: f64,
    /// The gradient of each parameter that has one, times `factor`.
    pub sums: BTreeMap<String, Tensor>,
    /// The norm of all of them together, times `factor`.
    pub norm: f64,
    /// The factor on the loss; 1 without a [`LossScaler`].
    pub factor: f64,
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
        loss: impl FnMut(usize) -> Result<Tensor>,
    ) -> Result<StepReport> {
        self.step_among(&Processes::alone(), micro_batches, loss)
    }

    /// As [`Stepper::step`] over the micro-batches of all `processes`; `loss` gives those of this one,
    /// each divided by the supervised tokens of all.
    ///
    /// # Errors
    /// As [`Stepper::step`], in every process alike; or another process's error.
    pub fn step_among(
        &mut self,
        processes: &Processes,
        micro_batches: usize,
        loss: impl FnMut(usize) -> Result<Tensor>,
    ) -> Result<StepReport> {
        let _span = span("step", Cost::default);
        let step = self.optimizer.updates() + 1;
        let gradients = self.gradients(processes, micro_batches, loss)?;
        let factor = gradients.factor;
        let grad_norm = gradients.norm / factor;
        let clipped = self
            .max_grad_norm
            .map_or(1.0, |max| clip::factor(grad_norm, max));
        let lr = self.schedule.lr(step - 1);
        let scale = clipped / factor;
        let stepped = self
            .optimizer
            .step(&self.parameters, &gradients.sums, lr, scale);
        if let Err(error) = stepped {
            return processes.alike(error);
        }
        if let Some(scaler) = &mut self.scaler {
            scaler.stepped();
        }
        Ok(StepReport {
            step,
            loss: gradients.loss,
            grad_norm,
            lr,
        })
    }

    /// The gradients of the next step and nothing else: parameters stay as they are. An overflow
    /// lowers the factor and is computed again.
    ///
    /// # Errors
    /// As [`Stepper::step_among`].
    pub fn gradients(
        &mut self,
        processes: &Processes,
        micro_batches: usize,
        mut loss: impl FnMut(usize) -> Result<Tensor>,
    ) -> Result<Gradients> {
        let step = self.optimizer.updates() + 1;
        loop {
            let factor = self.scaler.map_or(1.0, |scaler| scaler.factor());
            let own = self.accumulated(micro_batches, &mut loss, factor);
            let (mut sums, [loss]) = processes.sums(own)?;
            if !loss.is_finite() {
                let (what, value) = ("the loss".to_owned(), loss.to_string());
                return processes.alike(Error::NotFinite { step, what, value });
            }
            processes.sum_gradients(&self.parameters, &mut sums)?;
            match clip::global_norm(&sums, step) {
                Ok(norm) => {
                    return Ok(Gradients {
                        loss,
                        sums,
                        norm,
                        factor,
                    });
                }
                Err(error) => {
                    let overflow = matches!(error, Error::NotFinite { .. });
                    let scaler = self.scaler.as_mut().filter(|_| overflow);
                    if !scaler.is_some_and(LossScaler::back_off) {
                        return processes.alike(error);
                    }
                }
            }
        }
    }

    /// This process's gradients times `factor`, and its loss. A loss that is not finite ends it:
    /// nothing can mend that.
    fn accumulated(
        &self,
        micro_batches: usize,
        loss: &mut impl FnMut(usize) -> Result<Tensor>,
        factor: f64,
    ) -> Result<(BTreeMap<String, Tensor>, [f64; 1])> {
        let mut sums = BTreeMap::new();
        let mut total = 0.0;
        for index in 0..micro_batches {
            let (losses, tape) = {
                let _span = span("graph forward", Cost::default);
                record(|| scaled(loss(index)?, factor))
            };
            total += accumulate((losses?, tape), &self.parameters, &mut sums)?;
            if !total.is_finite() {
                break;
            }
        }
        Ok((sums, [total]))
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

/// Adds the gradients of the scaled loss to `sums` and returns the loss's value; one that is not
/// finite has no gradients.
fn accumulate(
    ((loss, times), tape): ((Tensor, Tensor), Tape),
    parameters: &Parameters,
    sums: &mut BTreeMap<String, Tensor>,
) -> Result<f64> {
    let value = scalar(&loss)?;
    if !value.is_finite() {
        return Ok(value);
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
