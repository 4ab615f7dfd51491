//! The elements of one JSON array, one at a time: memory holds the element at hand and no more.
//!
//! Only the commas between elements are looked for here, outside of strings and brackets; what
//! stands between them is the JSON reader's matter.

use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;

use super::lines::too_long;
use crate::{Error, Result};

/// Where the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the opening bracket.
    Start,
    /// After it.
    First,
    /// After an element.
    Between,
    /// After the closing bracket.
    End,
}

/// The elements of the array that a reader holds.
#[derive(Debug)]
pub(crate) struct Elements<R> {
    path: Arc<PathBuf>,
    reader: R,
    limit: usize,
    place: Place,
    line: usize,
    buffer: Vec<u8>,
}

impl<R: BufRead> Elements<R> {
    /// `path` is for messages; an element longer than `limit` bytes is an error.
    pub(super) fn new(path: Arc<PathBuf>, reader: R, limit: usize) -> Self {
        Self {
            path,
            reader,
            limit,
            place: Place::Start,
            line: 1,
            buffer: Vec::new(),
        }
    }

    /// The text of the next element and the line on which it begins, counted from 1.
    ///
    /// # Errors
    /// Text that is no array, an element that is too long or is not UTF-8, or a file that cannot
    /// be read.
    pub(super) fn next_element(&mut self) -> Result<Option<(usize, &str)>> {
        if self.place == Place::Start {
            self.open()?;
        }
        match (self.place, self.peek()?) {
            (Place::End, None) => return Ok(None),
            (Place::End, Some(_)) => return Err(self.fail("has text after the array")),
            (_, None) => return Err(self.fail("is not JSON (the file ends in the array)")),
            (_, Some(b']')) => {
                self.skip()?;
                self.place = Place::End;
                return self.next_element();
            }
            (Place::Between, Some(b',')) => self.skip()?,
            (Place::Between, Some(_)) => {
                return Err(self.fail("is not JSON, expected `,` or `]` after an element"));
            }
            _ => {}
        }
        self.place = Place::Between;
        self.peek()?; // the element begins after white space
        let begins = self.line;
        self.copy()?;
        let text = std::str::from_utf8(&self.buffer)
            .map_err(|_| Error::line(self.path.as_ref(), begins, "is not UTF-8 text"))?;
        Ok(Some((begins, text)))
    }

    /// Reads up to the opening bracket.
    fn open(&mut self) -> Result<()> {
        let mark = self.fill()?.starts_with("\u{feff}".as_bytes());
        self.reader.consume(if mark { 3 } else { 0 });
        let found = match self.peek()? {
            Some(b'[') => {
                self.place = Place::First;
                return self.skip();
            }
            Some(b'{') => "an object",
            Some(b'"') => "a string",
            Some(b'-' | b'0'..=b'9') => "a number",
            Some(_) => "no JSON",
            None => "nothing",
        };
        let problem = format!("holds {found}, expected an array");
        Err(Error::file(self.path.as_ref(), problem))
    }

    /// Copies one element into the buffer.
    fn copy(&mut self) -> Result<()> {
        self.buffer.clear();
        let mut scan = Scan::default();
        loop {
            let chunk = self.reader.fill_buf().map_err(Error::io(&self.path))?;
            if chunk.is_empty() {
                return Err(self.fail("is not JSON (the file ends in an element)"));
            }
            let taken = chunk.iter().take_while(|&&byte| scan.takes(byte)).count();
            let ended = taken < chunk.len();
            self.line += chunk[..taken].iter().filter(|&&b| b == b'\n').count();
            if self.buffer.len().saturating_add(taken) > self.limit {
                return Err(self.fail(&too_long(self.limit)));
            }
            self.buffer.extend_from_slice(&chunk[..taken]);
            self.reader.consume(taken);
            if ended {
                return Ok(());
            }
        }
    }

    /// The next byte that is not white space, which stays unread.
    fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            let Some(&byte) = self.fill()?.first() else {
                return Ok(None);
            };
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.line += usize::from(byte == b'\n');
            self.reader.consume(1);
        }
    }

    fn fill(&mut self) -> Result<&[u8]> {
        self.reader.fill_buf().map_err(Error::io(&self.path))
    }

    fn skip(&mut self) -> Result<()> {
        self.reader.consume(1);
        Ok(())
    }

    fn fail(&self, problem: &str) -> Error {
        Error::line(self.path.as_ref(), self.line, problem)
    }
}

/// How deep in strings and brackets a byte stands.
#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Whether `byte` belongs to the element.
    fn takes(&mut self, byte: u8) -> bool {
        if self.in_string {
            let plain = std::mem::take(&mut self.escaped);
            match byte {
                b'\\' if !plain => self.escaped = true,
                b'"' if !plain => self.in_string = false,
                _ => {}
            }
            return true;
        }
        match byte {
            b',' | b']' if self.depth == 0 => return false,
            b'"' => self.in_string = true,
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// With buffers of every small size, so that pieces meet everywhere.
    fn elements(text: &str, limit: usize) -> Result<Vec<(usize, String)>> {
        let mut results = Vec::new();
        for capacity in [1, 2, 3, 7, 100] {
            let reader = BufReader::with_capacity(capacity.max(3), text.as_bytes());
            let mut elements = Elements::new(Arc::new("x".into()), reader, limit);
            let mut all = Vec::new();
            let result = loop {
                match elements.next_element() {
                    Ok(Some((line, text))) => all.push((line, text.trim().to_owned())),
                    Ok(None) => break Ok(all),
                    Err(error) => break Err(error),
                }
            };
            results.push(result);
        }
        let shown: Vec<String> = results.iter().map(|r| format!("{r:?}")).collect();
        assert!(shown.windows(2).all(|pair| pair[0] == pair[1]), "{shown:?}");
        results.swap_remove(0)
    }

    #[test]
    fn commas_and_brackets_in_strings_and_deeper_are_no_ends() {
        let text = "\u{feff} [ {\"a\": \"]\\\"},[\\\\\"},\n\n [1, [2]] ,3 ,\"x,]\"\n, null\n]\n";
        let want = [
            (1, "{\"a\": \"]\\\"},[\\\\\"}"),
            (3, "[1, [2]]"),
            (3, "3"),
            (3, "\"x,]\""),
            (4, "null"),
        ];
        let want = want.map(|(line, text)| (line, text.to_owned()));
        assert_eq!(elements(text, 1000).unwrap(), want);
        assert_eq!(elements("[]", 10).unwrap(), []);
    }

    #[test]
    fn what_is_no_array_or_too_long_is_named() {
        for (text, part) in [
            ("", "x: holds nothing"),
            ("{}", "x: holds an object"),
            ("[1", "x:1: is not JSON (the file ends"),
            ("[\n\"a", "x:2: is not JSON (the file ends"),
            ("[1] 2", "x:1: has text after"),
            ("[\n1,\n\"abcdefghi\"]", "x:3: is longer than 8 bytes"),
        ] {
            let error = elements(text, 8).unwrap_err().to_string();
            assert!(error.starts_with(part), "{text}: {error}");
        }
    }
}
