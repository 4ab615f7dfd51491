//! A fine-tuning run of the lessons: settings by the model's size, log, event files, curve.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use clap::Args;
use llm_core::config::ModelConfig;
use llm_core::model::count;
use llm_show::{ToolArgs, TrainingRow, Weather};
use llm_store::ModelFolder;
use llm_train::config::{Method, TrainConfig};
use llm_train::finetune::{FinetuneReport, Measure, Stage, finetune};
use llm_train::monitor::{Monitor, News, failure};
use llm_train::observe::{Callback, Event, LogRow, MetricsFile, Observer};
use llm_train::runs::{RunFolder, is_finished};
use llm_train::session::Session;

use crate::bundled::{DATA, HELD_OUT, MODEL, folder, here, is_data};

/// A model of fewer parameters is small: it bears, and needs, higher rates.
const SMALL: u64 = 50_000_000;
/// The longest row, where the model's context is no shorter.
const LONGEST: usize = 512;
/// Held-out rows of a quick run on a model that is not small.
const FEW_ROWS: usize = 8;
/// Tokens of an answer to a held-out question.
pub const MAX_NEW_TOKENS: usize = 24;

/// The flags of a fine-tuning lesson.
#[derive(Args, Clone, Debug)]
pub struct TuneArgs {
    /// A Hugging Face folder or a hub id (org/name)
    #[arg(long, default_value = MODEL, value_name = "M")]
    pub model: String,
    /// Rows to train on: prompt/completion, messages or instruction/input/output
    #[arg(long, default_value = DATA, value_name = "FILE")]
    pub data: PathBuf,
    /// Held-out rows [default: the bundled ones, or a tenth of --data]
    #[arg(long, value_name = "FILE")]
    pub eval_data: Option<PathBuf>,
    /// Optimizer steps [default: 256 on a small model, else 3 passes; with --quick 80, else 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: Option<u64>,
    /// The highest learning rate [default: 1e-3, with adapters 3e-3; less on a model that is not
    /// small]
    #[arg(long, value_name = "F")]
    pub lr: Option<f64>,
    /// Where the run's folder goes
    #[arg(long, default_value = "output_models/runs", value_name = "DIR")]
    pub out: PathBuf,
}

/// What a run is called and how it trains.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// The end of its folder's name.
    pub name: &'a str,
    /// What trains.
    pub method: Method,
}

impl TuneArgs {
    /// The folder of `--model`.
    ///
    /// # Errors
    /// Neither a folder nor a model in the hub's cache.
    pub fn base(&self) -> Result<PathBuf> {
        folder(&self.model)
    }

    /// The settings of a run on the model in `base`.
    ///
    /// # Errors
    /// A folder that holds no model.
    pub fn config(
        &self,
        way: Way,
        tool: &ToolArgs,
        quick: bool,
        base: &Path,
    ) -> Result<TrainConfig> {
        let model = ModelFolder::open(base)?.config;
        let small = is_small(&model);
        let lr = match (small, way.method) {
            (true, Method::Full) => 1e-3,
            (true, _) => 3e-3,
            (false, Method::Full) => 2e-5,
            (false, _) => 2e-4,
        };
        let steps = match (quick, small) {
            (true, true) => Some(80),
            (true, false) => Some(3),
            (false, true) => Some(256),
            (false, false) => None,
        };
        let batch_size = match (small, quick) {
            (true, _) => 16,
            (false, true) => 2,
            (false, false) => 4,
        };
        let bundled = is_data(&self.data).then(|| here(HELD_OUT));
        Ok(TrainConfig {
            model_name: Some(here(&self.model).display().to_string()),
            method: way.method,
            dataset_path: here(&self.data),
            validation_path: self.eval_data.clone().or(bundled),
            max_steps: self.steps.or(steps),
            lr: self.lr.unwrap_or(lr),
            batch_size,
            max_length: LONGEST.min(model.max_position_embeddings),
            weight_decay: 0.0,
            warmup_ratio: 0.05,
            logging_steps: if small { 10 } else { 1 },
            save_steps: 0,
            seed: tool.seed,
            device: tool.device.as_str().to_owned(),
            dtype: tool.dtype.as_str().to_owned(),
            output_dir: self.out.clone(),
            run_name: way.name.to_owned(),
            ..TrainConfig::default()
        })
    }

    /// A run that is ready to train, with few held-out rows where measuring them all would take
    /// longer than a quick run.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open(
        &self,
        way: Way,
        tool: &ToolArgs,
        quick: bool,
        change: impl FnOnce(&mut TrainConfig),
    ) -> Result<Session> {
        let base = self.base()?;
        let mut config = self.config(way, tool, quick, &base)?;
        change(&mut config);
        let mut session = Session::open(config, Some(&base))?;
        if quick && !is_small(session.model.config()) {
            session.dataset.validation.truncate(FEW_ROWS);
            session.dataset.validation_rows.truncate(FEW_ROWS);
        }
        Ok(session)
    }
}

