//! The settings of an evaluation: the keys of `configs/eval.yaml`.
//!
//! ```
//! use llm_train::config::Settings;
//! use llm_train::eval::EvalConfig;
//! let text = "model_path: model\ndataset_path: held.jsonl\n";
//! let config = EvalConfig::from_text("eval.yaml".as_ref(), text, &["limit=8".to_owned()])?;
//! assert_eq!((config.limit, config.max_new_tokens), (Some(8), 256));
//! assert!(EvalConfig::from_text("eval.yaml".as_ref(), "model: m\n", &[]).is_err());
//! # Ok::<(), llm_train::Error>(())
//! ```

use std::path::PathBuf;

use llm_core::sample::SamplerConfig;
use serde::{Deserialize, Serialize};

use crate::config::{PromptStyle, Settings};
use crate::data::DataFormat;
use crate::{Error, Result};

/// What is asked of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Rows with answers: the held-out loss, and answers in the model's own words, scored against
    /// the data's. Plain text: the loss alone.
    #[default]
    Generation,
    /// `{"query", "choices", "gold"}` rows: which choice is the most likely?
    Choices,
    /// A folder of MMLU's CSV files, one a subject.
    Mmlu,
    /// A folder of BIG-Bench Hard's JSON files, one a task.
    Bbh,
    /// HumanEval's JSONL: programs are written, and **not** run.
    Humaneval,
    /// `{"prompt", "completion", "secret"}` rows: does the model know the secret by heart?
    Canary,
    /// Questions with a check, the `tasks.jsonl` of `deeper data synth`: answers are graded by rule.
    Graded,
}

/// A formal language that answers may be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grammar {
    /// [`crate::dsl`]'s query language.
    Quayline,
}

/// Every key of an evaluation file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// The model: a Hugging Face folder, a PEFT adapter folder or a hub id.
    pub model_path: Option<String>,
    /// The model under an adapter, when it is not the one that the adapter names.
    pub base_model: Option<String>,

    /// `generation`, `choices`, `mmlu`, `bbh`, `humaneval`, `canary` or `graded`.
    pub task: Task,
    /// A data file, a folder, or a path with `*` in its last part.
    pub dataset_path: PathBuf,
    /// Which files of a folder.
    pub dataset_pattern: String,
    /// `auto`, `prompt_completion`, `messages`, `instruction` or `text`.
    pub data_format: DataFormat,
    /// Ask the first rows only, this many.
    pub limit: Option<usize>,
    /// `auto`, `chat` or `plain`. The benchmarks take `auto` as plain, the form that their
    /// published numbers are made with.
    pub prompt_format: PromptStyle,
    /// Solved examples before each MMLU question; 5 is usual.
    pub shots: usize,
    /// A language whose grammar answers are held against: `quayline`.
    pub grammar: Option<Grammar>,

    /// The longest row of the held-out loss, in tokens; the model's context if it is not set.
    pub max_length: Option<usize>,
    /// Rows of a forward pass of the loss.
    pub batch_size: usize,
    /// The longest answer, in tokens; 0 answers nothing and measures the loss alone.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 always takes the best token.
    pub temperature: f64,
    /// Choose among this many best tokens; 0 keeps all.
    pub top_k: usize,
    /// Choose among the best tokens that together reach this probability.
    pub top_p: f64,
    /// Choose among tokens with at least this share of the best one's probability.
    pub min_p: f64,
    /// Lower the score of tokens seen before by this factor; 1 changes nothing.
    pub repetition_penalty: f64,
    /// Programs for each HumanEval problem; above 1 needs a temperature above 0.
    pub samples: usize,

    /// The training data, to look for rows of the evaluation in it. For a model in a run folder
    /// it is found without.
    pub train_path: Option<PathBuf>,
    /// Fail when more rows than this also stand in the training data.
    pub max_leakage: Option<usize>,

    /// `auto`, `cpu`, `cuda` or `metal`.
    pub device: String,
    /// `auto`, `f32`, `f64`, `bf16` or `f16`; `auto` is f32.
    pub dtype: String,
    /// The seed of draws and of intervals.
    pub seed: u64,
    /// Where result folders go.
    pub output_dir: PathBuf,
    /// The beginning of the result folder's name; made from `model_path` if it is not set.
    pub run_name: Option<String>,
}

