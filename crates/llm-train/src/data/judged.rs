//! Rows with a judgement: pairs of answers of which one was chosen, and questions whose answers a
//! check accepts or not.
//!
//! ```text
//! {"prompt": "…", "chosen": "…", "rejected": "…"}
//! {"prompt": "…", "check": {"exact": "132"}, "reference": "<think>…</think> 132"}
//! {"prompt": "…", "completion": "132"}          the check is: exactly this
//! ```
//!
//! A prompt is a text or a list of messages; so is an answer, of one message then. Keys that are
//! missing, answers that are empty, pairs of one and the same answer, and checks that the row's own
//! reference does not pass stop the run with file and line.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::fields::{Fields, kind};
use super::lines::LONGEST_RECORD;
use super::records::{Container, Records};
use super::rows::{message, required};
use super::{Message, Row};
use crate::synth::Check;
use crate::{Error, Result};

/// One prompt with two answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The prompt with the answer that was chosen.
    pub chosen: Row,
    /// The prompt with the answer that was not.
    pub rejected: Row,
}

/// A prompt with what its answer must fulfil.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The prompt with a right answer.
    pub row: Row,
    /// What an answer must fulfil.
    pub check: Check,
}

/// The pairs of all files, in order.
///
/// # Errors
/// A file that cannot be read, no pairs at all, or a record that is no pair, with file and line.
pub fn read_pairs(files: &[PathBuf]) -> Result<Vec<Pair>> {
    read(files, |fields, path, line| {
        let prompt = turns(fields.take("prompt"))?;
        let [chosen, rejected] = ["chosen", "rejected"].map(|key| answer(fields.take(key), key));
        let (chosen, rejected) = (chosen?, rejected?);
        if chosen.trim() == rejected.trim() {
            return Err("`chosen` and `rejected` are the same answer".into());
        }
        Ok(Pair {
            chosen: row(prompt.clone(), chosen, path, line),
            rejected: row(prompt, rejected, path, line),
        })
    })
}

/// The questions of all files, in order.
///
/// # Errors
/// A file that cannot be read, no questions at all, or a record that is no question, with file and
/// line.
pub fn read_questions(files: &[PathBuf]) -> Result<Vec<Question>> {
    read(files, |fields, path, line| {
        let prompt = turns(fields.take("prompt"))?;
        let stated = fields.take("check").map(check).transpose()?;
        let given = match fields.has("reference") {
            true => Some(answer(fields.take("reference"), "reference")?),
            false => fields
                .take("completion")
                .map(|value| answer(Some(value), "completion"))
                .transpose()?,
        };
        let (check, reference) = match (stated, given) {
            (Some(check), Some(reference)) => (check, reference),
            (None, Some(reference)) => (Check::exact(&reference), reference),
            (Some(Check::Exact(want)), None) => (Check::Exact(want.clone()), want),
            (Some(_), None) => return Err("has no `reference`, a right answer".into()),
            (None, None) => return Err("has no `check` and no `completion`".into()),
        };
        if matches!(&check, Check::Exact(want) if want.trim().is_empty()) {
            return Err("`check` asks for an empty answer".into());
        }
        if !check.holds(&reference) {
            return Err("has a `reference` that its own `check` does not accept".into());
        }
        let row = row(prompt, reference, path, line);
        Ok(Question { row, check })
    })
}

/// What `make` makes of each record of all files.
fn read<T>(
    files: &[PathBuf],
    mut make: impl FnMut(&mut Fields, &Arc<PathBuf>, usize) -> Result<T, String>,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for path in files {
        let container = Container::of(path).unwrap_or(Container::Lines);
        let mut records = Records::open(path, container, LONGEST_RECORD)?;
        while let Some((line, mut fields)) = records.next_record()? {
            let path = records.path();
            let made = make(&mut fields, path, line);
            all.push(made.map_err(|problem| Error::line(path.as_ref(), line, problem))?);
        }
    }
    match (all.is_empty(), files.first()) {
        (true, Some(path)) => Err(Error::file(path, "has no rows, expected at least one")),
        (true, None) => Err(Error::input("data", "no files were given")),
        _ => Ok(all),
    }
}

fn row(prompt: Vec<Message>, answer: String, path: &Arc<PathBuf>, line: usize) -> Row {
    let mut messages = prompt;
    messages.push(Message {
        role: "assistant".into(),
        content: answer,
    });
    Row {
        messages,
        path: path.clone(),
        line,
    }
}

/// The turns of a prompt.
fn turns(value: Option<Value>) -> Result<Vec<Message>, String> {
    let list = match value {
        Some(Value::Array(list)) => list,
        other => {
            let (role, content) = ("user".to_owned(), required(other, "prompt")?);
            return Ok(vec![Message { role, content }]);
        }
    };
    let mut messages = Vec::with_capacity(list.len());
    for (index, value) in list.into_iter().enumerate() {
        let place = |problem: String| format!("`prompt`, message {}: {problem}", index + 1);
        messages.push(message(value).map_err(place)?);
    }
    match messages.last() {
        None => Err("`prompt` has no messages".into()),
        Some(last) if last.role == "assistant" => {
            Err("`prompt` ends with role `assistant`, expected what is answered".into())
        }
        Some(_) => Ok(messages),
    }
}

/// The text of an answer: a text, or a list of one message.
fn answer(value: Option<Value>, key: &str) -> Result<String, String> {
    let mut list = match value {
        Some(Value::Array(list)) => list,
        other => return required(other, key),
    };
    let (Some(last), true) = (list.pop(), list.is_empty()) else {
        let problem = "expected a text or one message of the assistant";
        return Err(format!(
            "`{key}` is a list of several messages or of none, {problem}"
        ));
    };
    let last = message(last).map_err(|problem| format!("`{key}`: {problem}"))?;
    match last.role.as_str() {
        "assistant" => Ok(last.content),
        role => Err(format!("`{key}` has role `{role}`, expected assistant")),
    }
}

fn check(value: Value) -> Result<Check, String> {
    let shape = kind(&value);
    serde_json::from_value(value).map_err(|_| {
        let expected =
            "{\"exact\": TEXT}, {\"json\": VALUE} or {\"call\": {\"name\", \"arguments\"}}";
        format!("`check` is {shape} that says nothing known, expected {expected}")
    })
}
