//! What is asked: the data of an evaluation as questions, in one order.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::choice::{self, Question};
use super::config::{EvalConfig, Task};
use super::subject::Subject;
use crate::data::{DataFormat, Message, Row, find_files, read_documents, read_rows};
use crate::labels::{Example, windows};
use crate::prompt::PromptFormat;
use crate::{Error, Result};

/// The questions of one evaluation.
#[derive(Clone, Debug)]
pub enum Material {
    /// Prompts with answers.
    Rows(Vec<Row>),
    /// Windows of plain text, with the bytes of text that each predicts.
    Windows(Vec<(Example, usize)>),
    /// Questions of a benchmark.
    Questions(Vec<Question>),
}

impl Material {
    /// Reads the data that `config` names; the files that were read.
    ///
    /// # Errors
    /// Files that cannot be found or read, a bad line, or a benchmark that is not complete.
    pub fn read(config: &EvalConfig, subject: &Subject) -> Result<(Self, Vec<PathBuf>)> {
        if config.task != Task::Generation {
            let (mut questions, files) = choice::read(config)?;
            limit_groups(&mut questions, config.limit);
            return Ok((Self::Questions(questions), files));
        }
        let text = config.data_format == DataFormat::Text;
        let pattern = match config.dataset_pattern.as_str() {
            "*.jsonl" if text => "*.txt",
            pattern => pattern,
        };
        let files = find_files(&config.dataset_path, pattern)?;
        let limit = config.limit.unwrap_or(usize::MAX);
        if text {
            let documents = read_documents(&files)?;
            let mut parts = text_windows(config, subject, &documents)?;
            parts.truncate(limit);
            return Ok((Self::Windows(parts), files));
        }
        let mut rows = read_rows(&files, config.data_format)?;
        rows.truncate(limit);
        Ok((Self::Rows(rows), files))
    }

    /// The number of questions; HumanEval asks each `samples` times.
    pub fn len(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Windows(windows) => windows.len(),
            Self::Questions(questions) => questions.len(),
        }
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The texts that a leak check compares with training prompts.
    pub fn prompts(&self) -> Vec<String> {
        match self {
            Self::Rows(rows) => rows.iter().map(|row| asked(row.prompt())).collect(),
            Self::Windows(_) => Vec::new(),
            Self::Questions(questions) => questions.iter().map(|q| q.asked.clone()).collect(),
        }
    }

    /// Where a question stands.
    pub fn place(&self, index: usize) -> String {
        match self {
            Self::Rows(rows) => rows.get(index).map(place),
            Self::Windows(_) => Some(format!("window {}", index + 1)),
            Self::Questions(questions) => questions.get(index).map(|q| q.place.clone()),
        }
        .unwrap_or_default()
    }
}

/// A prompt as a person reads it.
pub(super) fn asked(messages: &[Message]) -> String {
    let texts: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
    texts.join("\n")
}

/// A row's file and line.
pub(super) fn place(row: &Row) -> String {
    format!("{}:{}", row.path.display(), row.line)
}

/// The bytes of text that a row's supervised tokens stand for.
pub(super) fn answer_bytes(
    row: &Row,
    example: &Example,
    cut: bool,
    subject: &Subject,
) -> Result<usize> {
    if cut {
        let bytes = subject.bytes_of(&example.ids)?;
        let learnt = bytes.iter().zip(&example.labels);
        return Ok(learnt
            .filter(|(_, label)| **label >= 0)
            .map(|(bytes, _)| bytes)
            .sum());
    }
    Ok(match subject.codec.format {
        PromptFormat::Plain => row.completion().len(),
        PromptFormat::Chat(_) => {
            let said = row.messages.iter().filter(|m| m.role == "assistant");
            said.map(|message| message.content.len()).sum()
        }
    })
}

/// Windows of all documents, each with the bytes that its predicted tokens complete.
fn text_windows(
    config: &EvalConfig,
    subject: &Subject,
    documents: &[String],
) -> Result<Vec<(Example, usize)>> {
    let stream = subject.codec.stream(documents, false)?;
    let length = max_length(config, subject)?;
    let (examples, _) = windows("text", &stream, length)?;
    let bytes = subject.bytes_of(&stream)?;
    let mut first = 1; // the first token of all is predicted by nothing
    let mut parts = Vec::with_capacity(examples.len());
    for example in examples {
        let predicted = example.ids.len() - 1;
        let own = bytes.iter().skip(first).take(predicted).sum();
        first += predicted;
        parts.push((example, own));
    }
    Ok(parts)
}

/// The longest row of the loss, in tokens.
///
/// # Errors
/// A `max_length` beyond the model's context.
pub(super) fn max_length(config: &EvalConfig, subject: &Subject) -> Result<usize> {
    let context = subject.context();
    match config.max_length {
        Some(length) if length > context => {
            let problem = format!("is {length}, but the model's context is {context}");
            Err(Error::input("`max_length`", problem))
        }
        Some(length) => Ok(length),
        None => Ok(context),
    }
}

/// Keeps the first questions of each subject or task.
fn limit_groups(questions: &mut Vec<Question>, limit: Option<usize>) {
    let Some(limit) = limit else { return };
    let mut seen: BTreeMap<Option<String>, usize> = BTreeMap::new();
    questions.retain(|question| {
        // each HumanEval problem is a group of its own: the limit counts problems
        let group = question.group.clone().filter(|_| !question.is_program());
        let count = seen.entry(group).or_default();
        *count += 1;
        *count <= limit
    });
}
