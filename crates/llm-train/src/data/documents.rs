//! Documents of plain text, for pretraining.

use std::path::PathBuf;

use serde_json::Value;

use super::rows::read_text;
use crate::{Error, Result};

/// A line that stands alone between two documents of one text file.
pub const DOCUMENT_SEPARATOR: &str = "<|endoftext|>";

/// The documents of all files: a `.jsonl` file has one in the `text` of each line, any other file
/// is text in which lines of [`DOCUMENT_SEPARATOR`] stand between documents.
///
/// # Errors
/// A file that cannot be read or is not UTF-8, a line without `text`, or no text at all.
pub fn read_documents(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut documents = Vec::new();
    for path in files {
        let text = read_text(path)?;
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            for (index, line) in text.lines().enumerate() {
                if line.trim().is_empty() {
                    continue;
                }
                let value: Option<Value> = serde_json::from_str(line).ok();
                match value.as_ref().and_then(|value| value.get("text")) {
                    Some(Value::String(text)) => documents.push(text.clone()),
                    _ => {
                        let problem = "is not an object with a string `text`";
                        return Err(Error::line(path, index + 1, problem));
                    }
                }
            }
            continue;
        }
        let mut document = String::new();
        for line in text.split_inclusive('\n') {
            if line.trim_end_matches(['\r', '\n']) == DOCUMENT_SEPARATOR {
                documents.push(std::mem::take(&mut document));
            } else {
                document.push_str(line);
            }
        }
        documents.push(document);
    }
    documents.retain(|document| !document.trim().is_empty());
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
