//! Documents of plain text, for pretraining.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::lines::{LONGEST_RECORD, Lines, open};
use super::records::{Container, Records};
use crate::{Error, Result};

/// A line that stands alone between two documents of one text file.
pub const DOCUMENT_SEPARATOR: &str = "<|endoftext|>";

/// The documents of all files, in order, read when they are asked for: memory holds one at a time.
///
/// A file of rows (`.jsonl`, `.json`, `.csv`, `.tsv`, `.parquet`) has a document in the `text` of
/// each row; any other file is text in which lines of [`DOCUMENT_SEPARATOR`] stand between
/// documents. Documents of white space alone are left out. After an error there are no more.
pub struct Documents {
    files: VecDeque<PathBuf>,
    open: Option<Open>,
    failed: bool,
}

enum Open {
    Rows(Records),
    Text(Lines<BufReader<File>>),
}

/// The documents of `files`.
pub fn stream_documents(files: &[PathBuf]) -> Documents {
    Documents {
        files: files.iter().cloned().collect(),
        open: None,
        failed: false,
    }
}

impl Open {
    fn new(path: &Path) -> Result<Self> {
        if let Some(container) = Container::of(path) {
            return Ok(Self::Rows(Records::open(path, container, LONGEST_RECORD)?));
        }
        // A document is held whole, so a limit for its lines would only refuse texts without any.
        let lines = Lines::new(Arc::new(path.to_path_buf()), open(path)?, usize::MAX);
        Ok(Self::Text(lines))
    }

    fn next_document(&mut self) -> Result<Option<String>> {
        match self {
            Self::Rows(records) => {
                let path = records.path().clone();
                match records.next_record()? {
                    Some((line, mut fields)) => match fields.take("text") {
                        Some(Value::String(text)) => Ok(Some(text)),
                        _ => {
                            let problem = "is not an object with a string `text`";
                            Err(Error::line(path.as_ref(), line, problem))
                        }
                    },
                    None => Ok(None),
                }
            }
            Self::Text(lines) => text_document(lines),
        }
    }
}

/// The text up to the next separator.
fn text_document(lines: &mut Lines<BufReader<File>>) -> Result<Option<String>> {
    let mut document: Option<String> = None;
    while let Some((_, line)) = lines.next_raw()? {
        let document = document.get_or_insert_default();
        if line.trim_end_matches(['\r', '\n']) == DOCUMENT_SEPARATOR {
            break;
        }
        document.push_str(line);
    }
    Ok(document)
}

impl Documents {
    fn next_document(&mut self) -> Result<Option<String>> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => {
                    let Some(path) = self.files.pop_front() else {
                        return Ok(None);
                    };
                    self.open.insert(Open::new(&path)?)
                }
            };
            match open.next_document()? {
                Some(document) if document.trim().is_empty() => {}
                Some(document) => return Ok(Some(document)),
                None => self.open = None,
            }
        }
    }
}

impl Iterator for Documents {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        if self.failed {
            return None;
        }
        let document = self.next_document();
        self.failed = document.is_err();
        document.transpose()
    }
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents")
            .field("next", &self.files)
            .finish_non_exhaustive()
    }
}

/// The documents of all files, as [`stream_documents`] gives them.
///
/// # Errors
/// A file that cannot be read or is not UTF-8, a row without `text`, or no text at all.
pub fn read_documents(files: &[PathBuf]) -> Result<Vec<String>> {
    let documents: Vec<String> = stream_documents(files).collect::<Result<_>>()?;
    match (documents.is_empty(), files.first()) {
        (true, Some(path)) => Err(Error::file(path, "has no text")),
        (true, None) => Err(Error::input("data", "no files were given")),
        _ => Ok(documents),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(name: &str, text: &[u8]) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read_documents(&[path])
    }

    #[test]
    fn separators_and_rows_part_documents() {
        let text = b"one\ntwo\n<|endoftext|>\r\n\n<|endoftext|>\nthree <|endoftext|> three\n";
        let want = ["one\ntwo\n", "three <|endoftext|> three\n"];
        assert_eq!(documents("a.txt", text).unwrap(), want);
        let rows = b"{\"text\": \"one\"}\n\n{\"text\": \"two\", \"n\": 1}\n";
        assert_eq!(documents("a.jsonl", rows).unwrap(), ["one", "two"]);
        let rows = b"n,text\n1,one\n2,\"two\nlines\"\n";
        assert_eq!(documents("a.csv", rows).unwrap(), ["one", "two\nlines"]);
    }

    #[test]
    fn no_text_and_bad_rows_are_errors() {
        assert!(documents("a.txt", b" \n<|endoftext|>\n\n").is_err());
        let bad = documents("a.jsonl", b"{\"text\": \"one\"}\n{\"txt\": 1}\n").unwrap_err();
        assert!(bad.to_string().contains("a.jsonl:2"), "{bad}");
        let binary = documents("a.txt", b"one\n\xff\n").unwrap_err();
        assert!(binary.to_string().contains("a.txt:2"), "{binary}");
    }
}