/// Whether whole runs on a model take a minute and not hours.
pub fn is_small(model: &ModelConfig) -> bool {
    count::total(model) < SMALL
}

/// A run that has ended.
#[derive(Debug)]
pub struct Tuned {
    /// Its folder.
    pub run: RunFolder,
    /// What it measured.
    pub report: FinetuneReport,
    /// The loss of each row of its log.
    pub curve: Vec<f64>,
    /// The speed of each row of its log.
    pub tokens_per_second: Vec<f64>,
}

/// Trains in a new run folder, with the log and event files of `deeper train`; measures before and
/// after. Progress and warnings go to `weather`.
///
/// # Errors
/// As [`finetune`]; the run's folder says then why it failed.
pub fn tune(session: &Session, measure: Measure, weather: &mut Weather) -> Result<Tuned> {
    for warning in &session.warnings {
        weather.warn(warning);
    }
    let config = &session.config;
    let run = RunFolder::create(&config.output_dir, &config.run_name, SystemTime::now())?;
    let (mut curve, mut tokens_per_second) = (Vec::new(), Vec::new());
    let weather = RefCell::new(weather);
    let mut metrics = MetricsFile::append(&run.metrics())?;
    let mut monitor = Monitor::start(&run, session, |news| {
        if let News::Warning(warning) = news {
            let text = format!("step {}: {}; {}", warning.step, warning.message, warning.hint);
            weather.borrow_mut().warn(&text);
        }
    })?;
    let mut watch = Callback(|event: &Event| {
        if let Event::Logged(row) = event {
            curve.push(row.loss);
            tokens_per_second.push(row.tokens_per_second);
            weather.borrow_mut().training_row(&training_row(row));
        }
    });
    let observers: &mut [&mut dyn Observer] = &mut [&mut metrics, &mut monitor, &mut watch];
    let result = finetune(session, &run, measure, observers, None, |stage| {
        show_stage(&mut weather.borrow_mut(), &stage);
    });
    drop(monitor);
    let weather = weather.into_inner();
    let folder = run.path.display();
    weather.fact("run", &folder.to_string());
    weather.fact("report", &format!("cargo deeper report {folder}"));
    match result {
        Ok(report) => Ok(Tuned { run, report, curve, tokens_per_second }),
        Err(error) => {
            failure::record(&run, &error)?;
            Err(error.into())
        }
    }
}

/// A row of the log as the terminal shows it.
fn training_row(row: &LogRow) -> TrainingRow {
    TrainingRow {
        step: row.step,
        loss: row.loss,
        val: row.val,
        lr: row.lr,
        grad: row.grad,
        tokens_per_second: row.tokens_per_second,
        eta: Duration::try_from_secs_f64(row.eta_seconds).ok(),
    }
}

/// Where the run is.
fn show_stage(weather: &mut Weather, stage: &Stage) {
    match stage {
        Stage::Audited(audit) => weather
            .fact("audit", &format!("{} trainable tensors have the right gradient", audit.tensors)),
        Stage::Measuring(false) => weather.note("held-out rows before training"),
        Stage::Measuring(true) => weather.note("held-out rows after training"),
        Stage::Answered(done, total, _, _) => {
            weather.progress("answers", *done as u64, *total as u64);
        }
        Stage::Training => weather.note("training"),
        Stage::Saving => {}
    }
}

/// The result of the newest finished run called `name` in `runs`; none where there is no such run.
pub fn newest(runs: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(runs).ok()?;
    let named = |folder: &PathBuf| {
        // `<time>-<name>`, or `<time>-<name>-2` for the second one of a second
        let file = folder.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        file.split_once(&format!("-{name}")).is_some_and(|(_, rest)| {
            rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok())
        })
    };
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.retain(|folder| named(folder) && is_finished(folder) && !folder.is_symlink());
    folders.sort();
    Some(folders.pop()?.join("model"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_finished_run_of_a_name_is_found() {
        let root = tempfile::tempdir().unwrap();
        let run = |name: &str, finished: bool| {
            std::fs::create_dir(root.path().join(name)).unwrap();
            if finished {
                std::fs::write(root.path().join(name).join("metrics.json"), "{}").unwrap();
            }
        };
        assert_eq!(newest(root.path(), "full"), None);
        run("20260101-000000-full", true);
        run("20260102-000000-full-2", true);
        run("20260103-000000-full", false);
        run("20260104-000000-fuller", true);
        run("20260105-000000-lora", true);
        let model = |name: &str| Some(root.path().join(name).join("model"));
        assert_eq!(newest(root.path(), "full"), model("20260102-000000-full-2"));
        assert_eq!(newest(root.path(), "lora"), model("20260105-000000-lora"));
        assert_eq!(newest(&root.path().join("none"), "full"), None);
    }
}
