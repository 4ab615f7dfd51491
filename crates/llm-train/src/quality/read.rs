//! Every line of every file, one at a time: also the lines that training would refuse.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::forms::is_blank;
use super::lines::{Line, Lines};
use super::report::{Place, Problem};
use crate::data::fields::Fields;
use crate::data::records::{Container, Records};
use crate::data::rows::messages_of;
use crate::data::{DOCUMENT_SEPARATOR, DataFormat, LONGEST_RECORD, Row};
use crate::{Error, Result};

/// What rows are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// To train on.
    Train,
    /// To measure on.
    Held,
}

/// A file of rows, in any form that training reads: lines of JSON, an array, columns, or plain text
/// with lines of [`DOCUMENT_SEPARATOR`].
#[derive(Clone, Debug)]
pub struct Input {
    /// The file.
    pub path: Arc<PathBuf>,
    /// What its rows are for.
    pub part: Part,
}

impl Input {
    /// Files of one part.
    pub fn all(part: Part, paths: Vec<PathBuf>) -> Vec<Self> {
        let input = |path| Self {
            path: Arc::new(path),
            part,
        };
        paths.into_iter().map(input).collect()
    }

    /// The size of the file; 0 where that is not known.
    pub fn bytes(&self) -> u64 {
        std::fs::metadata(self.path.as_ref()).map_or(0, |data| data.len())
    }
}

/// What a usable line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// A conversation that ends with an answer.
    Row(Row),
    /// A document.
    Text(String),
}

impl Sample {
    /// The turns before the answer as one text; a document as it is.
    pub fn question(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Row(row) => {
                let turns = row.prompt().iter().map(|turn| turn.content.as_str());
                turns.collect::<Vec<_>>().join("\n\n")
            }
        }
    }

    /// The answer, if this is a conversation.
    pub fn answer(&self) -> Option<&str> {
        match self {
            Self::Text(_) => None,
            Self::Row(row) => Some(row.completion()),
        }
    }

    /// Every text in it.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => vec![text],
            Self::Row(row) => row.messages.iter().map(|m| m.content.as_str()).collect(),
        }
    }
}

/// A line, its text as it stands in the file, and what it holds.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is for.
    pub part: Part,
    /// Where it stands.
    pub at: Place,
    /// The line without its end; empty where a row is not a line.
    pub raw: Vec<u8>,
    /// The row, or why there is none.
    pub sample: Result<Sample, (Problem, String)>,
}

impl Entry {
    /// The row.
    ///
    /// # Errors
    /// [`Error::Data`] with file and line where there is none.
    pub fn usable(&self) -> Result<&Sample> {
        self.sample
            .as_ref()
            .map_err(|(_, problem)| Error::line(self.at.path.as_ref(), self.at.line, problem))
    }
}

/// The lines of several files in order. Empty lines are passed over.
///
/// An error of the disk ends the iteration; everything else that can be wrong with a line is in its
/// [`Entry`]. Behind a broken row of an array or a table nobody knows where the next one begins: it
/// is the last of its file.
pub struct Entries<'i> {
    inputs: std::slice::Iter<'i, Input>,
    current: Option<(&'i Input, Source)>,
    limit: usize,
    done: u64,
}

enum Source {
    Lines(Lines),
    Documents(Lines),
    /// An array or a table; `None` behind its end.
    Records(Option<Box<Records>>),
}

impl<'i> Entries<'i> {
    /// Starts at the first line of the first of `inputs`.
    pub fn new(inputs: &'i [Input]) -> Self {
        Self::with_limit(inputs, LONGEST_RECORD)
    }

    /// As [`Entries::new`], with another limit than [`LONGEST_RECORD`] for the bytes of a line.
    pub fn with_limit(inputs: &'i [Input], limit: usize) -> Self {
        Self {
            inputs: inputs.iter(),
            current: None,
            limit,
            done: 0,
        }
    }

    /// Bytes of files that are behind.
    pub fn bytes_done(&self) -> u64 {
        let current = match &self.current {
            Some((_, Source::Lines(lines) | Source::Documents(lines))) => lines.done(),
            _ => 0,
        };
        self.done + current
    }

    fn read(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some((input, source)) = &mut self.current {
                if let Some(entry) = source.read(input)? {
                    return Ok(Some(entry));
                }
                self.done += input.bytes();
                self.current = None;
            }
            let Some(input) = self.inputs.next() else {
                return Ok(None);
            };
            self.current = Some((input, Source::open(&input.path, self.limit)?));
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.inputs = Default::default();
            self.current = None;
        }
        read.transpose()
    }
}

impl Source {
    fn open(path: &Path, limit: usize) -> Result<Self> {
        Ok(match Container::of(path) {
            Some(Container::Lines) => Self::Lines(Lines::open(path, limit as u64)?),
            Some(other) => Self::Records(Some(Box::new(Records::open(path, other, limit)?))),
            None => Self::Documents(Lines::open(path, limit as u64)?),
        })
    }

