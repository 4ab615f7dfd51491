//! Logs of JSON lines that grow with the steps of a run, when the run goes on from a checkpoint.
//!
//! A killed process may have logged steps behind its last checkpoint, and a power cut may leave
//! half a line. The run that goes on does those steps again, so its log has to end at the checkpoint.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use serde::Deserialize;

use crate::{Error, Result};

/// No line of a log of ours is longer.
const LONGEST_LINE: u64 = 1 << 20;

/// The step of a line of a log.
#[derive(Deserialize)]
struct Stepped {
    step: u64,
}

/// The bytes of a log's whole lines up to `step`: what stands behind belongs to steps that a run
/// going on from `step` will do again. 0 without a log.
fn bytes_until(path: &Path, step: u64) -> Result<u64> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        opened => opened.map_err(Error::io(path))?,
    };
    let mut reader = BufReader::new(file);
    let (mut kept, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let read = reader
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .map_err(Error::io(path))?;
        let row = serde_json::from_slice::<Stepped>(&line);
        match row {
            Ok(row) if row.step <= step && line.ends_with(b"\n") => kept += read as u64,
            _ => return Ok(kept), // the end, a torn line, or a later step
        }
    }
}

/// Cuts a log behind the whole lines up to `step`.
///
/// # Errors
/// The disk refuses.
pub fn cut_log(path: &Path, step: u64) -> Result<()> {
    let kept = bytes_until(path, step)?;
    if path.exists() {
        let file = File::options().write(true).open(path);
        let file = file.map_err(Error::io(path))?;
        file.set_len(kept).map_err(Error::io(path))?;
        file.sync_all().map_err(Error::io(path))?;
    }
    Ok(())
}

/// Begins the log `to` with the whole lines of `from` up to `step`.
///
/// # Errors
/// The disk refuses.
pub fn copy_log(from: &Path, to: &Path, step: u64) -> Result<()> {
    let kept = bytes_until(from, step)?;
    if kept == 0 {
        return Ok(());
    }
    let reader = File::open(from).map_err(Error::io(from))?;
    let mut writer = File::options()
        .append(true)
        .create(true)
        .open(to)
        .map_err(Error::io(to))?;
    std::io::copy(&mut reader.take(kept), &mut writer).map_err(Error::io(to))?;
    writer.flush().map_err(Error::io(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = "{\"step\":1}\n{\"step\":2,\"loss\":0.5}\n{\"step\":2}\n{\"step\":4}\n";

    #[test]
    fn a_log_is_cut_behind_its_last_whole_line_of_a_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        for (text, step, lines) in [
            (ROWS.to_owned(), 9, 4),
            (ROWS.to_owned(), 3, 3),
            (ROWS.to_owned(), 2, 3),
            (ROWS.to_owned(), 0, 0),
            (format!("{ROWS}{{\"step\":5"), 9, 4),
            (format!("{ROWS}{{\"step\":5}}"), 9, 4),
            (format!("{ROWS}no json\n{ROWS}"), 9, 4),
            (format!("{ROWS}\0\0\0"), 9, 4),
            (String::new(), 9, 0),
        ] {
            std::fs::write(&path, &text).unwrap();
            cut_log(&path, step).unwrap();
            let left = std::fs::read_to_string(&path).unwrap();
            assert_eq!(left.lines().count(), lines, "{text:?} until {step}");
            assert!(ROWS.starts_with(&left), "{left:?}");
            let copy = folder.path().join("copy.jsonl");
            std::fs::write(&copy, "").unwrap();
            std::fs::write(&path, text).unwrap();
            copy_log(&path, &copy, step).unwrap();
            assert_eq!(std::fs::read_to_string(&copy).unwrap(), left);
        }
        cut_log(&folder.path().join("none"), 3).unwrap();
        copy_log(&folder.path().join("none"), &path, 3).unwrap();
    }
}
