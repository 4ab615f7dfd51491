//! Result folders: `<output_dir>/<name>-<fingerprint>/`.
//!
//! | file | what |
//! |---|---|
//! | `predictions.partial.jsonl` | answers so far, while questions are left |
//! | `predictions.jsonl` | a row for every question |
//! | `metrics.json` | the numbers, with what they were made of |
//! | `config_used.yaml` | the resolved settings |
//!
//! The fingerprint is a hash over the settings that matter, the model's files and the data's, so
//! that an evaluation that was stopped goes on where it was, and one of something else never
//! lands in its folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use llm_store::atomic::write_file;
use llm_store::hash::{sha256_bytes, sha256_file};

use super::config::EvalConfig;
use super::record::{self, Record};
use super::report::Report;
use super::subject::Subject;
use crate::config::Settings;
use crate::{Error, Result};

/// The numbers of an evaluation.
pub(super) const METRICS_FILE: &str = "metrics.json";
/// A row for every question.
pub(super) const PREDICTIONS_FILE: &str = "predictions.jsonl";
/// Answers so far.
const PARTIAL_FILE: &str = "predictions.partial.jsonl";
/// The version of these files; it is part of every fingerprint.
pub(super) const FORMAT_VERSION: u32 = 1;
/// Digits of the fingerprint in a folder's name.
const NAME_DIGITS: usize = 12;

/// Where models lie by default, which says nothing about one.
const MODELS_ROOT: &str = "output_models";

/// The folder of one evaluation.
#[derive(Clone, Debug)]
pub struct ResultFolder {
    /// Its path.
    pub path: PathBuf,
    /// The hash of what the answers depend on.
    pub fingerprint: String,
    /// The hash of the data alone: evaluations that share it can be compared row by row.
    pub data_digest: String,
}

/// Answers as they are made.
pub(super) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Adds one record.
    pub(super) fn push(&mut self, record: &Record) -> Result<()> {
        record::append(&self.path, &mut self.file, record)
    }
}

impl ResultFolder {
    /// The folder for `config`, `subject` and the data `files`; it is made if it is not there.
    ///
    /// # Errors
    /// A data file that cannot be read, or a folder that cannot be made.
    pub fn open(config: &EvalConfig, subject: &Subject, files: &[PathBuf]) -> Result<Self> {
        let mut hashes = String::new();
        for file in files {
            hashes.push_str(&sha256_file(file)?);
            hashes.push('\n');
        }
        let data_digest = sha256_bytes(hashes.as_bytes());
        let (version, essence) = (env!("CARGO_PKG_VERSION"), config.essence()?);
        let whole = format!(
            "{version} {FORMAT_VERSION}\n{}\n{data_digest}\n{essence}",
            subject.digest
        );
        let fingerprint = sha256_bytes(whole.as_bytes());
        let short: String = fingerprint.chars().take(NAME_DIGITS).collect();
        let name = match &config.run_name {
            Some(name) => name.clone(),
            None => name_of(config.model_path.as_deref().unwrap_or_default()),
        };
        let path = config.output_dir.join(format!("{name}-{short}"));
        std::fs::create_dir_all(&path).map_err(Error::io(&path))?;
        Ok(Self {
            path,
            fingerprint,
            data_digest,
        })
    }

    /// The answers that stand here already, by question.
    ///
    /// # Errors
    /// A file that cannot be read or that holds something else.
    pub(super) fn answered(&self, total: usize) -> Result<BTreeMap<usize, Record>> {
        let whole = self.path.join(PREDICTIONS_FILE);
        let partial = self.path.join(PARTIAL_FILE);
        let records = if whole.exists() {
            record::read(&whole, false)?
        } else if partial.exists() {
            record::read(&partial, true)?
        } else {
            Vec::new()
        };
        let kept = records.into_iter().filter(|record| record.index < total);
        Ok(kept.map(|record| (record.index, record)).collect())
    }

    /// Opens the file of answers so far, with `records` in it.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn append(&self, records: &BTreeMap<usize, Record>) -> Result<Log> {
        let path = self.path.join(PARTIAL_FILE);
        let records: Vec<Record> = records.values().cloned().collect();
        // Written anew, so that a cut last line is gone before the next one is put behind it.
        write_file(&path, record::to_lines(&path, &records)?.as_bytes())?;
        let file = File::options().append(true).open(&path);
        Ok(Log {
            file: file.map_err(Error::io(&path))?,
            path,
        })
    }

    /// Writes the results, each file whole or not at all, the numbers last.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn finish(
        &self,
        config: &EvalConfig,
        report: &Report,
        records: &[Record],
    ) -> Result<()> {
        let write = |name: &str, text: String| write_file(&self.path.join(name), text.as_bytes());
        let rows = self.path.join(PREDICTIONS_FILE);
        write("config_used.yaml", config.yaml()?)?;
        write(PREDICTIONS_FILE, record::to_lines(&rows, records)?)?;
        if let Some(samples) = super::humaneval::samples(records) {
            write(super::humaneval::SAMPLES_FILE, samples)?;
        }
        write(METRICS_FILE, report.to_json()?)?;
        match std::fs::remove_file(self.path.join(PARTIAL_FILE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(&self.path)(error))
            }
            _ => Ok(()),
        }
    }
}

/// A folder name from the last parts of a model's path: `runs-latest-model`, `Qwen-Qwen3-0.6B`.
fn name_of(model: &str) -> String {
    let parts: Vec<String> = Path::new(model)
        .components()
        .filter_map(|part| part.as_os_str().to_str())
        .map(|part| {
            part.chars()
                .filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c))
        })
        .map(|part| part.collect::<String>())
        .map(|part| part.trim_matches('.').to_owned())
        .filter(|part| !part.is_empty() && part != MODELS_ROOT)
        .collect();
    let last = parts.len().saturating_sub(3);
    let name = parts.get(last..).unwrap_or_default().join("-");
    if name.is_empty() { "eval".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_parts_of_a_path() {
        for (model, want) in [
            ("output_models/runs/latest/model", "runs-latest-model"),
            ("output_models/deeper-base/", "deeper-base"),
            ("Qwen/Qwen3-0.6B", "Qwen-Qwen3-0.6B"),
            ("../..", "eval"),
            ("/a b/ç/.x", "ab-x"),
        ] {
            assert_eq!(name_of(model), want);
        }
    }
}
