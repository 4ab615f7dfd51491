//! The loop: full fine-tuning, LoRA and pretraining share it.
//!
//! ```text
//! until total_steps:
//!     window = the next batch_size × accumulation rows of this epoch's shuffle, or, where answers
//!              are drawn, the answers to these rows
//!     step   = accumulate its micro-batches, clip, update
//!     every logging / eval / sample / save steps: a row of the log, the held-out loss, what the
//!     model says to fixed prompts, a checkpoint
//! ```
//!
//! What a micro-batch's loss is, an [`Objective`] says. Everything random follows from the seed and
//! the step (order of rows, dropout masks, answers), so a run
//! that stops after any step and goes on from its checkpoint is bit for bit the run that did not.
//!
//! Several [`Processes`] run this loop side by side: each computes its share of every window and of
//! the held-out rows, all see the same sums, and so all take the same turns.

mod window;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::Device;

use crate::batching::Plan;
use crate::checkpoint::{Checkpoints, Progress, Unlogged};
use crate::labels::Example;
use crate::model::LanguageModel;
use crate::objective::{HeldOut, Measures, Objective};
use crate::observe::{End, Event, LogRow, Observer, Outcome, Sample};
use crate::order::Walk;
use crate::processes::{Processes, digest};
use crate::step::{Gradients, StepReport, Stepper};
use crate::{Error, Result};

pub(crate) use self::window::{dropout_seed, place_seed};

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
    /// Checkpoints of the lowest held-out losses to write and keep.
    pub save_best: usize,
    /// The token that fills short rows.
    pub pad: u32,
    /// Compute the activations of blocks again in the backward pass instead of keeping them.
    pub gradient_checkpointing: bool,
}

/// Steps of one pass over `rows` rows.
pub fn steps_per_epoch(rows: usize, batch_size: usize, accumulation: usize) -> u64 {
    rows.div_ceil((batch_size * accumulation).max(1)) as u64
}

/// What the model is asked to say on the way.
pub struct Sampling<'a> {
    /// Steps between samples; 0 takes none.
    pub every: u64,
    /// Makes them.
    pub generate: Box<dyn Fn() -> Result<Vec<Sample>> + 'a>,
}

/// A run in progress.
pub struct Trainer<'a, M> {
    /// The model, which holds the same variables as the stepper.
    pub model: &'a M,
    /// What a step lowers.
    pub objective: Objective<'a>,
    /// Parameters, optimizer, schedule.
    pub stepper: Stepper,
    /// Rows to train on.
    pub train: &'a [Example],
    /// How they become batches.
    pub plan: &'a Plan,
    /// Held-out rows; may be empty.
    pub validation: &'a [Example],
    /// The settings.
    pub settings: LoopSettings,
    /// Where batches go.
    pub device: Device,
    /// Samples on the way, where wanted.
    pub sampling: Option<Sampling<'a>>,
    /// Where checkpoints go; `None` keeps none.
    pub checkpoints: Option<Checkpoints>,
    /// Set from outside, in any of the processes, ends the loop after the current step.
    pub stop: Option<&'a AtomicBool>,
    /// Where the run stands.
    pub progress: Progress,
    /// Who shares the work.
    pub processes: Processes,
}

/// What this process has seen since the last row of the log: for its rates, not its losses.
#[derive(Default)]
struct Since {
    steps: u64,
    tokens: usize,
    seconds: f64,
}

