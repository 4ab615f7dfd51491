//! One run, from its settings to a saved result.
//!
//! ```text
//! Session::open   settings → model, tokenizer, examples
//!        .audit   does every trainable tensor get its gradient?
//!        .train   the loop, with checkpoints in a run folder
//!        .losses  .answers                   on held-out rows
//!        .save    a model folder or a PEFT adapter
//! ```
//!
//! Opened among several [`Processes`], a session holds the whole model and data in each of them;
//! its loop and its losses are shared, all else is the caller's to do in one of them.

mod aligned;
mod folder;
mod group;
mod samples;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use candle_core::{DType, Device};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::{Ops, Products};
use llm_core::params::Parameters;
use llm_core::{device, lora, soft_prompt};
use llm_store::adapter::{AdapterConfig, SoftPrompt};
use llm_store::{SaveOptions, save_model};
use serde_json::{Map, Value};

use self::aligned::Frozen;
use crate::audit::{AuditReport, TOLERANCE_HALF, audit_within};
use crate::base::{load_model, precision};
use crate::batch::{collate, pack, positions};
use crate::batching::Batching;
use crate::bootstrap::Part;
use crate::checkpoint::{self, Checkpoints, Progress};
use crate::config::{TrainConfig, Trained};
use crate::dataset::{Dataset, check_ids};
use crate::evaluate::{Answer, exact_match, greedy};
use crate::labels::Example;
use crate::model::LanguageModel;
use crate::objective::HeldOut;
use crate::observe::{Observer, Outcome};
use crate::optimizer::AdamW;
use crate::processes::Processes;
use crate::prompt::Codec;
use crate::resume::{self, Start};
use crate::runs::RunFolder;
use crate::scaler::LossScaler;
use crate::step::{Gradients, Stepper};
use crate::trainer::{LoopSettings, Sampling, Trainer};
use crate::{Error, Result};

/// Tokens of the audit's rows after the first supervised one: enough for every path, little work.
const AUDIT_TOKENS: usize = 8;
/// Rows of the audit's batch.
const AUDIT_ROWS: usize = 2;

/// A run that is ready to train.
#[derive(Debug)]
pub struct Session {
    /// The settings.
    pub config: TrainConfig,
    /// The model, with adapters attached if the run trains them.
    pub model: Decoder,
    /// What is trained.
    pub parameters: Parameters,
    /// The tokenizer and prompt format.
    pub codec: Codec,
    /// The examples.
    pub dataset: Dataset,
    /// Why this device, for people to read.
    pub device_reason: String,
    /// What a person should know before trusting the numbers, one line each.
    pub warnings: Vec<String>,
    /// Which faults are planted and which checks may fail.
    pub monitor: crate::monitor::Plan,
    /// Who shares the work.
    pub processes: Processes,
    /// The base model's folder; `None` for a new model.
    base: Option<PathBuf>,
    /// The folder with the tokenizer.
    pub(crate) tokenizer_folder: PathBuf,
    device: Device,
    /// What the model says before it trains, where the objective compares with that.
    frozen: Frozen,
    /// Where the run goes on; `None` for one that begins.
    start: Option<Start>,
    /// What [`Session::facts`] found.
    facts: OnceLock<Map<String, Value>>,
}

impl Session {
    /// Loads or initialises the model, attaches adapters, reads the data.
    ///
    /// `base` is the folder that the settings' `model_name` stands for (a hub id is resolved by the
    /// caller); it is not looked at when the settings ask for a new model.
    ///
    /// # Errors
    /// Whatever is wrong with the model's files, the tokenizer, the data, or their combination; a run
    /// or checkpoint to go on from that is damaged or not of these settings and files.
    pub fn open(config: TrainConfig, base: Option<&Path>) -> Result<Self> {
        Self::open_among(config, base, &Processes::alone())
    }

    /// As [`Session::open`] in each of several processes, the first one first: what is wrong for all
    /// is said once, and the token cache that it fills is there for the others.
    ///
    /// # Errors
    /// As [`Session::open`]; processes that do not have the same settings, files, program,
    /// instruction set and kind of device.
    pub fn open_among(
        config: TrainConfig,
        base: Option<&Path>,
        processes: &Processes,
    ) -> Result<Self> {
        let session = processes.each(|| Self::open_one(config, base, processes))?;
        session.check_group()?;
        Ok(session)
    }

