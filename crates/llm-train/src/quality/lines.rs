//! A file line by line, of which no line can fill the memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::{Error, Result};

/// A line and its number.
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) too_long: bool,
}

/// A file line by line.
pub(super) struct Lines {
    reader: BufReader<File>,
    limit: u64,
    number: usize,
    done: u64,
}

impl Lines {
    pub(super) fn open(path: &Path, limit: u64) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        Ok(Self {
            reader: BufReader::with_capacity(1 << 16, file),
            limit,
            number: 0,
            done: 0,
        })
    }

    /// The next line without its end; of one above the limit, its start.
    pub(super) fn next_line(&mut self, path: &Path) -> Result<Option<Line>> {
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

    /// Bytes read so far.
    pub(super) fn done(&self) -> u64 {
        self.done
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
