//! What the lessons ask of a loaded model, the same questions of each.

use std::path::{Path, PathBuf};

use anyhow::Result;
use llm_core::lora;
use llm_show::{Complaint, ToolArgs};
use llm_train::data::{DataFormat, Message, Row, read_rows};
use llm_train::eval::{EvalConfig, Subject};
use llm_train::evaluate::greedy;

use crate::bundled::folder;
use crate::tuning::newest;

/// Where the runs of the lessons are, if no flag says otherwise.
pub const RUNS: &str = "output_models/runs";
/// The end of the run folder's name of `03_dataset_plus_finetune_full`.
pub const FULL: &str = "lesson-full";
/// The same of `04_dataset_plus_finetune_lora`.
pub const LORA: &str = "lesson-lora";

/// A model to ask: the base, one that was trained in full, an adapter on the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name in tables.
    pub name: &'static str,
    /// The model's folder.
    pub model: PathBuf,
    /// The adapter on it.
    pub adapter: Option<PathBuf>,
}

impl Candidate {
    /// The base, the fully trained model and the adapter: those that flags name, else the newest
    /// runs of the two lessons.
    ///
    /// # Errors
    /// A base that is not there, or a lesson that has not run yet.
    pub fn all(model: &str, full: Option<&Path>, adapter: Option<&Path>) -> Result<[Self; 3]> {
        let base = folder(model)?;
        let result = |given: Option<&Path>, flag: &str, name: &str, lesson: &str| {
            let run = || newest(Path::new(RUNS), name);
            given.map(Path::to_path_buf).or_else(run).ok_or_else(|| {
                let problem = format!("{RUNS} has no run of {lesson} that ended");
                let hint =
                    format!("cargo run --release --bin {lesson} -- --quick, or {flag} FOLDER");
                Complaint::new(problem).hint(hint)
            })
        };
        let full = result(full, "--full", FULL, "03_dataset_plus_finetune_full")?;
        let adapter = result(adapter, "--adapter", LORA, "04_dataset_plus_finetune_lora")?;
        let one = |name, model: &Path, adapter| Self { name, model: model.into(), adapter };
        Ok([one("base", &base, None), one("full", &full, None), one("LoRA", &base, Some(adapter))])
    }

    /// Loads it.
    ///
    /// # Errors
    /// Whatever is wrong with its files.
    pub fn open(&self, tool: &ToolArgs) -> Result<Subject> {
        let config = EvalConfig {
            model_path: Some(self.model.display().to_string()),
            device: tool.device.as_str().to_owned(),
            dtype: tool.dtype.as_str().to_owned(),
            ..EvalConfig::default()
        };
        Ok(Subject::open(&config, &self.model, self.adapter.as_deref())?)
    }
}

/// The first `limit` rows of a file of questions with answers.
///
/// # Errors
/// A file that cannot be read or holds no such rows.
pub fn questions(path: &Path, limit: usize) -> Result<Vec<Row>> {
    let mut rows = read_rows(&[path.to_path_buf()], DataFormat::Auto)?;
    rows.truncate(limit);
    Ok(rows)
}

/// A question that a person typed, as a row asks it.
pub fn typed(text: &str) -> Vec<Message> {
    vec![Message { role: "user".into(), content: text.into() }]
}

/// The turns of a prompt as a person reads them.
pub fn as_text(prompt: &[Message]) -> String {
    prompt.iter().map(|turn| turn.content.as_str()).collect::<Vec<_>>().join(" ")
}

/// What a model said to a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The tokens of the prompt.
    pub prompt: Vec<u32>,
    /// The new ones.
    pub new: Vec<u32>,
    /// The text of the new ones.
    pub text: String,
}

/// The greedy answer to `prompt`.
///
/// # Errors
/// A prompt that fills the context, or what the model reports.
pub fn ask(subject: &Subject, prompt: &[Message], max_new_tokens: usize) -> Result<Said> {
    let prompt = subject.codec.prompt_ids(prompt)?;
    let stop = subject.codec.stop_tokens();
    let new = greedy(&subject.model, &prompt, stop, max_new_tokens)?;
    let text = subject.codec.decode(&new)?.trim().to_owned();
    Ok(Said { prompt, new, text })
}

/// The same model with its adapter added into its weights.
///
/// # Errors
/// A tensor error.
pub fn merged(mut subject: Subject) -> Result<Subject> {
    lora::merge(&mut subject.model)?;
    Ok(subject)
}
