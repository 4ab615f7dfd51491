//! Every line of every file, one at a time: also the lines that training would refuse.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::forms::is_blank;
use super::report::{Place, Problem};
use crate::data::{DOCUMENT_SEPARATOR, DataFormat, Row, row_of};
use crate::{Error, Result};

/// A longer line is refused, so that one file cannot fill the memory.
pub const MAX_LINE_BYTES: u64 = 64 << 20;

/// What rows are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// To train on.
    Train,
    /// To measure on.
    Held,
}

/// A file of rows: `.jsonl`, a `.json` array, or plain text with lines of [`DOCUMENT_SEPARATOR`].
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
/// [`Entry`].
pub struct Entries<'i> {
    inputs: std::slice::Iter<'i, Input>,
    current: Option<(&'i Input, Source)>,
    limit: u64,
    done: u64,
}

enum Source {
    Lines(Lines),
    Documents(Lines),
    Values(std::iter::Enumerate<std::vec::IntoIter<Value>>),
    /// A file that cannot be used as a whole.
    Refused(Option<String>),
}

impl<'i> Entries<'i> {
    /// Starts at the first line of the first of `inputs`.
    pub fn new(inputs: &'i [Input]) -> Self {
        Self::with_limit(inputs, MAX_LINE_BYTES)
    }

    /// As [`Entries::new`], with another limit than [`MAX_LINE_BYTES`].
    pub fn with_limit(inputs: &'i [Input], limit: u64) -> Self {
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
            Some((_, Source::Lines(lines) | Source::Documents(lines))) => lines.done,
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
                self.done = self.bytes_done();
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
            self.inputs = [].iter();
            self.current = None;
        }
        read.transpose()
    }
}

impl Source {
    fn open(path: &Path, limit: u64) -> Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension {
            Some("jsonl") => Ok(Self::Lines(Lines::open(path, limit)?)),
            Some("json") => array(path),
            Some("csv" | "tsv" | "parquet" | "gz" | "zst") => {
                let problem = "is not JSON lines; `deeper convert` makes them from other formats";
                Err(Error::file(path, problem))
            }
            _ => Ok(Self::Documents(Lines::open(path, limit)?)),
        }
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
            Self::Values(values) => {
                let value = values.next().map(|(index, value)| {
                    let sample = of_value(value, &input.path, index + 1);
                    entry(index + 1, Vec::new(), sample)
                });
                Ok(value)
            }
            Self::Refused(problem) => {
                let problem = problem.take().map(|problem| (Problem::Malformed, problem));
                Ok(problem.map(|problem| entry(1, Vec::new(), Err(problem))))
            }
        }
    }
}

/// A line and its number.
struct Line {
    number: usize,
    bytes: Vec<u8>,
    too_long: bool,
}

/// A file line by line.
struct Lines {
    reader: BufReader<File>,
    limit: u64,
    number: usize,
    done: u64,
}

impl Lines {
    fn open(path: &Path, limit: u64) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        Ok(Self {
            reader: BufReader::with_capacity(1 << 16, file),
            limit,
            number: 0,
            done: 0,
        })
    }

    fn next_line(&mut self, path: &Path) -> Result<Option<Line>> {
        let mut bytes = Vec::new();
        let mut limited = self.reader.by_ref().take(self.limit);
        let read = limited.read_until(b'\n', &mut bytes);
        let read = read.map_err(Error::io(path))? as u64;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.done += read;
        let too_long = read == self.limit && bytes.last() != Some(&b'\n') && self.skip(path)?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if self.number == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3); // a byte order mark of the file, not of the row
        }
        Ok(Some(Line {
            number: self.number,
            bytes,
            too_long,
        }))
    }

    /// Passes over the rest of a line; whether there was any.
    fn skip(&mut self, path: &Path) -> Result<bool> {
        let mut any = false;
        loop {
            let buffer = self.reader.fill_buf().map_err(Error::io(path))?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(buffer.len(), |end| end + 1);
            any |= end != Some(0) && used > 0;
            self.reader.consume(used);
            self.done += used as u64;
            if end.is_some() || used == 0 {
                return Ok(any);
            }
        }
    }
}

type Read = Result<Sample, (Problem, String)>;

fn malformed(problem: impl Into<String>) -> Read {
    Err((Problem::Malformed, problem.into()))
}

fn of_line(line: &Line, input: &Input) -> Read {
    if line.too_long {
        let limit = line.bytes.len();
        return malformed(format!("is longer than {limit} bytes, the limit of a line"));
    }
    let Ok(text) = std::str::from_utf8(&line.bytes) else {
        return malformed("is not UTF-8 text");
    };
    match serde_json::from_str(text) {
        Ok(value) => of_value(value, &input.path, line.number),
        Err(error) => malformed(format!(
            "is not JSON ({}), expected one object",
            reason(&error)
        )),
    }
}

/// serde_json's message without a position: the place is known.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Keys of which a row has one, whatever its form.
const ROW_KEYS: [&str; 5] = ["messages", "prompt", "completion", "instruction", "output"];

fn of_value(value: Value, path: &Arc<PathBuf>, line: usize) -> Read {
    if let Some(key) = blank_key(&value) {
        return Err((Problem::Empty, format!("`{key}` is empty")));
    }
    if let Value::Object(object) = &value
        && !ROW_KEYS.iter().any(|key| object.contains_key(*key))
        && let Some(Value::String(text)) = object.get("text")
    {
        return Ok(Sample::Text(text.clone()));
    }
    match row_of(value, DataFormat::Auto, path, line) {
        Ok(row) => Ok(Sample::Row(row)),
        Err(Error::Data { problem, .. }) => malformed(problem),
        Err(other) => malformed(other.to_string()),
    }
}

/// The first text that has to be there and in which nothing can be seen.
fn blank_key(value: &Value) -> Option<String> {
    let blank = |value: &Value| value.as_str().is_some_and(is_blank);
    let flat = ["prompt", "completion", "instruction", "output", "text"];
    let flat = flat
        .into_iter()
        .find(|key| value.get(key).is_some_and(blank));
    if let Some(key) = flat {
        return Some(key.into());
    }
    let messages = value.get("messages")?.as_array()?;
    let spoken = |message: &Value| message.get("role").and_then(Value::as_str) != Some("system");
    let place = messages.iter().position(|message| {
        spoken(message) && message.get("content").is_some_and(blank)
    })?;
    Some(format!("messages[{place}].content"))
}

/// The next document of a text file and its first line.
fn document(lines: &mut Lines, path: &Path) -> Result<Option<(usize, Read)>> {
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

/// The rows of a `.json` file, which has to be read whole.
fn array(path: &Path) -> Result<Source> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    Ok(match serde_json::from_slice(bytes) {
        Ok(Value::Array(values)) => Source::Values(values.into_iter().enumerate()),
        Ok(_) => Source::Refused(Some("is no array, expected an array of rows".into())),
        Err(error) => Source::Refused(Some(format!(
            "is not JSON ({}, line {}), expected an array of rows",
            reason(&error),
            error.line()
        ))),
    })
}
