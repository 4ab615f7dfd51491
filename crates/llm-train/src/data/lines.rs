//! Lines of a file, one at a time: memory holds the line at hand and no more.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Error, Result};

/// The longest line, array element or table row that is read, in bytes. A conversation of a
/// million words is a tenth of it; what is longer is no row, and would fill memory.
pub const LONGEST_RECORD: usize = 64 << 20;

/// Bytes that are read from the disk at once.
const BUFFER_BYTES: usize = 1 << 18;

/// What some editors write at the beginning of a text in UTF-8.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// Opens a file for reading in pieces.
pub(super) fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).map_err(Error::io(path))?;
    Ok(BufReader::with_capacity(BUFFER_BYTES, file))
}

/// The lines of a reader.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    path: Arc<PathBuf>,
    reader: R,
    limit: usize,
    number: usize,
    /// The line at hand with its end.
    text: String,
}

impl<R: BufRead> Lines<R> {
    /// `path` is for messages; a line longer than `limit` bytes is an error.
    pub(super) fn new(path: Arc<PathBuf>, reader: R, limit: usize) -> Self {
        Self {
            path,
            reader,
            limit,
            number: 0,
            text: String::new(),
        }
    }

    /// The next line with its end and its number, counted from 1; a byte order mark is left out.
    ///
    /// # Errors
    /// A line that is too long or is not UTF-8, or a file that cannot be read.
    pub(super) fn next_raw(&mut self) -> Result<Option<(usize, &str)>> {
        Ok(self.advance()?.then(|| (self.number, self.raw())))
    }

    /// The next line that is more than white space, without its end.
    ///
    /// # Errors
    /// As [`Lines::next_raw`].
    pub(super) fn next_filled(&mut self) -> Result<Option<(usize, &str)>> {
        while self.advance()? {
            if !self.text.trim().is_empty() {
                let line = self.raw();
                let line = line.strip_suffix('\n').unwrap_or(line);
                let line = line.strip_suffix('\r').unwrap_or(line);
                return Ok(Some((self.number, line)));
            }
        }
        Ok(None)
    }

    /// Reads a line; false at the end of the file.
    fn advance(&mut self) -> Result<bool> {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        bytes.clear();
        let most = (self.limit as u64).saturating_add(1);
        let read = (&mut self.reader)
            .take(most)
            .read_until(b'\n', &mut bytes)
            .map_err(Error::io(&self.path))?;
        if read == 0 {
            return Ok(false);
        }
        self.number += 1;
        let fail = |problem: String| Error::line(self.path.as_ref(), self.number, problem);
        if read > self.limit && !bytes.ends_with(b"\n") {
            return Err(fail(too_long(self.limit)));
        }
        self.text = String::from_utf8(bytes).map_err(|_| fail("is not UTF-8 text".into()))?;
        Ok(true)
    }

    /// The line at hand.
    fn raw(&self) -> &str {
        let marked = self.text.strip_prefix(BYTE_ORDER_MARK);
        match self.number {
            1 => marked.unwrap_or(&self.text),
            _ => &self.text,
        }
    }
}

pub(super) fn too_long(limit: usize) -> String {
    format!("is longer than {limit} bytes, which no row is")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], limit: usize) -> Result<Vec<(usize, String)>> {
        let mut lines = Lines::new(Arc::new("x".into()), text, limit);
        let mut all = Vec::new();
        while let Some((number, line)) = lines.next_filled()? {
            all.push((number, line.to_owned()));
        }
        Ok(all)
    }

    #[test]
    fn ends_and_marks_are_no_part_of_a_line() {
        let text = "\u{feff}a\r\n\n \t\n\u{feff}b\r\r\nc".as_bytes();
        let want = [(1, "a"), (4, "\u{feff}b\r"), (5, "c")];
        let want = want.map(|(number, line)| (number, line.to_owned()));
        assert_eq!(lines(text, 100).unwrap(), want);
        assert_eq!(lines(b"", 100).unwrap(), []);
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        for text in ["abcd\nabcd\n", "abcd\nabcd"] {
            assert_eq!(lines(text.as_bytes(), 4).unwrap().len(), 2);
        }
        for text in ["ab\nabcde\n", "ab\nabcde", "ab\nabcdefghijk\nab"] {
            let error = lines(text.as_bytes(), 4).unwrap_err().to_string();
            assert!(error.starts_with("x:2: is longer than 4 bytes"), "{error}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named_with_their_line() {
        let error = lines(b"a\nb\n\xff\n", 100).unwrap_err().to_string();
        assert!(error.starts_with("x:3: is not UTF-8"), "{error}");
    }
}
