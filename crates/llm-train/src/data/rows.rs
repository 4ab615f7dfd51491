//! Rows of a prompt and its answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::DataFormat;
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
    /// The line of a `.jsonl` file, the row of a `.json` file; counted from 1.
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

/// The rows of all files, in order.
///
/// # Errors
/// A file that cannot be read, no rows at all, or a line that is not a row of `format`: the error
/// names the file and the line and says what was expected.
pub fn read_rows(files: &[PathBuf], format: DataFormat) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for path in files {
        let text = read_text(path)?;
        let path = Arc::new(path.clone());
        let array = path
            .extension()
            .is_some_and(|extension| extension == "json");
        if array {
            for (index, value) in parse_array(&path, &text)?.into_iter().enumerate() {
                rows.push(row(value, format, &path, index + 1)?);
            }
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue; // files often end in an empty line
            }
            let value = serde_json::from_str(line).map_err(|error| {
                let problem = format!("is not JSON ({}), expected one object", reason(&error));
                Error::line(path.as_ref(), index + 1, problem)
            })?;
            rows.push(row(value, format, &path, index + 1)?);
        }
    }
    match (rows.is_empty(), files.first()) {
        (true, Some(path)) => Err(Error::file(path, "has no rows, expected at least one")),
        (true, None) => Err(Error::input("data", "no files were given")),
        _ => Ok(rows),
    }
}

/// The whole file as text, without a byte order mark.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        Error::line(path, line, "is not UTF-8 text")
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

fn parse_array(path: &Path, text: &str) -> Result<Vec<Value>> {
    let value = serde_json::from_str(text).map_err(|error| {
        let problem = format!(
            "is not JSON ({}), expected an array of rows",
            reason(&error)
        );
        Error::line(path, error.line(), problem)
    })?;
    match value {
        Value::Array(rows) => Ok(rows),
        other => Err(Error::file(
            path,
            format!("holds {}, expected an array", kind(&other)),
        )),
    }
}

/// serde_json's message without the position that we give ourselves.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The row that a JSON value is.
pub(crate) fn row(
    value: Value,
    format: DataFormat,
    path: &Arc<PathBuf>,
    line: usize,
) -> Result<Row> {
    let fail = |problem: String| Error::line(path.as_ref(), line, problem);
    let Value::Object(object) = value else {
        return Err(fail(format!("is {}, expected an object", kind(&value))));
    };
    let messages = messages_of(&object, format).map_err(fail)?;
    Ok(Row {
        messages,
        path: path.clone(),
        line,
    })
}

fn messages_of(object: &Map<String, Value>, format: DataFormat) -> Result<Vec<Message>, String> {
    let has = |key: &str| object.contains_key(key);
    let format = match format {
        DataFormat::Auto if has("messages") => DataFormat::Messages,
        DataFormat::Auto if has("prompt") || has("completion") => DataFormat::PromptCompletion,
        DataFormat::Auto if has("instruction") || has("output") => DataFormat::Instruction,
        other => other,
    };
    match format {
        DataFormat::PromptCompletion => Ok(pair(
            required(object, "prompt")?,
            required(object, "completion")?,
        )),
        DataFormat::Instruction => {
            let mut prompt = required(object, "instruction")?.to_owned();
            let input = match object.get("input") {
                None | Some(Value::Null) => "",
                Some(Value::String(input)) => input,
                Some(other) => {
                    return Err(format!("`input` is {}, expected a string", kind(other)));
                }
            };
            if !input.trim().is_empty() {
                prompt.push_str("\n\n");
                prompt.push_str(input);
            }
            Ok(pair(&prompt, required(object, "output")?))
        }
        DataFormat::Messages => conversation(object),
        DataFormat::Text => Err("is a row, but data_format is text".into()),
        DataFormat::Auto => {
            let keys: Vec<&str> = object.keys().take(8).map(String::as_str).collect();
            let found = if keys.is_empty() {
                "none".into()
            } else {
                keys.join(", ")
            };
            Err(format!(
                "has the keys {found}; expected prompt and completion, messages, or instruction \
                 and output"
            ))
        }
    }
}

fn pair(prompt: &str, completion: &str) -> Vec<Message> {
    let message = |role: &str, content: &str| Message {
        role: role.into(),
        content: content.into(),
    };
    vec![message("user", prompt), message("assistant", completion)]
}

fn required<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    match object.get(key) {
        Some(Value::String(text)) if text.trim().is_empty() => Err(format!("`{key}` is empty")),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("`{key}` is {}, expected a string", kind(other))),
        None => Err(format!("has no `{key}`")),
    }
}

fn conversation(object: &Map<String, Value>) -> Result<Vec<Message>, String> {
    let list = match object.get("messages") {
        Some(Value::Array(list)) => list,
        Some(other) => return Err(format!("`messages` is {}, expected an array", kind(other))),
        None => return Err("has no `messages`".into()),
    };
    let mut messages = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let place = |problem: String| format!("message {}: {problem}", index + 1);
        let Value::Object(message) = value else {
            return Err(place(format!("is {}, expected an object", kind(value))));
        };
        let role = required(message, "role").map_err(place)?;
        if !["system", "user", "assistant", "tool"].contains(&role) {
            return Err(place(format!(
                "`role` is `{}`, expected system, user, assistant or tool",
                role.chars().take(20).collect::<String>()
            )));
        }
        let content = match (role, message.get("content")) {
            // an empty system message is a usual way to have none
            ("system", Some(Value::String(text))) => text,
            _ => required(message, "content").map_err(place)?,
        };
        messages.push(Message {
            role: role.into(),
            content: content.into(),
        });
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
