//! Who watches a run.
//!
//! The loop reports [`Event`]s; what becomes of them (a line on a terminal, a row of a file, a
//! value in a test) is each [`Observer`]'s own business.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Error, Result};

/// One row of the training log: the same columns on a screen and in `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// Optimizer steps done.
    pub step: u64,
    /// Epochs done, with the fraction of the current one.
    pub epoch: f64,
    /// The mean loss per supervised token since the last row.
    pub loss: f64,
    /// The held-out loss, in rows of an evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val: Option<f64>,
    /// The learning rate of this step.
    pub lr: f64,
    /// The norm of all gradients of this step before clipping.
    pub grad: f64,
    /// Tokens read per second since the last row, padding not counted.
    pub tokens_per_second: f64,
    /// Seconds to the end at this rate.
    pub eta_seconds: f64,
    /// Means of what preferences and rewards measure beside the loss, since the last row, under
    /// TRL's names; those of an evaluation begin with `eval_`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measures: BTreeMap<String, f64>,
}

/// What happens in a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The loop begins at `step` of `total_steps`.
    Started {
        /// Steps already done (not 0 when a run resumes).
        step: u64,
        /// Steps of the whole run.
        total_steps: u64,
    },
    /// A step is done; `loss` and the rest are this step's own.
    Stepped(crate::step::StepReport),
    /// A row of the log is due.
    Logged(LogRow),
    /// The model's continuations of the run's fixed prompts.
    Sampled {
        /// Steps done.
        step: u64,
        /// One for each prompt.
        samples: Vec<Sample>,
    },
    /// A checkpoint is about to be written: what it does not hold itself has to be on the disk.
    Saving {
        /// Steps done.
        step: u64,
    },
    /// A checkpoint stands at a path.
    Saved {
        /// Steps done.
        step: u64,
        /// Its folder.
        path: PathBuf,
    },
    /// The loop has ended.
    Ended(Outcome),
}

/// What the model says after one of a run's fixed prompts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The prompt.
    pub prompt: String,
    /// The continuation, chosen greedily.
    pub text: String,
}

/// How a loop ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Optimizer steps done in all.
    pub steps: u64,
    /// The mean loss of the last step.
    pub last_loss: f64,
    /// The held-out loss at the end, if there are held-out rows.
    pub last_val: Option<f64>,
    /// The lowest held-out loss and its step.
    pub best_val: Option<(u64, f64)>,
    /// Why it ended.
    pub end: End,
    /// Seconds of this process's part of the run.
    pub seconds: f64,
}

/// Why a loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All steps are done.
    Completed,
    /// The held-out loss stopped falling.
    StoppedEarly,
    /// Someone asked it to stop.
    Interrupted,
}

/// Takes the events of a run.
pub trait Observer {
    /// Takes one event.
    ///
    /// # Errors
    /// Whatever keeps the observer from its work; the run stops then.
    fn observe(&mut self, event: &Event) -> Result<()>;
}

/// Keeps every event, for tests.
#[derive(Debug, Default)]
pub struct Memory {
    /// All events so far.
    pub events: Vec<Event>,
}

impl Observer for Memory {
    fn observe(&mut self, event: &Event) -> Result<()> {
        self.events.push(event.clone());
        Ok(())
    }
}

/// Hands every event to a function: how a program shows progress.
pub struct Callback<F>(pub F);

impl<F: FnMut(&Event)> Observer for Callback<F> {
    fn observe(&mut self, event: &Event) -> Result<()> {
        (self.0)(event);
        Ok(())
    }
}

/// Writes the log rows, with all their digits, to `metrics.jsonl`.
///
/// Each row is one write, so that a killed run leaves whole lines; before a checkpoint they are
/// flushed to the disk, so that a run that goes on from it has the rows up to it.
#[derive(Debug)]
pub struct MetricsFile(Lines);

impl MetricsFile {
    /// Appends to the file at `path`, which is created if it is not there.
    ///
    /// # Errors
    /// The file cannot be opened for writing.
    pub fn append(path: &Path) -> Result<Self> {
        Ok(Self(Lines::append(path)?))
    }
}

impl Observer for MetricsFile {
    fn observe(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Logged(row) => self.0.write(row),
            Event::Saving { .. } => self.0.flush(),
            _ => Ok(()),
        }
    }
}

/// Writes the samples of a run, one line for each prompt: `{"step", "prompt", "text"}`.
#[derive(Debug)]
pub struct SamplesFile(Lines);

impl SamplesFile {
    /// Appends to the file at `path`, which is created if it is not there.
    ///
    /// # Errors
    /// The file cannot be opened for writing.
    pub fn append(path: &Path) -> Result<Self> {
        Ok(Self(Lines::append(path)?))
    }
}

impl Observer for SamplesFile {
    fn observe(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Sampled { step, samples } => samples.iter().try_for_each(|sample| {
                let Sample { prompt, text } = sample;
                let row = json!({ "step": step, "prompt": prompt, "text": text });
                self.0.write(&row)
            }),
            Event::Saving { .. } => self.0.flush(),
            _ => Ok(()),
        }
    }
}

/// A file of JSON lines that grows.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    fn append(path: &Path) -> Result<Self> {
        let file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .map_err(Error::io(path))?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
        })
    }

    fn write(&mut self, row: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string(row)
            .map_err(|error| Error::file(&self.path, format!("cannot hold a row: {error}")))?;
        self.file
            .write_all(format!("{json}\n").as_bytes())
            .map_err(Error::io(&self.path))
    }

    fn flush(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }
}