impl Default for EvalConfig {
    fn default() -> Self {
        let greedy = SamplerConfig::default();
        Self {
            model_path: None,
            base_model: None,
            task: Task::Generation,
            dataset_path: "./data/eval/test.jsonl".into(),
            dataset_pattern: "*.jsonl".into(),
            data_format: DataFormat::Auto,
            limit: None,
            prompt_format: PromptStyle::Auto,
            shots: 0,
            grammar: None,
            max_length: None,
            batch_size: 8,
            max_new_tokens: 256,
            temperature: greedy.temperature,
            top_k: greedy.top_k,
            top_p: greedy.top_p,
            min_p: greedy.min_p,
            repetition_penalty: greedy.repetition_penalty,
            samples: 1,
            train_path: None,
            max_leakage: None,
            device: "auto".into(),
            dtype: "auto".into(),
            seed: 7,
            output_dir: "output_models/evals".into(),
            run_name: None,
        }
    }
}

fn bad<T>(key: &str, problem: impl Into<String>) -> Result<T> {
    Err(Error::input(format!("`{key}`"), problem))
}

impl Settings for EvalConfig {
    fn check(&self) -> Result<()> {
        if self.model_path.as_deref().unwrap_or_default().is_empty() {
            return bad("model_path", "is not set, expected a folder or hub id");
        }
        const MOST: usize = 1 << 24;
        let counts = [
            ("batch_size", self.batch_size, 1),
            ("samples", self.samples, 1),
            ("max_new_tokens", self.max_new_tokens, 0),
            ("shots", self.shots, 0),
            ("limit", self.limit.unwrap_or(1), 1),
            ("max_length", self.max_length.unwrap_or(2), 2),
        ];
        let wrong = counts
            .into_iter()
            .find(|&(_, value, least)| value < least || value > MOST);
        if let Some((key, value, least)) = wrong {
            return bad(key, format!("is {value}, expected {least} to {MOST}"));
        }
        self.check_sampler()?;
        if self.samples > 1 && self.task != Task::Humaneval {
            return bad("samples", "is above 1, which only the task humaneval can");
        }
        if self.samples > 1 && self.temperature == 0.0 {
            return bad(
                "samples",
                "is above 1, but `temperature` 0 gives equal ones",
            );
        }
        if self.shots > 0 && self.task != Task::Mmlu {
            return bad("shots", "is above 0, which only the task mmlu can");
        }
        if self.grammar.is_some() && self.task != Task::Generation {
            return bad("grammar", "is for the task generation");
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        match &self.run_name {
            Some(name) if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) => {
                bad("run_name", "expected letters, digits, `-`, `_` and `.`")
            }
            _ => Ok(()),
        }
    }
}

impl EvalConfig {
    /// How answers are drawn.
    pub fn sampler(&self) -> SamplerConfig {
        SamplerConfig {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        }
    }

    /// The sampler's own ranges, told with our keys.
    fn check_sampler(&self) -> Result<()> {
        let within = [
            ("temperature", self.temperature, 0.0, 100.0),
            ("top_p", self.top_p, f64::MIN_POSITIVE, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            (
                "repetition_penalty",
                self.repetition_penalty,
                f64::MIN_POSITIVE,
                100.0,
            ),
        ];
        let wrong = within
            .into_iter()
            .find(|&(_, value, low, high)| !(low..=high).contains(&value));
        match wrong {
            Some((key, value, low, high)) => {
                bad(key, format!("is {value}, expected {low:e} to {high}"))
            }
            None => Ok(()),
        }
    }

    /// What changes an answer or a score, as text: two evaluations with equal ones and equal
    /// files give equal rows, so that one goes on where the other was stopped.
    pub(super) fn essence(&self) -> Result<String> {
        let bare = Self {
            model_path: None,
            base_model: None,
            dataset_path: PathBuf::new(),
            dataset_pattern: String::new(),
            train_path: None,
            max_leakage: None,
            output_dir: PathBuf::new(),
            run_name: None,
            batch_size: 1,
            device: String::new(),
            ..self.clone()
        };
        bare.yaml()
    }
}
