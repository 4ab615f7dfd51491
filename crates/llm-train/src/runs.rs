//! Run folders: `<output_dir>/<time>-<name>/`.
//!
//! | file | what |
//! |---|---|
//! | `config_used.yaml` | the resolved settings |
//! | `env.json` | program, machine, threads |
//! | `data.json` | size and SHA-256 of every data file, and of the base model |
//! | `metrics.jsonl` | the log, all digits |
//! | `checkpoints/` | `step-%08d` folders |
//! | `model/` | the result: a model folder or a PEFT adapter |
//! | `samples.jsonl` | answers on held-out rows |
//!
//! `latest` beside the folders points to the newest run. It is replaced by one rename, so it is
//! valid at every moment.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use llm_store::atomic::write_file;
use serde_json::{Value, json};

use crate::{Error, Result};

/// The name of the link to the newest run.
pub const LATEST: &str = "latest";
/// Runs that may start under one name in one second.
const MOST_IN_ONE_SECOND: u32 = 1000;

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    /// Its path.
    pub path: PathBuf,
}

impl RunFolder {
    /// Makes a new folder under `output_dir` for a run that starts `now`, and points `latest` to it.
    ///
    /// Two runs that start in one second under one name get different folders: the second one's
    /// name ends in `-2`.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn create(output_dir: &Path, name: &str, now: SystemTime) -> Result<Self> {
        std::fs::create_dir_all(output_dir).map_err(Error::io(output_dir))?;
        let seconds = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let base = format!("{}-{name}", stamp(seconds));
        for attempt in 1..=MOST_IN_ONE_SECOND {
            let folder = if attempt == 1 {
                base.clone()
            } else {
                format!("{base}-{attempt}")
            };
            let path = output_dir.join(&folder);
            // `create_dir` fails when the name is taken, so two processes never share a folder.
            match std::fs::create_dir(&path) {
                Ok(()) => {
                    let checkpoints = path.join("checkpoints");
                    std::fs::create_dir(&checkpoints).map_err(Error::io(&checkpoints))?;
                    point_latest(output_dir, &folder)?;
                    return Ok(Self { path });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io(&path)(error)),
            }
        }
        Err(Error::file(
            output_dir.join(base),
            "and its next thousand names are taken",
        ))
    }

    /// Writes one of the run's files, whole or not at all.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(write_file(&self.path.join(name), text.as_bytes())?)
    }

    /// Writes one of the run's files as JSON.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_json(&self, name: &str, value: &Value) -> Result<()> {
        self.write(name, &format!("{value:#}\n"))
    }

    /// Where checkpoints go.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Where the checkpoint of `step` goes.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoints()
            .join(crate::checkpoint::folder_name(step))
    }

    /// Where the result goes.
    pub fn model(&self) -> PathBuf {
        self.path.join("model")
    }

    /// Where the log goes.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }
}

/// What `env.json` says of the program and the machine.
pub fn environment(device: &str) -> Value {
    let variable = |name: &str| std::env::var(name).ok();
    json!({
        "program": concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "RAYON_NUM_THREADS": variable("RAYON_NUM_THREADS"),
        "device": device,
    })
}

/// Size and SHA-256 of each file.
///
/// # Errors
/// A file cannot be read.
pub fn file_hashes(files: &[PathBuf]) -> Result<Value> {
    let mut list = Vec::new();
    for path in files {
        let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
        let sha256 = llm_store::hash::sha256_file(path)?;
        list.push(json!({ "path": path, "size": size, "sha256": sha256 }));
    }
    Ok(Value::Array(list))
}

#[cfg(unix)]
fn point_latest(output_dir: &Path, folder: &str) -> Result<()> {
    let temporary = output_dir.join(format!(".{LATEST}-{}-{folder}", std::process::id()));
    std::os::unix::fs::symlink(folder, &temporary).map_err(Error::io(&temporary))?;
    let link = output_dir.join(LATEST);
    std::fs::rename(&temporary, &link).map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        Error::io(&link)(error)
    })
}

/// Links need a privilege on Windows: a file that holds the folder's name serves.
#[cfg(not(unix))]
fn point_latest(output_dir: &Path, folder: &str) -> Result<()> {
    Ok(write_file(&output_dir.join(LATEST), folder.as_bytes())?)
}

/// `seconds` after 1970 as `2026-01-31_23-59-59`, UTC.
pub fn stamp(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}_{h:02}-{m:02}-{s:02}")
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut left) = (1970, days);
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if left < length {
            break;
        }
        left -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn stamps_are_the_calendar() {
        for (seconds, want) in [
            (0, "1970-01-01_00-00-00"),
            (951_782_400, "2000-02-29_00-00-00"),
            (1_705_314_645, "2024-01-15_10-30-45"),
            (4_107_542_399, "2100-02-28_23-59-59"),
            (4_107_542_400, "2100-03-01_00-00-00"),
        ] {
            assert_eq!(stamp(seconds), want);
        }
    }

    #[test]
    fn runs_of_one_second_do_not_collide_and_latest_is_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_705_314_645);
        let runs: Vec<RunFolder> = (0..3)
            .map(|_| RunFolder::create(folder.path(), "x", now).unwrap())
            .collect();
        let names: Vec<_> = runs
            .iter()
            .map(|run| run.path.file_name().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "2024-01-15_10-30-45-x",
                "2024-01-15_10-30-45-x-2",
                "2024-01-15_10-30-45-x-3"
            ]
        );
        runs[2].write("note.txt", "here").unwrap();
        let through = folder.path().join(LATEST).join("note.txt");
        #[cfg(unix)]
        assert_eq!(std::fs::read_to_string(through).unwrap(), "here");
    }

    #[test]
    fn an_output_folder_that_cannot_be_made_is_an_io_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = RunFolder::create(&file.join("runs"), "x", UNIX_EPOCH).unwrap_err();
        assert_eq!(error.exit_code(), 3);
    }
}
