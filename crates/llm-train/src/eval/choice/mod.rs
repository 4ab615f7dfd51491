//! Questions with choices, by log-likelihood: the model reads the question and each choice behind
//! it, and the choice whose tokens are the most likely is its answer. Nothing is generated, so an
//! untrained model has chance level and not zero.
//!
//! MMLU's prompt, the way a pair is cut into tokens and both scores are those of the evaluation
//! harness `lm-eval` 0.4 (EleutherAI, `lm_eval/api` and `lm_eval/tasks/mmlu/default`), whose
//! published numbers use them. One difference: it divides by the characters of a choice for
//! `acc_norm`, here by its bytes; both are the same for ASCII.
//!
//! | task | local files |
//! |---|---|
//! | `choices` | JSONL of `{"query", "choices", "gold"}` |
//! | `mmlu` | `test/<subject>_test.csv` and `dev/<subject>_dev.csv`, without header, of 57 subjects |
//! | `bbh` | `<task>.json` of 23 tasks in 27 files |
//! | `canary` | JSONL of `{"prompt", "completion", "secret"}`, see [`super::canary`] |
//! | `graded` | the `tasks.jsonl` of `deeper data synth`, see [`crate::synth`] |
//! | `humaneval` | `HumanEval.jsonl` or `.jsonl.gz` of 164 problems, see [`super::humaneval`] |

mod bbh;
mod json_lines;
mod mmlu;
mod score;

use std::path::PathBuf;

pub use bbh::{FILES as BBH_FILES, TASKS as BBH_TASKS};
pub use mmlu::SUBJECTS as MMLU_SUBJECTS;
pub use score::{argmax, encode_pair, log_likelihoods, pair_example};

use super::canary;
use super::config::{EvalConfig, Task};
use super::graded;
use super::humaneval;
use super::record::{Choice, Record};
use super::run::Evaluation;
use crate::config::PromptStyle;
use crate::data::Message;
use crate::{Error, Result, metrics, synth};

/// How a question is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By the most likely of these; the right one is counted from 0.
    Choices(Vec<String>, usize),
    /// In the model's own words, which have to be these.
    Exact(String),
    /// By a program; this is a right one.
    Program(String),
    /// By the likelihood of a secret, which stands at `{}` in the completion.
    Canary {
        /// What is said, with the secret's place.
        completion: String,
        /// The secret.
        secret: String,
    },
    /// In the model's own words, which have to fulfil the task's check.
    Graded(Box<synth::Task>),
}

/// One question of a benchmark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its file and line or row.
    pub place: String,
    /// Subject, task or problem.
    pub group: Option<String>,
    /// The question alone, as the leak check compares it.
    pub asked: String,
    /// What the model reads: the question with instructions and solved examples.
    pub context: String,
    /// How it is answered.
    pub kind: Kind,
}

impl Question {
    /// Whether its answer is a program.
    pub fn is_program(&self) -> bool {
        matches!(self.kind, Kind::Program(_))
    }
}

/// The questions of the settings' task, and the files that they stand in.
///
/// # Errors
/// Files that cannot be read or are not in the task's layout, or a benchmark that is not complete
/// although neither `limit` nor a single file asks for a part.
pub(super) fn read(config: &EvalConfig) -> Result<(Vec<Question>, Vec<PathBuf>)> {
    let (path, partial) = (config.dataset_path.as_path(), config.limit.is_some());
    match config.task {
        Task::Mmlu => mmlu::read(path, config.shots, partial),
        Task::Bbh => bbh::read(path, partial),
        Task::Humaneval => humaneval::read(path, partial),
        Task::Canary => canary::read(path, &config.dataset_pattern),
        Task::Graded => graded::read(path, &config.dataset_pattern),
        Task::Choices | Task::Generation => json_lines::read(path, &config.dataset_pattern),
    }
}

/// Asks one question; `index` counts its samples too.
pub(super) fn ask(evaluation: &Evaluation, index: usize, question: &Question) -> Result<Record> {
    let mut record = Record::at(index, question.place.clone());
    record.group.clone_from(&question.group);
    record.prompt.clone_from(&question.context);
    match &question.kind {
        Kind::Choices(choices, gold) => {
            choose(evaluation, question, (choices, *gold), &mut record)?;
        }
        Kind::Exact(answer) => {
            record.reference.clone_from(answer);
            let prompt = context_ids(evaluation, &question.context)?;
            record.prompt_tokens = prompt.len();
            evaluation.answer(&mut record, &prompt, &bbh::UNTIL)?;
            record.prediction = record.prediction.trim().to_owned();
            record.scores = Some(metrics::row(&record.prediction, answer));
        }
        Kind::Program(solution) => {
            humaneval::ask(evaluation, &question.context, solution, &mut record)?;
        }
        Kind::Canary { completion, secret } => {
            canary::ask(evaluation, question, (completion, secret), &mut record)?;
        }
        Kind::Graded(task) => graded::ask(evaluation, task, &mut record)?,
    }
    Ok(record)
}

/// Whether questions go through the model's chat template.
fn in_chat(evaluation: &Evaluation) -> bool {
    evaluation.config.prompt_format == PromptStyle::Chat
}

/// The ids of a context that an answer is written behind.
pub(super) fn context_ids(evaluation: &Evaluation, context: &str) -> Result<Vec<u32>> {
    let codec = &evaluation.subject.codec;
    if in_chat(evaluation) {
        return codec.prompt_ids(&[Message {
            role: "user".into(),
            content: context.to_owned(),
        }]);
    }
    Ok(codec.tokenizer.encode(context)?)
}

fn choose(
    evaluation: &Evaluation,
    question: &Question,
    (choices, gold): (&[String], usize),
    record: &mut Record,
) -> Result<()> {
    let subject = &evaluation.subject;
    let found = if in_chat(evaluation) {
        let context = context_ids(evaluation, &question.context)?;
        let mut pairs = Vec::with_capacity(choices.len());
        for choice in choices {
            pairs.push((context.clone(), subject.codec.tokenizer.encode(choice)?));
        }
        score::of_pairs(subject, pairs)?
    } else {
        let spaced: Vec<String> = choices.iter().map(|choice| format!(" {choice}")).collect();
        log_likelihoods(subject, &question.context, &spaced)?
    };
    let by_byte: Vec<f64> = found
        .iter()
        .zip(choices)
        .map(|(log_p, choice)| log_p / choice.len().max(1) as f64)
        .collect();
    let none = || Error::input(question.place.as_str(), "has no choices");
    let picked = argmax(&found).ok_or_else(none)?;
    record.reference = choices.get(gold).cloned().unwrap_or_default();
    record.prediction = choices.get(picked).cloned().unwrap_or_default();
    record.choice = Some(Choice {
        gold,
        picked,
        picked_by_byte: argmax(&by_byte).ok_or_else(none)?,
        log_likelihoods: found,
    });
    Ok(())
}
