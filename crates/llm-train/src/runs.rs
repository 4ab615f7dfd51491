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
//! | `samples_on_the_way.jsonl` | what the model said to fixed prompts during training |
//! | `checks.json` | what the checks before training found |
//! | `system.jsonl`, `warnings.jsonl` | the machine at each row of the log; what the rules saw |
//! | `logs/` | event files for TensorBoard |
//! | `error.json`, `report.html` | why the run failed; the run as one page |
//! | `lock` | held by the process that writes here |
//!
//! `latest` beside the folders points to the newest run. It is replaced by one rename, so it is
//! valid at every moment. The lock is the operating system's: it ends with its process, however
//! that ends, and two processes never write to one run.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use llm_store::atomic::{remove_leftovers, sync_folder, write_file};
use serde_json::{Value, json};

use crate::{Error, Result};

/// The name of the link to the newest run.
pub const LATEST: &str = "latest";
/// The hashes of what the run reads.
pub const DATA_FILE: &str = "data.json";
/// The file that a run's process locks.
const LOCK: &str = "lock";
/// Runs that may start under one name in one second.
const MOST_IN_ONE_SECOND: u32 = 1000;

/// The folder of one run, locked as long as this value or a clone of it lives.
#[derive(Clone, Debug)]
pub struct RunFolder {
    /// Its path.
    pub path: PathBuf,
    /// Whether the run began in another process.
    pub resumed: bool,
    /// Nobody reads it: it holds the lock.
    _lock: Arc<File>,
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
                    let run = Self::begin(path)?;
                    point_latest(output_dir, &folder)?;
                    return Ok(run);
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

    /// Makes a folder for a run at exactly `path`, as a cell of a sweep has it; its parent is there.
    ///
    /// # Errors
    /// The folder is there already or cannot be made.
    pub fn create_at(path: &Path) -> Result<Self> {
        std::fs::create_dir(path).map_err(Error::io(path))?;
        Self::begin(path.to_path_buf())
    }

    /// Takes a new, empty folder into use.
    fn begin(path: PathBuf) -> Result<Self> {
        let lock = lock(&path)?;
        let checkpoints = path.join("checkpoints");
        std::fs::create_dir(&checkpoints).map_err(Error::io(&checkpoints))?;
        sync_folder(&path)?;
        if let Some(parent) = path.parent().filter(|parent| parent.is_dir()) {
            sync_folder(parent)?;
        }
        Ok(Self {
            path,
            resumed: false,
            _lock: lock,
        })
    }

    /// Goes on in the folder of a run that another process began and no living process writes to;
    /// what a killed one left under temporary names is removed.
    ///
    /// # Errors
    /// The run's process still lives, or the folder cannot be read.
    pub fn reopen(path: &Path) -> Result<Self> {
        let lock = lock(path)?;
        let run = Self {
            path: path.to_path_buf(),
            resumed: true,
            _lock: lock,
        };
        let checkpoints = run.checkpoints();
        std::fs::create_dir_all(&checkpoints).map_err(Error::io(&checkpoints))?;
        remove_leftovers(&run.path)?;
        remove_leftovers(&checkpoints)?;
        let place = (
            path.parent(),
            path.file_name().and_then(|name| name.to_str()),
        );
        if let (Some(parent), Some(name)) = place
            && parent.join(LATEST).symlink_metadata().is_ok()
        {
            point_latest(parent, name)?;
        }
        Ok(run)
    }

    /// Whether the run has its result: a run writes `metrics.json` last.
    pub fn is_finished(&self) -> bool {
        is_finished(&self.path)
    }

    /// The logs that grow with the steps; a run that goes on cuts them at the step of its checkpoint.
    pub fn logs(&self) -> [PathBuf; 4] {
        use crate::monitor::record::{SYSTEM, WARNINGS};
        let [system, warnings] = [SYSTEM, WARNINGS].map(|name| self.path.join(name));
        [self.metrics(), self.samples(), system, warnings]
    }

    /// Where the samples taken on the way go.
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples_on_the_way.jsonl")
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

/// Whether the run in a folder has its result.
pub fn is_finished(path: &Path) -> bool {
    path.join("metrics.json").is_file()
}

/// Locks a run's folder for this process.
fn lock(path: &Path) -> Result<Arc<File>> {
    let file_path = path.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file_path)
        .map_err(Error::io(&file_path))?;
    match file.try_lock() {
        Ok(()) => Ok(Arc::new(file)),
        Err(TryLockError::WouldBlock) => {
            let problem = "is being written by a process that still runs";
            Err(Error::input(path.display().to_string(), problem))
        }
        // Some network disks have no locks: such a run is as it was before there were any.
        Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
            Ok(Arc::new(file))
        }
        Err(TryLockError::Error(error)) => Err(Error::io(&file_path)(error)),
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
        "instructions": instruction_set(),
        "RAYON_NUM_THREADS": variable("RAYON_NUM_THREADS"),
        "device": device,
    })
}

/// The vector instructions that the kernels choose by: with others the last bits may differ.
fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512vl") {
            return "AVX-512";
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return "AVX2";
        }
    }
    "portable"
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
    })?;
    Ok(sync_folder(output_dir)?)
}

/// The run that `latest` in a folder of runs stands for, if there is one.
pub fn latest(output_dir: &Path) -> Option<PathBuf> {
    let link = output_dir.join(LATEST);
    let name = match std::fs::read_link(&link) {
        Ok(target) => target,
        Err(_) => PathBuf::from(std::fs::read_to_string(&link).ok()?.trim()), // see point_latest
    };
    let path = output_dir.join(name.file_name()?);
    path.is_dir().then_some(path)
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

    #[test]
    fn a_run_has_one_writer_and_a_dead_one_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::create(folder.path(), "x", UNIX_EPOCH).unwrap();
        let error = RunFolder::reopen(&run.path).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("still runs"), "{error}");
        let path = run.path.clone();
        let clone = run.clone();
        drop(run);
        assert!(RunFolder::reopen(&path).is_err(), "a clone holds the lock");
        drop(clone);
        let left = path.join("checkpoints/.step-00000001.12-3.tmp");
        std::fs::create_dir(&left).unwrap();
        let other = RunFolder::create(folder.path(), "y", UNIX_EPOCH).unwrap();
        assert_eq!(latest(folder.path()).unwrap(), other.path);
        let again = RunFolder::reopen(&path).unwrap();
        assert!(again.resumed && !left.exists());
        assert_eq!(latest(folder.path()).unwrap(), path);
        assert_eq!(latest(&path), None);
    }
}