    fn open_one(config: TrainConfig, base: Option<&Path>, processes: &Processes) -> Result<Self> {
        config.validate()?;
        group::check_method(&config, processes)?;
        let chosen = device::choose_at(&config.device, processes.local())?;
        let mut warnings = Vec::new();
        let start = match &config.resume_from {
            Some(name) => Some(resume::find(name, &config.output_dir)?),
            None => None,
        };
        warnings.extend(start.iter().flat_map(Start::warnings));
        let (dtype, products) = precision(&config, &chosen.device, &mut warnings)?;
        if config.gradient_checkpointing && !chosen.device.is_cpu() {
            let problem = "is true, which only the CPU can; set it to false";
            return Err(Error::input("`gradient_checkpointing`", problem));
        }
        let base = if config.model_config.is_some() {
            None
        } else {
            base
        };
        let missing = || Error::input("model_name", "has no folder, expected a base model");
        let tokenizer_folder = match (&config.tokenizer, base) {
            (Some(folder), _) => folder.clone(),
            (None, base) => base.ok_or_else(missing)?.to_path_buf(),
        };
        let codec = Codec::open(&tokenizer_folder, config.prompt_format)?;
        let (mut model, mut parameters) = load_model(&config, base, dtype, &chosen.device)?;
        model.set_products(products);
        codec.tokenizer.check_vocab(model.config().vocab_size)?;
        if let Some(beside) = attach(&config, &mut model)? {
            parameters = beside;
        }
        check_length(&config, model.context())?;
        let dataset = Dataset::read(&config, &codec)?;
        check_ids(&dataset, model.config().vocab_size)?;
        let frozen = Frozen::of(&config, &model, &dataset, codec.pad())?;
        warnings.extend(dataset.notes.iter().cloned());
        warnings.extend(dataset.report.warnings());
        let session = Self {
            config,
            model,
            parameters,
            codec,
            dataset,
            device_reason: chosen.reason,
            warnings,
            monitor: crate::monitor::Plan::default(),
            processes: processes.clone(),
            base: base.map(Path::to_path_buf),
            tokenizer_folder,
            device: chosen.device,
            frozen,
            start,
            facts: OnceLock::new(),
        };
        // Now, and not after hours of measuring and training
        session.sample_ids()?;
        if let Some(start) = &session.start {
            let size = session.processes.size();
            resume::check(start, &session.config, session.facts()?, size)?;
        }
        Ok(session)
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.config.total_steps(self.dataset.plan.rows())
    }

    /// Scalars of the model and its adapters.
    pub fn total_parameters(&self) -> Result<usize> {
        let tensors = self.model.named_tensors()?;
        let base: usize = tensors.values().map(|tensor| tensor.elem_count()).sum();
        let beside = match self.config.trained() {
            Trained::All => 0,
            Trained::Adapter | Trained::Prompt => self.parameters.count(),
        };
        Ok(base + beside)
    }

    /// Where tensors are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Compares every trainable tensor's gradient with the slow model's on a small batch.
    ///
    /// # Errors
    /// The first tensor whose gradient is missing or wrong.
    pub fn audit(&self) -> Result<AuditReport> {
        let rows = self.audit_rows();
        let rows: Vec<&Example> = rows.iter().collect();
        let batch = match self.config.batching {
            // The way that training will go: both documents in one row, where they fit.
            Batching::Packed => {
                let length = |rows: &Vec<&Example>| rows.iter().map(|row| positions(row)).sum();
                let fits = length(&rows) <= self.model.config().max_position_embeddings;
                let groups: Vec<Vec<&Example>> = match fits {
                    true => vec![rows],
                    false => rows.into_iter().map(|row| vec![row]).collect(),
                };
                let t = groups.iter().map(length).max().unwrap_or(0);
                pack(&groups, t, self.codec.pad(), &self.device)?
            }
            _ => collate(&rows, self.codec.pad(), &self.device)?,
        };
        let scale = 1.0 / batch.supervised as f64;
        let ops = Ops::for_device(&self.device);
        // The slow model does not round.
        let tolerance = match self.model.products() {
            Products::Rounded => Some(TOLERANCE_HALF),
            Products::Exact => None,
        };
        audit_within(&self.parameters, ops, self.config.seed, tolerance, |ops| {
            let pass = Pass::eval(ops).packed(batch.segments.clone());
            self.audited_loss(&batch, &pass, scale)
        })
    }

    /// A few short rows: enough for every path of the model, little work.
    pub(crate) fn audit_rows(&self) -> Vec<Example> {
        let mut rows: Vec<&Example> = self.dataset.train.iter().take(64).collect();
        rows.sort_by_key(|example| example.ids.len());
        rows.into_iter().take(AUDIT_ROWS).map(shorten).collect()
    }