    fn read(&mut self, input: &Input) -> Result<Option<Entry>> {
        let entry = |line, raw, sample| Entry {
            part: input.part,
            at: Place {
                path: input.path.clone(),
                line,
            },
            raw,
            sample,
        };
        match self {
            Self::Lines(lines) => {
                while let Some(line) = lines.next_line(&input.path)? {
                    if !line.bytes.iter().all(u8::is_ascii_whitespace) {
                        let sample = of_line(&line, input);
                        return Ok(Some(entry(line.number, line.bytes, sample)));
                    }
                }
                Ok(None)
            }
            Self::Documents(lines) => {
                let document = document(lines, &input.path)?;
                Ok(document.map(|(line, sample)| entry(line, Vec::new(), sample)))
            }
            Self::Records(records) => {
                let Some(next) = records.as_mut().map(|records| records.next_record()) else {
                    return Ok(None);
                };
                let (line, sample) = match next {
                    Ok(None) => return Ok(None),
                    Ok(Some((line, fields))) => (line, of_fields(fields, &input.path, line)),
                    Err(Error::Data { line, problem, .. }) => {
                        *records = None;
                        let problem = format!("{problem}; what follows was not read");
                        (line.unwrap_or(1), malformed(problem))
                    }
                    Err(other) => return Err(other),
                };
                Ok(Some(entry(line, Vec::new(), sample)))
            }
        }
    }
}

type Outcome = Result<Sample, (Problem, String)>;

fn malformed(problem: impl Into<String>) -> Outcome {
    Err((Problem::Malformed, problem.into()))
}

fn of_line(line: &Line, input: &Input) -> Outcome {
    if line.too_long {
        let limit = line.bytes.len();
        return malformed(format!("is longer than {limit} bytes, the limit of a line"));
    }
    let Ok(text) = std::str::from_utf8(&line.bytes) else {
        return malformed("is not UTF-8 text");
    };
    match Fields::parse(text) {
        Ok(fields) => of_fields(fields, &input.path, line.number),
        Err(problem) => malformed(problem),
    }
}

/// Keys of which a row has one, whatever its form.
const ROW_KEYS: [&str; 5] = ["messages", "prompt", "completion", "instruction", "output"];

fn of_fields(fields: Fields, path: &Arc<PathBuf>, line: usize) -> Outcome {
    if let Some(key) = blank_key(&fields) {
        return Err((Problem::Empty, format!("`{key}` is empty")));
    }
    if !ROW_KEYS.iter().any(|key| fields.has(key))
        && let Some(Value::String(text)) = fields.get("text")
    {
        return Ok(Sample::Text(text.clone()));
    }
    match messages_of(fields, DataFormat::Auto) {
        Err(problem) => malformed(problem),
        Ok(messages) => Ok(Sample::Row(Row {
            messages,
            path: path.clone(),
            line,
        })),
    }
}

/// The first text that has to be there and in which nothing can be seen.
fn blank_key(fields: &Fields) -> Option<String> {
    let blank = |value: &Value| value.as_str().is_some_and(is_blank);
    let flat = ["prompt", "completion", "instruction", "output", "text"];
    let mut flat = flat.into_iter();
    if let Some(key) = flat.find(|key| fields.get(key).is_some_and(blank)) {
        return Some(key.into());
    }
    let messages = fields.get("messages")?.as_array()?;
    let spoken = |message: &Value| message.get("role").and_then(Value::as_str) != Some("system");
    let place = messages
        .iter()
        .position(|message| spoken(message) && message.get("content").is_some_and(blank))?;
    Some(format!("messages[{place}].content"))
}

/// The next document of a text file and its first line.
fn document(lines: &mut Lines, path: &Path) -> Result<Option<(usize, Outcome)>> {
    let mut text = Vec::new();
    let mut first = None;
    let mut too_long = false;
    while let Some(line) = lines.next_line(path)? {
        let bytes = line.bytes.strip_suffix(b"\r").unwrap_or(&line.bytes);
        if bytes == DOCUMENT_SEPARATOR.as_bytes() {
            if first.is_some() {
                break;
            }
            continue;
        }
        if first.is_none() && bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        first.get_or_insert(line.number);
        too_long |= line.too_long;
        text.extend_from_slice(&line.bytes);
        text.push(b'\n');
    }
    let read = match String::from_utf8(text) {
        _ if too_long => malformed("has a line that is longer than the limit"),
        Ok(text) if is_blank(&text) => Err((Problem::Empty, "nothing can be seen".into())),
        Ok(text) => Ok(Sample::Text(text)),
        Err(_) => malformed("is not UTF-8 text"),
    };
    Ok(first.map(|line| (line, read)))
}
