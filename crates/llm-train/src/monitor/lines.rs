//! Files of one JSON object a line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Bytes of a file that are read at most: a log of a million rows has less.
const MOST_BYTES: u64 = 256 << 20;

/// A file that grows by whole lines: each row is one write, so a killed run leaves whole lines.
#[derive(Debug)]
pub(super) struct JsonLines {
    path: PathBuf,
    file: File,
}

impl JsonLines {
    /// Opens `path` for appending; a torn last line is closed first, so that it spoils no other.
    pub(super) fn append(path: &Path) -> Result<Self> {
        let mut file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(Error::io(path))?;
        if torn(&mut file).map_err(Error::io(path))? {
            file.write_all(b"\n").map_err(Error::io(path))?;
        }
        let path = path.to_path_buf();
        Ok(Self { path, file })
    }

    /// Writes one row.
    pub(super) fn push(&mut self, row: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string(row)
            .map_err(|error| Error::file(&self.path, format!("cannot hold a row: {error}")))?;
        self.file
            .write_all(format!("{json}\n").as_bytes())
            .map_err(Error::io(&self.path))
    }
}

/// Whether a file ends in the middle of a line.
fn torn(file: &mut File) -> std::io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// The rows of `path` and the number of lines that are none; no file has no rows.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn read_rows<T: DeserializeOwned>(path: &Path) -> Result<(Vec<T>, usize)> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((vec![], 0)),
        Err(error) => return Err(Error::io(path)(error)),
    };
    let (mut rows, mut bad) = (Vec::new(), 0);
    for line in BufReader::new(file.take(MOST_BYTES)).split(b'\n') {
        let line = line.map_err(Error::io(path))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(row) => rows.push(row),
            Err(_) => bad += 1,
        }
    }
    Ok((rows, bad))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, "1\n2\n{\"to").unwrap();
        JsonLines::append(&path).unwrap().push(&3).unwrap();
        assert_eq!(read_rows::<u64>(&path).unwrap(), (vec![1, 2, 3], 1));
        assert_eq!(
            read_rows::<u64>(&folder.path().join("none")).unwrap(),
            (vec![], 0)
        );
    }
}