    /// Trains. With a run folder the settings, the log and checkpoints are written there.
    ///
    /// # Errors
    /// As [`Trainer::run`]; a checkpoint to go on from whose tensors are not this run's.
    pub fn train(
        &self,
        run: Option<&RunFolder>,
        observers: &mut [&mut dyn Observer],
        stop: Option<&AtomicBool>,
    ) -> Result<Outcome> {
        let total_steps = self.total_steps();
        let begun = self.processes.agree(self.begin(run, total_steps))?;
        let (stepper, progress, checkpoints) = begun;
        let model = self.planted();
        let mut trainer = self.trainer(&model, stepper, total_steps);
        trainer.checkpoints = checkpoints;
        trainer.stop = stop;
        trainer.progress = progress;
        trainer.check_weights("the weights to begin with")?;
        trainer.run(observers)
    }

    /// Optimizer and place of a run that begins or goes on, and its folder made ready.
    fn begin(
        &self,
        run: Option<&RunFolder>,
        total_steps: u64,
    ) -> Result<(Stepper, Progress, Option<Checkpoints>)> {
        let mut stepper = self.stepper(total_steps)?;
        let from = self.start.as_ref();
        let progress = match from.and_then(|start| start.checkpoint.as_ref()) {
            Some(folder) => checkpoint::resume(folder, &mut stepper)?,
            None => Progress::default(),
        };
        let Some(run) = run else {
            return Ok((stepper, progress, None));
        };
        self.prepare_logs(run, progress.step)?;
        let checkpoints = self.start_folder(run, progress.step)?;
        Ok((stepper, progress, Some(checkpoints)))
    }

    /// The gradients of the run's first step, over all processes; nothing is trained.
    ///
    /// # Errors
    /// As [`Trainer::gradients`].
    pub fn gradients(&self) -> Result<Gradients> {
        let (total_steps, model) = (self.total_steps(), self.planted());
        let stepper = self.stepper(total_steps)?;
        let mut trainer = self.trainer(&model, stepper, total_steps);
        trainer.check_weights("the weights to begin with")?;
        trainer.gradients()
    }

