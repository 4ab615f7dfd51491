//! One question with what became of it: a line of `predictions.jsonl`.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::metrics::RowScores;
use crate::{Error, Result};

/// What the held-out loss of a row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// `Σ −log p` over its supervised tokens.
    pub nats: f64,
    /// Supervised tokens, the end of the answer among them.
    pub tokens: usize,
    /// Bytes of their text.
    pub bytes: usize,
}

/// What a model made of a list of choices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The right choice, counted from 0.
    pub gold: usize,
    /// The most likely choice.
    pub picked: usize,
    /// The most likely choice for each byte of its text.
    pub picked_by_byte: usize,
    /// `log p` of each choice, in nats.
    pub log_likelihoods: Vec<f64>,
}

/// One question with its answer and scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The question's number, counted from 0.
    pub index: usize,
    /// Its file and line or row.
    pub place: String,
    /// Subject or task, in benchmarks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<String>,
    /// The prompt as it stands in the data; empty for a window of plain text.
    pub prompt: String,
    /// The answer of the data.
    pub reference: String,
    /// The answer of the model, without the prompt.
    pub prediction: String,
    /// Scores of a prediction in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scores: Option<RowScores>,
    /// Whether the prediction is a sentence of the settings' `grammar`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parses: Option<bool>,
    /// Whether the prediction fulfils the task's check.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub correct: Option<bool>,
    /// How far a canary's secret is known by heart, in bits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exposure: Option<f64>,
    /// What the model made of choices.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub choice: Option<Choice>,
    /// Parts of the held-out loss; none for a row whose prompt alone fills the context.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loss: Option<Loss>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the prediction.
    pub new_tokens: usize,
    /// Whether the prediction came to its own end.
    pub finished: bool,
    /// Whether the prompt left no room, so that nothing was asked.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub too_long: bool,
    /// Seconds that it took.
    pub seconds: f64,
}

impl Record {
    /// A record with nothing in it but its place.
    pub(super) fn at(index: usize, place: String) -> Self {
        Self {
            index,
            place,
            group: None,
            prompt: String::new(),
            reference: String::new(),
            prediction: String::new(),
            scores: None,
            parses: None,
            correct: None,
            exposure: None,
            choice: None,
            loss: None,
            prompt_tokens: 0,
            new_tokens: 0,
            finished: true,
            too_long: false,
            seconds: 0.0,
        }
    }
}

/// Records as text, one a line.
///
/// # Errors
/// A number that JSON cannot hold.
pub(super) fn to_lines(path: &Path, records: &[Record]) -> Result<String> {
    let mut text = String::new();
    for record in records {
        text.push_str(&line(path, record)?);
    }
    Ok(text)
}

fn line(path: &Path, record: &Record) -> Result<String> {
    let fail = |error: serde_json::Error| Error::file(path, format!("cannot hold a row: {error}"));
    Ok(serde_json::to_string(record).map_err(fail)? + "\n")
}

/// Appends one record in one write, so that a killed evaluation leaves whole lines.
///
/// # Errors
/// The disk refuses.
pub(super) fn append(path: &Path, file: &mut File, record: &Record) -> Result<()> {
    file.write_all(line(path, record)?.as_bytes())
        .map_err(Error::io(path))
}

/// The records of a file, in its order. With `cut_allowed`, a last line without its end (a write
/// that was cut) is left out.
///
/// # Errors
/// The file cannot be read, or a line of it is not a record.
pub(super) fn read(path: &Path, cut_allowed: bool) -> Result<Vec<Record>> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let whole = match bytes.iter().rposition(|&byte| byte == b'\n') {
        Some(last) => last + 1,
        None => 0,
    };
    let bytes = bytes.get(..whole).filter(|_| cut_allowed).unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| Error::file(path, "is not UTF-8 text"))?;
    let mut records = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let record = serde_json::from_str(line).map_err(|error| {
            let problem = format!("is not a row of an evaluation ({error})");
            Error::line(path, number + 1, problem)
        })?;
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_a_cut_line_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let mut record = Record::at(3, "a.jsonl:4".into());
        record.prediction = "two\nlines, é and \u{1F600}".into();
        record.loss = Some(Loss {
            nats: 0.1 + 0.2,
            tokens: 3,
            bytes: 7,
        });
        let text = to_lines(&path, &[record.clone(), record.clone()]).unwrap();
        std::fs::write(&path, &text).unwrap();
        assert_eq!(
            read(&path, false).unwrap(),
            [record.clone(), record.clone()]
        );
        // Every cut of the second line leaves the first record, and is an error where not allowed.
        let first = text.find('\n').unwrap() + 1;
        for end in first + 1..text.len() {
            std::fs::write(&path, &text.as_bytes()[..end]).unwrap();
            assert_eq!(read(&path, true).unwrap(), [record.clone()], "{end}");
            // The last byte is the line's end alone, without which the line is still whole.
            assert_eq!(read(&path, false).is_err(), end + 1 < text.len(), "{end}");
        }
    }

    #[test]
    fn a_line_of_something_else_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, "{\"index\": 1}\n").unwrap();
        let error = read(&path, true).unwrap_err();
        assert!(error.to_string().contains("rows.jsonl:1"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
