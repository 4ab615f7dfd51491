//! Files with named columns: CSV here, others through a reader from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
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

/// What a [`Metered`] reader has given.
#[derive(Debug, Default)]
struct Meter {
    /// Bytes since the last row.
    used: AtomicUsize,
    /// Bytes in all.
    total: AtomicUsize,
    /// The last of them.
    last: AtomicU8,
}

/// A reader that counts its bytes and refuses to give more than it may.
struct Metered {
    file: File,
    meter: Arc<Meter>,
    limit: usize,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.meter.used.load(Ordering::Relaxed) > self.limit {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let read = self.file.read(buffer)?;
        self.meter.used.fetch_add(read, Ordering::Relaxed);
        self.meter.total.fetch_add(read, Ordering::Relaxed);
        if let Some(&last) = buffer.get(..read).and_then(<[u8]>::last) {
            self.meter.last.store(last, Ordering::Relaxed);
        }
        Ok(read)
    }
}

/// The rows of a CSV file; its first line names the columns.
pub(super) struct Csv {
    path: Arc<PathBuf>,
    reader: csv::Reader<Metered>,
    names: Vec<String>,
    record: csv::ByteRecord,
    meter: Arc<Meter>,
    limit: usize,
}

impl Csv {
    /// # Errors
    /// A file that cannot be read, or a first line that does not name columns.
    pub(super) fn open(path: Arc<PathBuf>, delimiter: u8, limit: usize) -> Result<Self> {
        let meter = Arc::new(Meter::default());
        let file = File::open(path.as_ref()).map_err(Error::io(&path))?;
        let metered = Metered {
            file,
            meter: meter.clone(),
            limit,
        };
        let mut builder = csv::ReaderBuilder::new();
        // Lengths and ends of lines are looked at here, so that messages have the right line.
        let builder = builder.has_headers(false).flexible(true);
        let builder = builder
            .delimiter(delimiter)
            .terminator(csv::Terminator::Any(b'\n'));
        let mut csv = Self {
            reader: builder.from_reader(metered),
            path,
            names: Vec::new(),
            record: csv::ByteRecord::new(),
            meter,
            limit,
        };
        let Some((line, names)) = csv.next_values()? else {
            return Ok(csv);
        };
        let name = |name: String| name.trim_start_matches(BYTE_ORDER_MARK).trim().to_owned();
        csv.names = names.into_iter().map(name).collect();
        let mut seen = BTreeSet::new();
        if let Some(name) = csv.names.iter().find(|name| !seen.insert(*name)) {
            let problem = format!("names the column `{name}` twice");
            return Err(Error::line(csv.path.as_ref(), line, problem));
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
        let Some((line, values)) = self.next_values()? else {
            return Ok(None);
        };
        let (found, expected) = (values.len(), self.names.len());
        if found != expected {
            let problem = format!("has {found} columns, expected {expected} as in the first line");
            return Err(Error::line(self.path.as_ref(), line, problem));
        }
        let names = self.names.iter().map(String::as_str);
        Ok(Some((
            line,
            names.zip(values.into_iter().map(Value::String)),
        )))
    }

    /// The values of the next line that has any, and where it begins.
    fn next_values(&mut self) -> Result<Option<(usize, Vec<String>)>> {
        loop {
            self.meter.used.store(0, Ordering::Relaxed);
            match self.reader.read_byte_record(&mut self.record) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => return Err(self.explain(error)),
            }
            let line = self.line();
            let fail = |problem: &str| Error::line(self.path.as_ref(), line, problem);
            let mut values = Vec::with_capacity(self.record.len());
            for value in &self.record {
                let text = std::str::from_utf8(value).map_err(|_| fail("is not UTF-8 text"))?;
                if text.contains('\0') {
                    return Err(fail("holds a NUL byte, expected text"));
                }
                values.push(text.to_owned());
            }
            if let Some(last) = values.last_mut()
                && last.ends_with('\r')
            {
                last.pop(); // of a line that ends as on Windows
            }
            match values.as_slice() {
                [] => {}
                [one] if one.is_empty() && self.names.len() != 1 => {} // an empty line
                _ => return Ok(Some((line, values))),
            }
        }
    }

    /// The line on which the record at hand begins. The reader's own count stands before empty
    /// lines, so it is counted back from where the record ended.
    fn line(&self) -> usize {
        let end = self.reader.position();
        let at_end = end.byte() == self.meter.total.load(Ordering::Relaxed) as u64;
        let ended = !at_end || self.meter.last.load(Ordering::Relaxed) == b'\n';
        let within = self
            .record
            .as_slice()
            .iter()
            .filter(|&&b| b == b'\n')
            .count();
        let from_end = (end.line() as usize).saturating_sub(within + usize::from(ended));
        let least = self.record.position().map_or(1, |at| at.line() as usize);
        from_end.max(least)
    }

    fn explain(&self, error: csv::Error) -> Error {
        let line = self.reader.position().line() as usize;
        match error.into_kind() {
            csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Error::line(self.path.as_ref(), line, too_long(self.limit))
            }
            csv::ErrorKind::Io(error) => Error::io(&self.path)(error),
            other => Error::line(self.path.as_ref(), line, format!("is not CSV ({other:?})")),
        }
    }
}
