//! Rows of a prompt and its answer.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::DataFormat;
use super::fields::{Fields, kind};
use super::lines::LONGEST_RECORD;
use super::records::{Container, Records};
use crate::{Error, Result};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// One row: a conversation whose last message is the assistant's, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The turns in order; there are at least two.
    pub messages: Vec<Message>,
    /// The file.
    pub path: Arc<PathBuf>,
    /// The line on which the row begins, or its number in a Parquet file; counted from 1.
    pub line: usize,
}

impl Row {
    /// The turns before the answer.
    pub fn prompt(&self) -> &[Message] {
        &self.messages[..self.messages.len().saturating_sub(1)]
    }

    /// The answer.
    pub fn completion(&self) -> &str {
        self.messages.last().map_or("", |message| &message.content)
    }
}

/// The rows of all files, in order, read when they are asked for: memory holds one at a time.
///
/// After an error there are no more rows.
pub struct Rows {
    files: VecDeque<PathBuf>,
    format: DataFormat,
    limit: usize,
    open: Option<Records>,
    failed: bool,
}

/// The rows of `files`. The format of a file's bytes follows from its extension: `.jsonl`, `.json`,
/// `.csv`, `.tsv`, and `.parquet` where the program has a reader for it.
pub fn stream_rows(files: &[PathBuf], format: DataFormat) -> Rows {
    Rows {
        files: files.iter().cloned().collect(),
        format,
        limit: LONGEST_RECORD,
        open: None,
        failed: false,
    }
}

impl Rows {
    /// The same with another limit for the bytes of one record.
    pub fn with_longest_record(self, bytes: usize) -> Self {
        Self {
            limit: bytes,
            ..self
        }
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        loop {
            let records = match &mut self.open {
                Some(records) => records,
                None => {
                    let Some(path) = self.files.pop_front() else {
                        return Ok(None);
                    };
                    let container = Container::of(&path).unwrap_or(Container::Lines);
                    let records = Records::open(&path, container, self.limit)?;
                    self.open.insert(records)
                }
            };
            match records.next_record()? {
                Some((line, fields)) => return row(fields, self.format, records.path(), line),
                None => self.open = None,
            }
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        if self.failed {
            return None;
        }
        let row = self.next_row();
        self.failed = row.is_err();
        row.transpose()
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.open.as_ref().map(Records::path);
        f.debug_struct("Rows")
            .field("open", &open)
            .field("next", &self.files)
            .finish_non_exhaustive()
    }
}

/// The rows of all files, in order.
///
/// # Errors
/// A file that cannot be read, no rows at all, or a record that is not a row of `format`: the error
/// names the file and the line and says what was expected.
pub fn read_rows(files: &[PathBuf], format: DataFormat) -> Result<Vec<Row>> {
    let rows: Vec<Row> = stream_rows(files, format).collect::<Result<_>>()?;
    match (rows.is_empty(), files.first()) {
        (true, Some(path)) => Err(Error::file(path, "has no rows, expected at least one")),
        (true, None) => Err(Error::input("data", "no files were given")),
        _ => Ok(rows),
    }
}

fn row(
    fields: Fields,
    format: DataFormat,
    path: &Arc<PathBuf>,
    line: usize,
) -> Result<Option<Row>> {
    let messages =
        messages_of(fields, format).map_err(|problem| Error::line(path.as_ref(), line, problem))?;
    Ok(Some(Row {
        messages,
        path: path.clone(),
        line,
    }))
}

/// The conversation of one row.
///
/// # Errors
/// What `format` expects and the row lacks.
pub(crate) fn messages_of(mut fields: Fields, format: DataFormat) -> Result<Vec<Message>, String> {
    let format = match format {
        DataFormat::Auto if fields.has("messages") => DataFormat::Messages,
        DataFormat::Auto if fields.has("prompt") || fields.has("completion") => {
            DataFormat::PromptCompletion
        }
        DataFormat::Auto if fields.has("instruction") || fields.has("output") => {
            DataFormat::Instruction
        }
        other => other,
    };
    match format {
        DataFormat::PromptCompletion => {
            let prompt = required(fields.take("prompt"), "prompt")?;
            Ok(pair(
                prompt,
                required(fields.take("completion"), "completion")?,
            ))
        }
        DataFormat::Instruction => instruction(&mut fields),
        DataFormat::Messages => conversation(fields.take("messages")),
        DataFormat::Text => Err("is a row, but data_format is text".into()),
        DataFormat::Auto => Err(format!(
            "has the keys {}; expected prompt and completion, messages, or instruction and output",
            fields.keys()
        )),
    }
}

fn instruction(fields: &mut Fields) -> Result<Vec<Message>, String> {
    let mut prompt = required(fields.take("instruction"), "instruction")?;
    let input = match fields.take("input") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(input)) => input,
        Some(other) => return Err(format!("`input` is {}, expected a string", kind(&other))),
    };
    if !input.trim().is_empty() {
        prompt.push_str("\n\n");
        prompt.push_str(&input);
    }
    Ok(pair(prompt, required(fields.take("output"), "output")?))
}

fn pair(prompt: String, completion: String) -> Vec<Message> {
    let message = |role: &str, content: String| Message {
        role: role.into(),
        content,
    };
    vec![message("user", prompt), message("assistant", completion)]
}

/// The text of `key`.
pub(super) fn required(value: Option<Value>, key: &str) -> Result<String, String> {
    match value {
        Some(Value::String(text)) if text.trim().is_empty() => Err(format!("`{key}` is empty")),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("`{key}` is {}, expected a string", kind(&other))),
        None => Err(format!("has no `{key}`")),
    }
}

fn conversation(messages: Option<Value>) -> Result<Vec<Message>, String> {
    let list = match messages {
        Some(Value::Array(list)) => list,
        Some(other) => return Err(format!("`messages` is {}, expected an array", kind(&other))),
        None => return Err("has no `messages`".into()),
    };
    let mut messages = Vec::with_capacity(list.len());
    for (index, value) in list.into_iter().enumerate() {
        let place = |problem: String| format!("message {}: {problem}", index + 1);
        messages.push(message(value).map_err(place)?);
    }
    match messages.as_slice() {
        [.., _, last] if last.role == "assistant" => Ok(messages),
        [] | [_] => Err(format!(
            "has {} messages, expected two or more",
            messages.len()
        )),
        [.., last] => Err(format!(
            "ends with role `{}`, expected assistant",
            last.role
        )),
    }
}

pub(super) fn message(value: Value) -> Result<Message, String> {
    let Value::Object(mut message) = value else {
        return Err(format!("is {}, expected an object", kind(&value)));
    };
    let role = required(message.remove("role"), "role")?;
    if !["system", "user", "assistant", "tool"].contains(&role.as_str()) {
        return Err(format!(
            "`role` is `{}`, expected system, user, assistant or tool",
            role.chars().take(20).collect::<String>()
        ));
    }
    let content = match (role.as_str(), message.remove("content")) {
        // an empty system message is a usual way to have none
        ("system", Some(Value::String(text))) => text,
        (_, content) => required(content, "content")?,
    };
    Ok(Message { role, content })
}
