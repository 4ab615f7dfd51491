//! One file → its rows as fields, one at a time, whatever its format.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::elements::Elements;
use super::fields::Fields;
use super::lines::{Lines, open};
use super::tables::{Csv, TableRows, table_reader};
use crate::{Error, Result};

/// How the bytes of a file become rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// One JSON object a line.
    Lines,
    /// One JSON array of objects.
    Array,
    /// Columns between commas, or between the given byte.
    Csv(u8),
    /// Columns that a reader from outside knows, by extension.
    Table,
}

impl Container {
    /// By a file's extension; `None` is plain text, or lines where rows are wanted.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let extension = extension(path);
        Some(match extension.as_str() {
            "jsonl" | "ndjson" => Self::Lines,
            "json" => Self::Array,
            "csv" => Self::Csv(b','),
            "tsv" => Self::Csv(b'\t'),
            "parquet" => Self::Table,
            other if table_reader(other).is_some() => Self::Table,
            _ => return None,
        })
    }
}

fn extension(path: &Path) -> String {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.unwrap_or_default().to_lowercase()
}

/// The texts of JSON values, one at a time.
pub(crate) enum Texts {
    Lines(Lines<BufReader<File>>),
    Array(Elements<BufReader<File>>),
}

impl Texts {
    /// Opens `path` as lines, or as an array.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn open(path: Arc<PathBuf>, container: Container, limit: usize) -> Result<Self> {
        let reader = open(&path)?;
        Ok(match container {
            Container::Array => Self::Array(Elements::new(path, reader, limit)),
            _ => Self::Lines(Lines::new(path, reader, limit)),
        })
    }

    /// The next text and the line on which it begins; empty lines are left out.
    ///
    /// # Errors
    /// A text that is too long or is not UTF-8, or a file that cannot be read.
    pub(crate) fn next_text(&mut self) -> Result<Option<(usize, &str)>> {
        match self {
            Self::Array(elements) => elements.next_element(),
            Self::Lines(lines) => lines.next_filled(),
        }
    }
}

enum Source {
    Texts(Texts),
    Csv(Box<Csv>),
    /// With the rows so far.
    Table(TableRows, usize),
}

/// The rows of one file.
pub(crate) struct Records {
    path: Arc<PathBuf>,
    source: Source,
    /// Names of a table's columns and the keys that they stand for.
    names: Vec<(String, &'static str)>,
}

impl Records {
    /// Opens `path` as `container`; a record longer than `limit` bytes will be an error.
    ///
    /// # Errors
    /// A file that cannot be read, or one that needs a reader which this program lacks.
    pub(crate) fn open(path: &Path, container: Container, limit: usize) -> Result<Self> {
        let path = Arc::new(path.to_path_buf());
        let source = match container {
            Container::Lines | Container::Array => {
                Source::Texts(Texts::open(path.clone(), container, limit)?)
            }
            Container::Csv(delimiter) => {
                Source::Csv(Box::new(Csv::open(path.clone(), delimiter, limit)?))
            }
            Container::Table => {
                let known = table_reader(&extension(&path)).or_else(|| table_reader("parquet"));
                let Some(reader) = known else {
                    let problem = "is a Parquet file, which this program does not read; make rows \
                                   of it with deeper convert parquet";
                    return Err(Error::file(path.as_ref(), problem));
                };
                Source::Table(reader(&path)?, 0)
            }
        };
        Ok(Self {
            path,
            source,
            names: Vec::new(),
        })
    }

    /// The same where columns of a table have other names than the keys that they stand for.
    pub(crate) fn renamed(self, names: Vec<(String, &'static str)>) -> Self {
        Self { names, ..self }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Arc<PathBuf> {
        &self.path
    }

    /// The next row and where it is: its line, or its number where a file has no lines.
    ///
    /// # Errors
    /// A record that is no row, with its place.
    pub(crate) fn next_record(&mut self) -> Result<Option<(usize, Fields)>> {
        let path = self.path.as_ref();
        let names = &self.names;
        let (at, fields) = match &mut self.source {
            Source::Texts(texts) => match texts.next_text()? {
                Some((line, text)) => (line, Fields::parse(text)),
                None => return Ok(None),
            },
            Source::Csv(csv) => match csv.next_row()? {
                Some((line, row)) => (
                    line,
                    Fields::of(row.map(|(key, v)| (key_of(names, key), v))),
                ),
                None => return Ok(None),
            },
            Source::Table(rows, count) => match rows.next() {
                Some(row) => {
                    *count += 1;
                    let row = row?;
                    let values = row.iter();
                    let values = values.map(|(key, v)| (key_of(names, key), v.clone()));
                    (*count, Fields::of(values))
                }
                None => return Ok(None),
            },
        };
        let fields = fields.map_err(|problem| Error::line(path, at, problem))?;
        Ok(Some((at, fields)))
    }
}

/// The key that a column stands for.
fn key_of<'a>(names: &'a [(String, &'static str)], column: &'a str) -> &'a str {
    let known = names.iter().find(|(name, _)| name == column);
    known.map_or(column, |(_, key)| key)
}
