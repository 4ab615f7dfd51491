//! JSON lines of an evaluation's data, with the place of each.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::data::find_files;
use crate::{Error, Result};

/// A line that was read.
#[derive(Clone, Debug)]
pub(super) struct Line<T> {
    /// Its file.
    pub(super) file: Arc<PathBuf>,
    /// Its number, counted from 1.
    pub(super) number: usize,
    /// What it says.
    pub(super) value: T,
}

impl<T> Line<T> {
    /// File and line, for people.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file.display(), self.number)
    }

    /// What is wrong with it.
    pub(super) fn error(&self, problem: impl Into<String>) -> Error {
        Error::line(self.file.as_ref(), self.number, problem)
    }
}

/// The lines of all files that `path` and `pattern` mean, empty ones left out, and the files. `form`
/// says what a line should be: "is not {form}".
///
/// # Errors
/// Files that cannot be found or read, or a line that is not a `T`.
pub(super) fn read<T: DeserializeOwned>(
    path: &Path,
    pattern: &str,
    form: &str,
) -> Result<(Vec<Line<T>>, Vec<PathBuf>)> {
    let files = find_files(path, pattern)?;
    let mut lines = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).map_err(Error::io(file))?;
        let file = Arc::new(file.clone());
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let value = serde_json::from_str(line).map_err(|error| {
                Error::line(file.as_ref(), index + 1, format!("is not {form} ({error})"))
            })?;
            lines.push(Line {
                file: file.clone(),
                number: index + 1,
                value,
            });
        }
    }
    Ok((lines, files))
}
