//! Epochs over the windows of a text.
//!
//! ```text
//! for each epoch:
//!     for each batch of its shuffle (whole batches only):
//!         lr = recipe.rate(epoch, step)
//!         loss → gradients → clip → AdamW
//!     the epoch's mean loss is written down
//! ```
//!
//! Order of windows and dropout masks follow from the seed, the epoch and the step, so a run that
//! was saved after an epoch and resumed is the run that never stopped.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use llm_core::config::ModelConfig;
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::Mode;
use llm_core::text::chars::CharTokenizer;
use llm_store::hash::sha256_bytes;
use serde_json::{Map, Value, json};

use super::folder;
use super::recipe::Recipe;
use super::windows::Windows;
use crate::checkpoint::{self, Checkpoints, Progress};
use crate::model::LanguageModel;
use crate::optimizer::{AdamW, AdamWConfig};
use crate::schedule::{Schedule, ScheduleKind};
use crate::step::{StepReport, Stepper, scalar};
use crate::trainer::dropout_seed;
use crate::{Error, Result};

/// Windows of a pass without gradients.
const EVALUATION_BATCH: usize = 64;
/// Epochs between two saves of a run: a save costs a second, ten epochs a minute.
const SAVE_EVERY: usize = 10;
/// The key of the epochs' losses among a saved run's facts.
const LOSSES: &str = "losses";

/// A training run between two epochs.
#[derive(Debug)]
pub struct CharRun {
    /// The model as it is now.
    pub model: Decoder,
    /// What it reads.
    pub windows: Windows,
    /// How it is trained.
    pub recipe: Recipe,
    seed: u64,
    stepper: Stepper,
    losses: Vec<f64>,
}

impl CharRun {
    /// A new model of `config` before its first epoch; its weights follow from `seed`.
    ///
    /// # Errors
    /// A text that is too short for one window or one batch, or a config that cannot be.
    pub fn start(ids: Vec<u32>, config: &ModelConfig, recipe: Recipe, seed: u64) -> Result<Self> {
        let windows = Windows::new(ids, config.max_position_embeddings, recipe.stride)?;
        if windows.count() < recipe.batch_size {
            let (found, wanted) = (windows.count(), recipe.batch_size);
            let problem = format!("has {found} windows, expected a batch of {wanted} or more");
            return Err(Error::input("text", problem));
        }
        let (model, parameters) = Decoder::init(config, seed, Mode::Trainable, DType::F32)?;
        let settings = AdamWConfig {
            weight_decay: recipe.weight_decay,
            ..AdamWConfig::default()
        };
        let stepper = Stepper {
            optimizer: AdamW::new(&parameters, settings, |_, _| true)?,
            parameters,
            schedule: at_rate(recipe.max_lr),
            max_grad_norm: Some(recipe.max_grad_norm),
            scaler: None,
        };
        Ok(Self {
            model,
            windows,
            recipe,
            seed,
            stepper,
            losses: Vec::new(),
        })
    }

