//! The loop: full fine-tuning, LoRA and pretraining share it.
//!
//! ```text
//! until total_steps:
//!     window = the next batch_size × accumulation rows of this epoch's shuffle
//!     step   = accumulate its micro-batches, clip, update
//!     every logging / eval / save steps: a row of the log, the held-out loss, a checkpoint
//! ```
//!
//! Everything random follows from the seed and the step (order of rows, dropout masks), so a run
//! that stops after any step and goes on from its checkpoint is bit for bit the run that did not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::Device;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::rng::{Purpose, stream};
use rand::Rng;

use crate::batch::{Batch, collate};
use crate::checkpoint::{Checkpoints, Progress};
use crate::evaluate::{example_losses, mean_loss};
use crate::labels::Example;
use crate::model::LanguageModel;
use crate::observe::{End, Event, LogRow, Observer, Outcome};
use crate::order::Walk;
use crate::step::{StepReport, Stepper};
use crate::{Error, Result};

/// How far the dropout seeds of successive steps are apart (an odd constant).
const STEP_STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

/// The settings of the loop.
#[derive(Clone, Debug, PartialEq)]
pub struct LoopSettings {
    /// The seed of row order and dropout.
    pub seed: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Rows of a micro-batch.
    pub batch_size: usize,
    /// Micro-batches of a step.
    pub accumulation: usize,
    /// Steps between rows of the log.
    pub logging_steps: u64,
    /// Steps between held-out evaluations; 0 evaluates only at the end.
    pub eval_steps: u64,
    /// Steps between checkpoints; 0 writes only when asked to stop.
    pub save_steps: u64,
    /// Stop after this many evaluations without a new lowest held-out loss.
    pub patience: Option<u64>,
    /// The token that fills short rows.
    pub pad: u32,
    /// Compute the activations of blocks again in the backward pass instead of keeping them.
    pub gradient_checkpointing: bool,
}

/// Steps of one pass over `rows` rows.
pub fn steps_per_epoch(rows: usize, batch_size: usize, accumulation: usize) -> u64 {
    rows.div_ceil((batch_size * accumulation).max(1)) as u64
}

/// A run in progress.
pub struct Trainer<'a, M> {
    /// The model, which holds the same variables as the stepper.
    pub model: &'a M,
    /// Parameters, optimizer, schedule.
    pub stepper: Stepper,
    /// Rows to train on.
    pub train: &'a [Example],
    /// Held-out rows; may be empty.
    pub validation: &'a [Example],
    /// The settings.
    pub settings: LoopSettings,
    /// Where batches go.
    pub device: Device,
    /// Where checkpoints go; `None` keeps none.
    pub checkpoints: Option<Checkpoints>,
    /// Set from outside, ends the loop after the current step.
    pub stop: Option<&'a AtomicBool>,
    /// Where the run stands.
    pub progress: Progress,
}

/// What has been seen since the last row of the log.
struct Since {
    started: Instant,
    loss: f64,
    steps: u64,
    tokens: usize,
    seconds: f64,
}

impl Since {
    fn now() -> Self {
        Self {
            started: Instant::now(),
            loss: 0.0,
            steps: 0,
            tokens: 0,
            seconds: 0.0,
        }
    }
}

