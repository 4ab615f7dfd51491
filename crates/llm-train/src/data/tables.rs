//! Files with named columns: CSV here, others through a reader from outside.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Map, Value};

use super::lines::{BYTE_ORDER_MARK, too_long};
use crate::{Error, Result};

/// The rows of a file with named columns, in order.
pub type TableRows = Box<dyn Iterator<Item = Result<Map<String, Value>>> + Send>;

/// Opens a file with named columns.
pub type TableReader = fn(&Path) -> Result<TableRows>;

static READERS: RwLock<BTreeMap<&str, TableReader>> = RwLock::new(BTreeMap::new());

/// From now on files that end in `.extension` (lower case) are read by `reader`.
///
/// Readers of heavy formats live in crates of their own, so that nobody else compiles them; a
/// program that has one says so once, at its start.
pub fn install_table_reader(extension: &'static str, reader: TableReader) {
    let mut readers = READERS.write().unwrap_or_else(PoisonError::into_inner);
    readers.insert(extension, reader);
}

/// The reader for files that end in `.extension`.
pub(super) fn table_reader(extension: &str) -> Option<TableReader> {
    let readers = READERS.read().unwrap_or_else(PoisonError::into_inner);
    readers.get(extension).copied()
}

/// A reader that counts its bytes and refuses to give more than it may.
struct Metered {
    file: File,
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used.load(Ordering::Relaxed) > self.limit {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let read = self.file.read(buffer)?;
        self.used.fetch_add(read, Ordering::Relaxed);
        Ok(read)
    }
}

/// The rows of a CSV file; its first line names the columns.
pub(super) struct Csv {
    path: Arc<PathBuf>,
    reader: csv::Reader<Metered>,
    names: Vec<String>,
    record: csv::StringRecord,
    /// Bytes read since the last row.
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl Csv {
    /// # Errors
    /// A file that cannot be read, or a first line that does not name columns.
    pub(super) fn open(path: Arc<PathBuf>, delimiter: u8, limit: usize) -> Result<Self> {
        let used = Arc::new(AtomicUsize::new(0));
        let file = File::open(path.as_ref()).map_err(Error::io(&path))?;
        let metered = Metered {
            file,
            used: used.clone(),
            limit,
        };
        let mut builder = csv::ReaderBuilder::new();
        let mut csv = Self {
            reader: builder.delimiter(delimiter).from_reader(metered),
            path,
            names: Vec::new(),
            record: csv::StringRecord::new(),
            used,
            limit,
        };
        let names = match csv.reader.headers() {
            Ok(names) => names.clone(),
            Err(error) => return Err(csv.explain(error)),
        };
        let name = |name: &str| name.trim_start_matches(BYTE_ORDER_MARK).trim().to_owned();
        csv.names = names.iter().map(name).collect();
        let repeated = (1..csv.names.len()).find(|&i| csv.names[..i].contains(&csv.names[i]));
        if let Some(index) = repeated {
            let problem = format!("names the column `{}` twice", csv.names[index]);
            return Err(Error::line(csv.path.as_ref(), 1, problem));
        }
        Ok(csv)
    }

    /// The next row, by column, and the line on which it begins, counted from 1.
    ///
    /// # Errors
    /// A row with another number of columns, that is too long, or is not text.
    pub(super) fn next_row(
        &mut self,
    ) -> Result<Option<(usize, impl Iterator<Item = (&str, Value)>)>> {
        self.used.store(0, Ordering::Relaxed);
        match self.reader.read_record(&mut self.record) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(self.explain(error)),
        }
        let line = self.record.position().map_or(0, |at| at.line() as usize);
        if self.record.iter().any(|value| value.contains('\0')) {
            let problem = "holds a NUL byte, expected text";
            return Err(Error::line(self.path.as_ref(), line, problem));
        }
        let names = self.names.iter().map(String::as_str);
        let values = self.record.iter().map(|value| Value::String(value.into()));
        Ok(Some((line, names.zip(values))))
    }

    fn explain(&self, error: csv::Error) -> Error {
        let at = error.position().map(|at| at.line() as usize);
        let problem = match error.into_kind() {
            csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                let from = self.reader.position().line() as usize;
                return Error::line(self.path.as_ref(), from, too_long(self.limit));
            }
            csv::ErrorKind::Io(error) => return Error::io(&self.path)(error),
            csv::ErrorKind::Utf8 { .. } => "is not UTF-8 text".to_owned(),
            csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => format!("has {len} columns, expected {expected_len} as in the first line"),
            other => format!("is not CSV ({other:?})"),
        };
        Error::Data {
            path: self.path.to_path_buf(),
            line: at,
            problem,
        }
    }
}