    /// Optimizer steps of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.windows.count() / self.recipe.batch_size) as u64
    }

    /// Optimizer steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.steps_per_epoch().saturating_mul(self.recipe.epochs)
    }

    /// The mean training loss of each epoch so far.
    pub fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// Whether all epochs are done.
    pub fn is_done(&self) -> bool {
        self.losses.len() as u64 >= self.recipe.epochs
    }

    // ANCHOR: epoch
    /// Trains for one epoch; `each` is told of every step. The epoch's mean loss, dropout on.
    ///
    /// # Errors
    /// A loss or gradient that is not finite (named, with the step), or what the tensor library
    /// reports.
    pub fn epoch(&mut self, mut each: impl FnMut(&StepReport)) -> Result<f64> {
        let epoch = self.losses.len() as u64;
        let mut sum = 0.0;
        let batches = self
            .windows
            .batches(self.seed, epoch, self.recipe.batch_size);
        for windows in &batches {
            let batch = self.windows.batch(windows)?;
            let step = self.stepper.optimizer.updates();
            self.stepper.schedule = at_rate(self.recipe.rate(epoch, step));
            let (model, seed) = (&self.model, dropout_seed(self.seed, step, 0));
            let scale = 1.0 / batch.supervised as f64;
            let report = self.stepper.step(1, |_| {
                let pass = Pass::train(Ops::Fused, seed);
                Ok(model.loss(&batch, &pass, scale)?)
            })?;
            sum += report.loss;
            each(&report);
        }
        let mean = sum / batches.len() as f64;
        self.losses.push(mean);
        Ok(mean)
    }
    // ANCHOR_END: epoch

    /// Trains all epochs that are left; `each` is told of every step.
    ///
    /// With `out`, the folder where the model will go, the run is saved beside it every ten epochs,
    /// and one that was stopped goes on from there.
    ///
    /// # Errors
    /// As [`CharRun::epoch`], [`CharRun::save`] and [`CharRun::resume`].
    pub fn train(&mut self, out: Option<&Path>, mut each: impl FnMut(&StepReport)) -> Result<()> {
        let unfinished = out.map(unfinished);
        if let Some(folder) = &unfinished {
            self.resume(folder)?;
        }
        while !self.is_done() {
            self.epoch(&mut each)?;
            match &unfinished {
                Some(folder) if self.losses.len().is_multiple_of(SAVE_EVERY) => {
                    self.save(folder)?
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What tells this run from another one.
    fn facts(&self) -> Map<String, Value> {
        let ids: Vec<u8> = self
            .windows
            .ids()
            .iter()
            .flat_map(|id| id.to_le_bytes())
            .collect();
        Map::from_iter([
            ("recipe".to_owned(), json!(self.recipe)),
            ("model".to_owned(), json!(self.model.config().to_json())),
            ("text".to_owned(), json!(sha256_bytes(&ids))),
            ("seed".to_owned(), json!(self.seed)),
        ])
    }

    /// Saves the run as it stands, whole or not at all, in place of what `folder` held before.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let mut facts = self.facts();
        facts.insert(LOSSES.to_owned(), json!(self.losses));
        let checkpoints = Checkpoints {
            folder: folder.to_path_buf(),
            config: format!("{:#}\n", json!(self.recipe)),
            facts,
            keep: 1,
            resumed: None,
        };
        let progress = Progress {
            step: self.stepper.optimizer.updates(),
            epoch: self.losses.len() as u64,
            ..Progress::default()
        };
        checkpoints.save(&progress, &self.stepper)?;
        Ok(())
    }

    /// Writes the model folder `out`, and removes what [`CharRun::train`] saved beside it.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn keep(&self, out: &Path, chars: &CharTokenizer) -> Result<()> {
        folder::save(out, &self.model, chars)?;
        let unfinished = unfinished(out);
        match std::fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(&unfinished)(error))
            }
            _ => Ok(()),
        }
    }

    /// Goes on from what [`CharRun::save`] left in `folder`; false when there is nothing, or only
    /// the state of another run (other text, sizes, recipe or seed), which is then removed.
    ///
    /// # Errors
    /// A saved state that is damaged or cannot be read.
    pub fn resume(&mut self, folder: &Path) -> Result<bool> {
        if !folder.is_dir() {
            return Ok(false);
        }
        let mut resumed = false;
        for (_step, path) in checkpoint::list(folder)? {
            let (_progress, mut facts) = checkpoint::read_progress(&path)?;
            let losses = facts.remove(LOSSES).unwrap_or_default();
            if facts != self.facts() {
                std::fs::remove_dir_all(&path).map_err(Error::io(&path))?;
                continue;
            }
            self.losses = serde_json::from_value(losses)
                .map_err(|error| Error::file(&path, format!("has no losses: {error}")))?;
            checkpoint::resume(&path, &mut self.stepper)?;
            resumed = true;
        }
        Ok(resumed)
    }
}

/// Where the run is saved whose model will go to `out`.
fn unfinished(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    out.with_file_name(name)
}

/// A schedule that stays at `lr`: the staircase sets it anew before each step.
fn at_rate(lr: f64) -> Schedule {
    Schedule {
        kind: ScheduleKind::Constant,
        max_lr: lr,
        min_lr: lr,
        warmup_steps: 0,
        total_steps: 0,
    }
}

/// The model's mean loss at each position over all windows, dropout off.
///
/// # Shapes
/// Length T.
///
/// # Errors
/// What the model reports.
pub fn losses_by_position(model: &Decoder, windows: &Windows) -> Result<Vec<f64>> {
    let (ops, context) = (Ops::for_device(&Device::Cpu), windows.context());
    let mut sums = vec![0.0; context];
    let all: Vec<usize> = (0..windows.count()).collect();
    for chunk in all.chunks(EVALUATION_BATCH) {
        let batch = windows.batch(chunk)?;
        let logits = model.forward(&batch.ids, &Pass::eval(ops))?.detach();
        for (position, sum) in sums.iter_mut().enumerate() {
            let logits = logits.narrow(1, position, 1)?.squeeze(1)?.contiguous()?;
            let targets = batch.targets[position..].iter().step_by(context);
            let targets: Vec<i64> = targets.copied().collect();
            *sum += scalar(&ops.cross_entropy(&logits, &targets, 1.0)?)?;
        }
    }
    let count = windows.count() as f64;
    Ok(sums.into_iter().map(|sum| sum / count).collect())
}