impl<M: LanguageModel> Trainer<'_, M> {
    /// Runs until the last step, early stopping or the stop flag.
    ///
    /// # Errors
    /// No rows, a loss or gradient that is not finite (named, with the step), or what the model,
    /// the disk or an observer reports.
    pub fn run(&mut self, observers: &mut [&mut dyn Observer]) -> Result<Outcome> {
        if self.train.is_empty() {
            return Err(Error::input("training data", "has no examples"));
        }
        let (first, total_steps) = (self.progress.step, self.settings.total_steps);
        tell(
            observers,
            &Event::Started {
                step: first,
                total_steps,
            },
        )?;
        let begin = Instant::now();
        let mut walk = self.walk();
        let mut since = Since::now();
        let mut last_loss = f64::NAN;
        let mut last_val = None;
        let mut end = End::Completed;
        while self.progress.step < total_steps {
            let (report, tokens) = self.one_step(&mut walk)?;
            tell(observers, &Event::Stepped(report))?;
            last_loss = report.loss;
            since.loss += report.loss;
            since.steps += 1;
            since.tokens += tokens;
            // taken before an evaluation, whose time is not the step's
            since.seconds = since.started.elapsed().as_secs_f64();
            let last = report.step == total_steps;
            let val = self.evaluate_if_due(report.step, last)?;
            last_val = val.or(last_val);
            if val.is_some() || last || due(report.step, self.settings.logging_steps) {
                let row = self.log_row(&report, val, &since, &walk);
                tell(observers, &Event::Logged(row))?;
                since = Since::now();
            }
            let interrupted = self.stop.is_some_and(|stop| stop.load(Ordering::SeqCst));
            let improved = val.is_some() && self.progress.best_step() == Some(report.step);
            if due(report.step, self.settings.save_steps) || interrupted || improved || last {
                self.save(observers)?;
            }
            if interrupted && !last {
                end = End::Interrupted;
                break;
            }
            let patience = self.settings.patience.unwrap_or(u64::MAX);
            if self.progress.evaluations_without_best >= patience && !last {
                end = End::StoppedEarly;
                break;
            }
        }
        let seconds = begin.elapsed().as_secs_f64();
        let (steps, best_val) = (self.progress.step, self.progress.best);
        let outcome = Outcome {
            steps,
            last_loss,
            last_val,
            best_val,
            end,
            seconds,
        };
        tell(observers, &Event::Ended(outcome.clone()))?;
        Ok(outcome)
    }

    fn walk(&self) -> Walk {
        let Progress {
            epoch, position, ..
        } = self.progress;
        Walk::new(self.settings.seed, self.train.len(), epoch, position)
    }

    /// One optimizer step over the next window; the tokens that it read.
    fn one_step(&mut self, walk: &mut Walk) -> Result<(StepReport, usize)> {
        let LoopSettings {
            seed,
            batch_size,
            accumulation,
            pad,
            gradient_checkpointing,
            ..
        } = self.settings;
        let input = crate::monitor::input::timed();
        let rows = walk.take(batch_size * accumulation);
        let batches = rows
            .chunks(batch_size)
            .map(|rows| {
                let examples: Vec<&Example> = rows.iter().map(|&row| &self.train[row]).collect();
                collate(&examples, pad, &self.device)
            })
            .collect::<Result<Vec<Batch>>>()?;
        drop(input);
        let supervised: usize = batches.iter().map(|batch| batch.supervised).sum();
        let tokens = batches.iter().map(|batch| batch.tokens).sum();
        let scale = 1.0 / supervised as f64;
        let (model, ops, step) = (
            self.model,
            Ops::for_device(&self.device),
            self.progress.step,
        );
        let report = self.stepper.step(batches.len(), |micro| {
            let pass = Pass::train(ops, dropout_seed(seed, step, micro))
                .recomputing(gradient_checkpointing);
            Ok(model.loss(&batches[micro], &pass, scale)?)
        })?;
        self.progress.step = report.step;
        self.progress.epoch = walk.epoch();
        self.progress.position = walk.position();
        Ok((report, tokens))
    }

    fn evaluate_if_due(&mut self, step: u64, last: bool) -> Result<Option<f64>> {
        if self.validation.is_empty() || !(last || due(step, self.settings.eval_steps)) {
            return Ok(None);
        }
        let val = self.held_out_loss()?;
        if !val.is_finite() {
            let what = "the held-out loss".to_owned();
            return Err(Error::NotFinite {
                step,
                what,
                value: val.to_string(),
            });
        }
        self.progress.evaluated(step, val);
        Ok(Some(val))
    }

    /// The loss per supervised token of the held-out rows.
    ///
    /// # Errors
    /// What the model reports.
    pub fn held_out_loss(&self) -> Result<f64> {
        let LoopSettings {
            batch_size, pad, ..
        } = self.settings;
        let parts = example_losses(self.model, self.validation, batch_size, pad, &self.device)?;
        Ok(mean_loss(&parts))
    }

    fn log_row(&self, report: &StepReport, val: Option<f64>, since: &Since, walk: &Walk) -> LogRow {
        let left = self.settings.total_steps - report.step;
        LogRow {
            step: report.step,
            epoch: walk.epoch() as f64 + walk.position() as f64 / self.train.len() as f64,
            loss: since.loss / since.steps as f64,
            val,
            lr: report.lr,
            grad: report.grad_norm,
            tokens_per_second: since.tokens as f64 / since.seconds,
            eta_seconds: since.seconds / since.steps as f64 * left as f64,
        }
    }

    fn save(&mut self, observers: &mut [&mut dyn Observer]) -> Result<()> {
        let Some(checkpoints) = &self.checkpoints else {
            return Ok(());
        };
        let path = checkpoints.save(&self.progress, &self.stepper)?;
        tell(
            observers,
            &Event::Saved {
                step: self.progress.step,
                path,
            },
        )
    }
}

fn due(step: u64, every: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
}

fn tell(observers: &mut [&mut dyn Observer], event: &Event) -> Result<()> {
    observers
        .iter_mut()
        .try_for_each(|observer| observer.observe(event))
}

/// The seed of the dropout masks of one micro-batch: a function of the run's seed and the place.
pub(crate) fn dropout_seed(seed: u64, step: u64, micro: usize) -> u64 {
    let mut rng = stream(
        seed.wrapping_add(step.wrapping_mul(STEP_STRIDE)),
        Purpose::Dropout,
    );
    rng.set_word_pos(micro as u128 * 2); // one u64 is two words
    rng.random()
}