/// A held-out loss and what was measured beside it.
type Evaluated = (f64, Measures);

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
        let mut since = Since::default();
        let mut interrupted = false;
        while self.progress.step < total_steps && !self.has_stalled() && !interrupted {
            let started = Instant::now();
            let (report, tokens) = self.one_step(&mut walk)?;
            since.steps += 1;
            since.tokens += tokens;
            since.seconds += started.elapsed().as_secs_f64();
            tell(observers, &Event::Stepped(report))?;
            let last = report.step == total_steps;
            let (val, improved) = self.evaluate_if_due(report.step, last)?;
            if val.is_some() || last || due(report.step, self.settings.logging_steps) {
                let row = self.log_row(&report, val.as_ref(), &since, &walk);
                tell(observers, &Event::Logged(row))?;
                since = Since::default();
                self.progress.unlogged = Unlogged::default();
            }
            self.sample_if_due(report.step, last, observers)?;
            let stop = self.stop.is_some_and(|stop| stop.load(Ordering::SeqCst));
            interrupted = self.processes.any(stop)? && !last;
            let ends = last || interrupted || self.has_stalled();
            if ends || improved || due(report.step, self.settings.save_steps) {
                self.save(observers)?;
            }
        }
        let end = match (interrupted, self.progress.step < total_steps) {
            (true, _) => End::Interrupted,
            (false, true) => End::StoppedEarly,
            (false, false) => End::Completed,
        };
        let outcome = Outcome {
            steps: self.progress.step,
            last_loss: self.progress.last_loss.unwrap_or(f64::NAN),
            last_val: self.progress.last_val,
            best_val: self.progress.best,
            end,
            seconds: begin.elapsed().as_secs_f64(),
        };
        tell(observers, &Event::Ended(outcome.clone()))?;
        Ok(outcome)
    }

    fn has_stalled(&self) -> bool {
        self.progress.has_stalled(self.settings.patience)
    }

    /// The walk over the rows from where the run stands.
    pub(crate) fn walk(&self) -> Walk {
        let Progress {
            epoch, position, ..
        } = self.progress;
        self.plan.walk(self.settings.seed, epoch, position)
    }

    /// One optimizer step over the next window; the tokens that all processes read.
    pub(crate) fn one_step(&mut self, walk: &mut Walk) -> Result<(StepReport, usize)> {
        let mut share = self.window(walk)?;
        let reading = self.reading();
        // By micro-batch: one that is computed again, after an overflow, counts once.
        let mut measures = vec![Measures::default(); share.window.batches.len()];
        let count = measures.len();
        let report = self.stepper.step_among(&self.processes, count, |micro| {
            let (loss, seen) = share.loss(&reading, micro)?;
            measures[micro] = seen;
            Ok(loss)
        })?;
        let progress = &mut self.progress;
        progress.step = report.step;
        progress.epoch = walk.epoch();
        progress.position = walk.position();
        progress.last_loss = Some(report.loss);
        progress.unlogged.loss += report.loss;
        progress.unlogged.steps += 1;
        for seen in [&share.window.measures].into_iter().chain(&measures) {
            progress.unlogged.measures.merge(seen);
        }
        let tokens = share.tokens;
        if let Objective::Rewarded(rewarded) = &self.objective {
            progress.rollout = share.window.into_rollout(rewarded.iterations);
        }
        Ok((report, tokens))
    }

    /// The gradients of the next step, over all processes, without making it.
    ///
    /// # Errors
    /// As a step of [`Trainer::run`].
    pub fn gradients(&mut self) -> Result<Gradients> {
        let mut walk = self.walk();
        let mut share = self.window(&mut walk)?;
        let reading = self.reading();
        let count = share.window.batches.len();
        self.stepper.gradients(&self.processes, count, |micro| {
            Ok(share.loss(&reading, micro)?.0)
        })
    }

    /// The held-out loss with what is measured beside it, and whether it is one of the lowest.
    fn evaluate_if_due(&mut self, step: u64, last: bool) -> Result<(Option<Evaluated>, bool)> {
        if self.validation.is_empty() || !(last || due(step, self.settings.eval_steps)) {
            return Ok((None, false));
        }
        let evaluated = self.held_out()?;
        let val = evaluated.0;
        if !val.is_finite() {
            let what = "the held-out loss".to_owned();
            return self.processes.alike(Error::NotFinite {
                step,
                what,
                value: val.to_string(),
            });
        }
        let improved = self.progress.evaluated(step, val, self.settings.save_best);
        Ok((Some(evaluated), improved))
    }

    fn sample_if_due(
        &self,
        step: u64,
        last: bool,
        observers: &mut [&mut dyn Observer],
    ) -> Result<()> {
        let every = self.sampling.as_ref().map_or(0, |sampling| sampling.every);
        match &self.sampling {
            Some(sampling) if due(step, every) || (last && every > 0) => {
                let samples = (sampling.generate)()?;
                tell(observers, &Event::Sampled { step, samples })
            }
            _ => Ok(()),
        }
    }

    /// The loss of the held-out rows: per supervised token, pair or question, as the objective has
    /// it.
    ///
    /// # Errors
    /// What the model reports.
    pub fn held_out_loss(&self) -> Result<f64> {
        Ok(self.held_out()?.0)
    }

    fn held_out(&self) -> Result<Evaluated> {
        let LoopSettings {
            batch_size, pad, ..
        } = self.settings;
        let data = HeldOut {
            examples: self.validation,
            batch_size,
            pad,
            device: &self.device,
            processes: &self.processes,
        };
        self.objective.held_out_mean(self.model, data)
    }

    fn log_row(
        &self,
        report: &StepReport,
        val: Option<&Evaluated>,
        since: &Since,
        walk: &Walk,
    ) -> LogRow {
        let left = self.settings.total_steps - report.step;
        let unlogged = &self.progress.unlogged;
        let mut measures = unlogged.measures.means();
        let means = val.map(|(_, seen)| seen.means()).unwrap_or_default();
        let of_evaluation = |(name, mean): (String, f64)| (format!("eval_{name}"), mean);
        measures.extend(means.into_iter().map(of_evaluation));
        LogRow {
            step: report.step,
            epoch: walk.epoch() as f64 + walk.position() as f64 / self.plan.rows() as f64,
            loss: unlogged.loss / unlogged.steps as f64,
            val: val.map(|(loss, _)| *loss),
            lr: report.lr,
            grad: report.grad_norm,
            tokens_per_second: since.tokens as f64 / since.seconds,
            eta_seconds: since.seconds / since.steps as f64 * left as f64,
            measures,
        }
    }

    /// Writes a checkpoint where this process writes any. No process goes on before it stands, and
    /// none has other weights than what it holds.
    fn save(&mut self, observers: &mut [&mut dyn Observer]) -> Result<()> {
        self.check_weights("the weights")?;
        let saved = self.checkpoint(observers);
        self.processes.agree(saved)
    }

    /// Fails in every process unless all hold the same weights, to the last bit.
    ///
    /// # Errors
    /// The first process that holds others.
    pub(crate) fn check_weights(&self, what: &str) -> Result<()> {
        match self.processes.is_alone() {
            true => Ok(()),
            false => {
                let own = digest(&self.stepper.parameters);
                let own = self.processes.agree(own)?;
                self.processes.check_same(what, own)
            }
        }
    }

    fn checkpoint(&self, observers: &mut [&mut dyn Observer]) -> Result<()> {
        let Some(checkpoints) = &self.checkpoints else {
            return Ok(());
        };
        let step = self.progress.step;
        tell(observers, &Event::Saving { step })?;
        let path = checkpoints.save(&self.progress, &self.stepper)?;
        tell(observers, &Event::Saved { step, path })
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
