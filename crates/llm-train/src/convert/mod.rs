//! Other programs' files → rows of `messages` or `prompt` and `completion`, one JSON object a line.
//!
//! | form | reads | writes |
//! |---|---|---|
//! | `chatgpt` | `conversations.json` of an export: trees of messages | `messages` |
//! | `sharegpt` | `conversations` of `from` and `value` | `messages` |
//! | `alpaca` | `instruction`, `input`, `output` | `prompt`, `completion` |
//! | `csv`, `parquet` | columns of these names, or of names that the caller gives | what they hold |
//!
//! Files are read one record at a time and written whole or not at all. Nothing is left out in
//! silence: a [`Report`] counts what was dropped and why, with the line of the first such record.
//! A file that is no JSON or no table is an error, whatever could have been saved of it.

mod chatgpt;
mod sharegpt;
mod table;
mod turns;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::data::LONGEST_RECORD;
use crate::data::records::Container;
use crate::{Error, Result};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `conversations.json` of a ChatGPT export.
    ChatGpt,
    /// Rows of instruction, input and output.
    Alpaca,
    /// Rows of `conversations` with `from` and `value`.
    ShareGpt,
    /// A table of comma-separated values.
    Csv,
    /// A Parquet file, by the reader that the program installed.
    Parquet,
}

/// What to read and where to write.
#[derive(Clone, Debug)]
pub struct Job {
    /// What the file is.
    pub form: Form,
    /// The file.
    pub input: PathBuf,
    /// Where the rows go.
    pub output: PathBuf,
    /// Whether a file that is there is replaced.
    pub force: bool,
    /// The column of a table that is the prompt, when it has another name.
    pub prompt: Option<String>,
    /// The column of a table that is the answer, when it has another name.
    pub completion: Option<String>,
}

/// How often something happened, in the order of its first time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(Vec<Count>);

/// One line of a [`Tally`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What happened.
    pub what: String,
    /// How often.
    pub count: usize,
    /// Where first: a line, or a row's number where a file has no lines.
    pub first: usize,
}

/// Different reasons that are told apart; messages of hostile files could be of any number.
const MOST_REASONS: usize = 20;

impl Tally {
    fn add(&mut self, what: &str, count: usize, at: usize) {
        if count == 0 {
            return;
        }
        let known = self.0.iter().position(|line| line.what == what);
        let what = match known {
            None if self.0.len() >= MOST_REASONS => "other reasons",
            _ => what,
        };
        match self.0.iter_mut().find(|line| line.what == what) {
            Some(line) => line.count += count,
            None => self.0.push(Count {
                what: what.to_owned(),
                count,
                first: at,
            }),
        }
    }

    /// The lines.
    pub fn counts(&self) -> &[Count] {
        &self.0
    }

    /// All of them together.
    pub fn total(&self) -> usize {
        self.0.iter().map(|line| line.count).sum()
    }
}

/// What became of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records read.
    pub read: usize,
    /// Rows written.
    pub written: usize,
    /// Records that gave no row, by reason.
    pub dropped: Tally,
    /// Messages that were left out of records, by reason.
    pub left_out: Tally,
}

/// What a record became: a row, or why there is none.
type Converted = std::result::Result<Value, String>;

/// Reads a file and writes its rows.
///
/// # Errors
/// A file that is not what `form` says or that cannot be read or written, an output that is there
/// already, or not one record that gives a row. The output is then as it was before.
pub fn convert(job: &Job) -> Result<Report> {
    if !job.force && std::fs::symlink_metadata(&job.output).is_ok() {
        let problem = "exists already; --force replaces it";
        return Err(Error::input(job.output.display().to_string(), problem));
    }
    if same_file(&job.input, &job.output) {
        let problem = "is the input too, expected another file";
        return Err(Error::input(job.output.display().to_string(), problem));
    }
    let mut failure = None;
    let mut report = Report::default();
    let written = llm_store::atomic::write_with(&job.output, |file| {
        let io = |source| llm_store::Error::Io {
            path: job.output.clone(),
            action: "writing",
            source,
        };
        let mut refused = None;
        let result = records(job, &mut report, &mut |row| {
            let written = serde_json::to_writer(&mut *file, row).map_err(std::io::Error::from);
            let written = written.and_then(|()| file.write_all(b"\n"));
            written.map_err(|error| {
                refused = Some(error);
                Error::input("output", "cannot be written")
            })
        });
        match (refused, result) {
            (Some(error), _) => Err(io(error)),
            (None, Ok(())) => Ok(()),
            (None, Err(error)) => {
                failure = Some(error);
                // Any error leaves the output as it was; the one above is told.
                Err(io(std::io::ErrorKind::Interrupted.into()))
            }
        }
    });
    match failure {
        Some(error) => return Err(error),
        None => written?,
    }
    Ok(report)
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Converts every record and gives its row to `sink`.
fn records(
    job: &Job,
    report: &mut Report,
    sink: &mut dyn FnMut(&Value) -> Result<()>,
) -> Result<()> {
    let container = match (job.form, Container::of(&job.input)) {
        (Form::Parquet, _) => Container::Table,
        (Form::Csv, Some(Container::Csv(delimiter))) => Container::Csv(delimiter),
        (Form::Csv, _) => Container::Csv(b','),
        (_, Some(Container::Lines)) => Container::Lines,
        // Exports are arrays, whatever they are called.
        _ => Container::Array,
    };
    let mut each =
        |at: usize, row: Converted, left_out: Vec<(&'static str, usize)>| -> Result<()> {
            report.read += 1;
            for (what, count) in left_out {
                report.left_out.add(what, count, at);
            }
            match row {
                Ok(row) => {
                    sink(&row)?;
                    report.written += 1;
                }
                Err(reason) => report.dropped.add(&reason, 1, at),
            }
            Ok(())
        };
    match job.form {
        Form::ChatGpt => turns::objects(&job.input, container, &mut each, chatgpt::row)?,
        Form::ShareGpt => turns::objects(&job.input, container, &mut each, sharegpt::row)?,
        Form::Alpaca | Form::Csv | Form::Parquet => {
            table::rows(job, container, LONGEST_RECORD, &mut each)?;
        }
    }
    if report.written > 0 {
        return Ok(());
    }
    let most = report.dropped.counts().iter().max_by_key(|line| line.count);
    Err(match most {
        Some(Count { what, first, .. }) => {
            let problem = format!(
                "{what}; none of the file's {} records is a row",
                report.read
            );
            Error::line(&job.input, *first, problem)
        }
        None => Error::file(&job.input, "has no records, expected at least one"),
    })
}
