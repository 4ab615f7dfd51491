//! What a run left in its folder, read again for a diagnosis or a report.
//!
//! Every file may be missing, torn at its end, or written by someone else: what cannot be read is
//! counted, not fatal.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::checks::{self, Checked};
use super::failure::{self, Failure};
use super::lines::read_rows;
use super::rules::Warning;
use super::system::SystemRow;
use crate::config::TrainConfig;
use crate::observe::LogRow;
use crate::{Error, Result};

/// The machine, row by row.
pub const SYSTEM: &str = "system.jsonl";
/// What the rules saw.
pub const WARNINGS: &str = "warnings.jsonl";
/// A file of one value that is larger than this is not ours.
const LARGEST_BYTES: u64 = 64 << 20;

/// A run's folder in memory.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Its path.
    pub path: PathBuf,
    /// The resolved settings as text.
    pub config_text: Option<String>,
    /// The resolved settings, where they are still ours.
    pub config: Option<TrainConfig>,
    /// The log.
    pub rows: Vec<LogRow>,
    /// The machine.
    pub system: Vec<SystemRow>,
    /// What the rules saw while it ran.
    pub warnings: Vec<Warning>,
    /// The checks before training.
    pub checks: Vec<Checked>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Answers to held-out prompts: `prompt`, `expected`, `before`, `after`.
    pub samples: Vec<Value>,
    /// What came of it: `loss`, `exact_match`, `outcome`. A run that did not end has none.
    pub metrics: Option<Value>,
    /// Files and rows that it was trained on.
    pub data: Option<Value>,
    /// Program and machine.
    pub environment: Option<Value>,
    /// Answers to fixed prompts while it trained: `step`, `prompt`, `text`.
    pub on_the_way: Vec<Value>,
    /// Lines of its files that are no rows.
    pub bad_lines: usize,
}

impl Record {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// A path that is no folder of a run, or files that the disk does not give.
    pub fn read(path: &Path) -> Result<Self> {
        let here = |name: &str| path.join(name);
        let mut bad = 0;
        let config_text = text(&here("config_used.yaml"))?;
        let config = config_text
            .as_deref()
            .and_then(|text| TrainConfig::parse(&here("config_used.yaml"), text, &[]).ok());
        let record = Self {
            path: path.to_path_buf(),
            config,
            config_text,
            rows: rows(&here("metrics.jsonl"), &mut bad)?,
            system: rows(&here(SYSTEM), &mut bad)?,
            warnings: rows(&here(WARNINGS), &mut bad)?,
            checks: value(&here(checks::FILE), &mut bad)?.unwrap_or_default(),
            failure: value(&here(failure::FILE), &mut bad)?,
            samples: rows(&here("samples.jsonl"), &mut bad)?,
            metrics: value(&here("metrics.json"), &mut bad)?,
            data: value(&here("data.json"), &mut bad)?,
            environment: value(&here("env.json"), &mut bad)?,
            on_the_way: rows(&here("samples_on_the_way.jsonl"), &mut bad)?,
            bad_lines: bad,
        };
        if record.is_empty() {
            let problem = "is no folder of a run, expected one with config_used.yaml, \
                           metrics.jsonl, checks.json or error.json";
            return Err(Error::input(path.display().to_string(), problem));
        }
        Ok(record)
    }

    fn is_empty(&self) -> bool {
        self.config_text.is_none()
            && self.rows.is_empty()
            && self.checks.is_empty()
            && self.failure.is_none()
    }

    /// The run's name: that of its folder.
    pub fn name(&self) -> String {
        let real = self
            .path
            .canonicalize()
            .unwrap_or_else(|_| self.path.clone());
        let name = real.file_name().unwrap_or(real.as_os_str());
        name.to_string_lossy().into_owned()
    }
}

fn rows<T: DeserializeOwned>(path: &Path, bad: &mut usize) -> Result<Vec<T>> {
    let (rows, torn) = read_rows(path)?;
    *bad += torn;
    Ok(rows)
}

fn value<T: DeserializeOwned>(path: &Path, bad: &mut usize) -> Result<Option<T>> {
    let Some(text) = text(path)? else {
        return Ok(None);
    };
    let value = serde_json::from_str(&text).ok();
    *bad += usize::from(value.is_none());
    Ok(value)
}

/// The text of a file; `None` when there is none, or none of a size that we write.
fn text(path: &Path) -> Result<Option<String>> {
    match std::fs::metadata(path) {
        Ok(file) if file.is_file() && file.len() <= LARGEST_BYTES => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(path)(error)),
    }
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