    /// A loop over `model` at its beginning, without checkpoints.
    pub(crate) fn trainer<'a, M: LanguageModel>(
        &'a self,
        model: &'a M,
        stepper: Stepper,
        total_steps: u64,
    ) -> Trainer<'a, M> {
        let samples = self.processes.leads() && !self.config.sample_prompts.is_empty();
        let sampling = samples.then(|| Sampling {
            every: self.config.sample_steps,
            generate: Box::new(move || self.samples()),
        });
        Trainer {
            model,
            objective: self.objective(),
            stepper,
            train: &self.dataset.train,
            plan: &self.dataset.plan,
            validation: &self.dataset.validation,
            settings: self.loop_settings(total_steps),
            device: self.device.clone(),
            sampling,
            checkpoints: None,
            stop: None,
            progress: Progress::default(),
            processes: self.processes.clone(),
        }
    }

    pub(crate) fn stepper(&self, total_steps: u64) -> Result<Stepper> {
        let decay = |name: &str, shape: &[usize]| self.decays(name, shape);
        let norm = self.config.max_grad_norm;
        Ok(Stepper {
            parameters: self.parameters.clone(),
            optimizer: AdamW::new(&self.parameters, self.config.adamw(), decay)?,
            schedule: self.config.schedule(total_steps),
            max_grad_norm: (norm > 0.0).then_some(norm),
            scaler: (self.model.dtype() == DType::F16).then(LossScaler::default),
        })
    }

    fn loop_settings(&self, total_steps: u64) -> LoopSettings {
        let config = &self.config;
        LoopSettings {
            seed: config.seed,
            total_steps: config.stop_after.unwrap_or(u64::MAX).min(total_steps),
            batch_size: config.batch_size,
            accumulation: config.gradient_accumulation_steps,
            logging_steps: config.logging_steps,
            eval_steps: config.eval_steps,
            save_steps: config.save_steps,
            patience: config.early_stopping_patience,
            save_best: config.save_best_k,
            pad: self.codec.pad(),
            gradient_checkpointing: config.gradient_checkpointing,
        }
    }

    /// The loss of each held-out example, each of the processes computing its share; for `dpo` of
    /// each pair, and for `grpo` of each question, 1 where the greedy answer is wrong and 0 where it
    /// is right.
    ///
    /// # Errors
    /// What the model reports.
    pub fn losses(&self) -> Result<Vec<Part>> {
        let data = HeldOut {
            examples: &self.dataset.validation,
            batch_size: self.config.batch_size,
            pad: self.codec.pad(),
            device: &self.device,
            processes: &self.processes,
        };
        Ok(self.objective().held_out(&self.model, data)?.0)
    }

    /// The model's greedy answers to the first `limit` held-out prompts; `each` is told of every
    /// one as it is made. An answer to a question with a check is right where the check holds.
    ///
    /// # Errors
    /// A prompt that fills the context, or what the model reports.
    pub fn answers(
        &self,
        limit: usize,
        max_new_tokens: usize,
        mut each: impl FnMut(&Answer),
    ) -> Result<Vec<Answer>> {
        let mut answers = Vec::new();
        for (index, row) in self.dataset.validation_rows.iter().take(limit).enumerate() {
            let prompt = self.codec.prompt_ids(row.prompt())?;
            let new = greedy(
                &self.model,
                &prompt,
                self.codec.stop_tokens(),
                max_new_tokens,
            )?;
            let text = self.codec.decode(&new)?.trim().to_owned();
            let expected = row.completion().to_owned();
            let asked: Vec<&str> = row.prompt().iter().map(|m| m.content.as_str()).collect();
            let exact = match self.dataset.held_out_asked.get(index) {
                Some(graded) => graded.check.holds(&text),
                None => exact_match(&text, &expected),
            };
            let answer = Answer {
                prompt: asked.join("\n"),
                expected,
                answer: text,
                exact,
            };
            each(&answer);
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Writes the result: an adapter or soft prompt in PEFT's layout, or a model folder with its
    /// tokenizer. With `overwrite` an older result makes way.
    ///
    /// # Errors
    /// The folder exists or cannot be written; nothing half-written stands there.
    pub fn save(&self, folder: &Path, overwrite: bool) -> Result<()> {
        let base = self.config.model_name.clone().unwrap_or_default();
        let tensors = || lora::adapter_tensors(&self.parameters, DType::F32);
        match self.config.trained() {
            Trained::Adapter => {
                let family = self.model.config().family;
                let config = AdapterConfig::of(&self.config.lora(), &base, family);
                let written = llm_store::adapter::write(folder, &config, &tensors()?, overwrite);
                return Ok(written?);
            }
            Trained::Prompt => {
                let embeddings = tensors()?.remove(soft_prompt::NAME);
                let missing = || llm_core::Error::tensor(soft_prompt::NAME, "is missing");
                let prompt = SoftPrompt {
                    base_model_name_or_path: Some(base),
                    embeddings: embeddings.ok_or_else(missing)?,
                };
                return Ok(prompt.write(folder, self.model.config(), overwrite)?);
            }
            Trained::All => {}
        }
        let options = SaveOptions {
            copy: self.tokenizer_files(),
            overwrite,
            ..SaveOptions::default()
        };
        let tensors = self.model.named_tensors()?;
        Ok(save_model(
            folder,
            &self.model.config().to_json(),
            &tensors,
            &options,
        )?)
    }
}

/// What trains beside a frozen base, put on it; `None` where the base itself trains.
fn attach(config: &TrainConfig, model: &mut Decoder) -> Result<Option<Parameters>> {
    Ok(match config.trained() {
        Trained::Adapter => Some(lora::attach(model, &config.lora(), config.seed)?),
        Trained::Prompt => {
            let count = config.num_virtual_tokens;
            Some(soft_prompt::attach(model, count, config.seed)?)
        }
        Trained::All => None,
    })
}

/// Fails when rows may be longer than the model's context.
fn check_length(config: &TrainConfig, context: usize) -> Result<()> {
    if config.max_length <= context {
        return Ok(());
    }
    let asked = config.max_length;
    let problem = format!("is {asked}, but the model's context is {context}");
    Err(Error::input("`max_length`", problem))
}

/// The beginning of a row up to a few supervised tokens.
fn shorten(example: &Example) -> Example {
    let first = example
        .labels
        .iter()
        .skip(1)
        .position(|&label| label >= 0)
        .unwrap_or(0);
    let end = (first + 1 + AUDIT_TOKENS).min(example.ids.len());
    Example {
        ids: example.ids[..end].to_vec(),
        labels: example.labels[..end].to_vec(),
    }
}
