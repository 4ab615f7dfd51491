//! Rows of Parquet files, one at a time, as JSON objects.
//!
//! A crate of its own, so that nobody who reads lines of text compiles a column format. It knows
//! nothing of training: a program hands [`open`] to whatever reads rows.
//!
//! Strings, numbers, lists and structs become their JSON twins; dates, times and decimals become
//! text. Bytes without a type are text if they are UTF-8, as some writers leave the mark out, and
//! an error otherwise. Memory holds a page of each column, however long the file.
//!
//! ```no_run
//! for row in llm_parquet::open("rows.parquet".as_ref())? {
//!     println!("{}", serde_json::Value::Object(row?));
//! }
//! # Ok::<(), llm_parquet::Error>(())
//! ```
//!
//! The library below trusts some numbers of a file and ends with a panic where they are wrong; that
//! is caught here and told as a damaged file.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Value};

/// Why a file or a row of it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused to read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason the system gave.
        source: std::io::Error,
    },
    /// A file that is no Parquet, or is damaged.
    #[error("{}: is not a Parquet file that can be read ({problem})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        problem: String,
    },
    /// A value that is no text, number, list or struct.
    #[error("{}:{row}: column `{column}` {problem}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The row, counted from 1.
        row: usize,
        /// The column.
        column: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The rows of a file. After an error there are no more.
pub struct Rows {
    path: PathBuf,
    rows: RowIter<'static>,
    number: usize,
    failed: bool,
}

/// Opens a file.
///
/// # Errors
/// A file that cannot be read, is no Parquet, or is compressed in a way that is not known here
/// (known are Snappy, Zstandard, gzip and LZ4).
pub fn open(path: &Path) -> Result<Rows> {
    let file = File::open(path).map_err(|source| Error::Io {
        path: path.to_path_buf(),
        source,
    })?;
    let reader = guarded(path, || SerializedFileReader::new(file))?;
    Ok(Rows {
        path: path.to_path_buf(),
        rows: guarded(path, || Ok(reader.into_iter()))?,
        number: 0,
        failed: false,
    })
}

/// `work`, with its errors and panics as one error of this crate.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T> {
    let damaged = |problem: &str| Error::Damaged {
        path: path.to_path_buf(),
        problem: one_line(problem),
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| damaged(&error.to_string())),
        Err(_) => Err(damaged("its numbers contradict each other")),
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(200).collect()
}

impl Rows {
    fn read(&mut self) -> Result<Option<Map<String, Value>>> {
        let rows = &mut self.rows;
        let Some(row) = guarded(&self.path, || rows.next().transpose())? else {
            return Ok(None);
        };
        self.number += 1;
        let path = self.path.clone();
        object(&row)
            .map(Some)
            .map_err(|(column, problem)| Error::Value {
                path,
                row: self.number,
                column,
                problem,
            })
    }
}

impl Iterator for Rows {
    type Item = Result<Map<String, Value>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = self.read();
        self.failed = row.is_err();
        row.transpose()
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("path", &self.path)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// The column that cannot be used, and why.
type Problem = (String, &'static str);

fn object(row: &Row) -> Result<Map<String, Value>, Problem> {
    let mut map = Map::new();
    for (name, field) in row.get_column_iter() {
        let value = value(field).map_err(|problem| (name.clone(), problem))?;
        map.insert(name.clone(), value);
    }
    Ok(map)
}

fn value(field: &Field) -> Result<Value, &'static str> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float(value) => f64::from(*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Str(text) => text.clone().into(),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => text.into(),
            Err(_) => return Err("holds bytes that are no text"),
        },
        Field::Group(row) => Value::Object(object(row).map_err(|(_, problem)| problem)?),
        Field::ListInternal(list) => {
            let values = list.elements().iter().map(value);
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Field::MapInternal(map) => {
            let mut object = Map::new();
            for (key, field) in map.entries() {
                let key = match value(key)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                object.insert(key, value(field)?);
            }
            Value::Object(object)
        }
        other => other.to_string().into(),
    })
}
