//! Where a run goes on, and whether it is still the same run.
//!
//! `resume_from` names a run (its folder, or `latest`) or a checkpoint. A named run is continued in
//! its own folder from its newest checkpoint; one that is damaged is passed over, and the one before
//! it is used. A named checkpoint begins a new run that goes on as that one did, and nothing else
//! will do: when it is damaged, that is an error.
//!
//! A run that goes on has the processes that it had: with another number of them sums are taken in
//! another order, and the last bits differ. A new run from one of its checkpoints may have any number.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::checkpoint::{CONFIG_FILE, Damaged, newest_good, read_progress};
use crate::config::TrainConfig;
use crate::runs::{DATA_FILE, LATEST, latest};
use crate::{Error, Result};

/// Settings that may differ between a run and the one that it goes on from: they say where things
/// are written and how often, not what is computed.
const FREE: [&str; 13] = [
    "stop_after",
    "token_cache",
    "resume_from",
    "output_dir",
    "run_name",
    "logging_steps",
    "save_steps",
    "save_total_limit",
    "save_best_k",
    "sample_steps",
    "sample_prompts",
    "sample_tokens",
    "device",
];

/// The number of processes among a checkpoint's facts; 1 where it is missing.
pub(crate) const PROCESSES: &str = "processes";

/// Where a run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The run that is gone on with, where the checkpoint belongs to one.
    pub run: Option<PathBuf>,
    /// Whether that run's own folder is used again.
    pub in_place: bool,
    /// The checkpoint; `None` when the run was stopped before its first.
    pub checkpoint: Option<PathBuf>,
    /// Newer checkpoints that cannot be used.
    pub damaged: Vec<Damaged>,
}

impl Start {
    /// One line for each checkpoint that was passed over.
    pub fn warnings(&self) -> Vec<String> {
        let used = match &self.checkpoint {
            Some(path) => path.display().to_string(),
            None => "the beginning".to_owned(),
        };
        let line = |damaged: &Damaged| format!("{}; going on from {used}", damaged.problem);
        self.damaged.iter().map(line).collect()
    }
}

/// The run that `resume_from` names, if it names one and not a checkpoint.
///
/// # Errors
/// `latest` where there is no run.
pub fn run_folder(name: &Path, output_dir: &Path) -> Result<Option<PathBuf>> {
    let parent = match name.parent() {
        _ if name.file_name().is_none_or(|last| last != LATEST) => {
            return Ok(name
                .join("checkpoints")
                .is_dir()
                .then(|| name.to_path_buf()));
        }
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => output_dir,
    };
    let none = || {
        let problem = format!("is `latest`, but {} has no run", parent.display());
        Error::input("resume_from", problem)
    };
    latest(parent).map(Some).ok_or_else(none)
}

/// Where the run goes on that `resume_from` names.
///
/// # Errors
/// No such run, or one whose checkpoints are all damaged.
pub fn find(name: &Path, output_dir: &Path) -> Result<Start> {
    let Some(run) = run_folder(name, output_dir)? else {
        let run = name.parent().and_then(Path::parent);
        let run = run.filter(|run| run.join(CONFIG_FILE).is_file());
        return Ok(Start {
            run: run.map(Path::to_path_buf),
            in_place: false,
            checkpoint: Some(name.to_path_buf()),
            damaged: Vec::new(),
        });
    };
    let (checkpoint, damaged) = newest_good(&run.join("checkpoints"))?;
    match (&checkpoint, damaged.first()) {
        (None, Some(first)) => {
            let problem = format!(
                "no checkpoint of {} can be used: {}",
                run.display(),
                first.problem
            );
            Err(Error::input("resume_from", problem))
        }
        _ => Ok(Start {
            run: Some(run),
            in_place: true,
            checkpoint,
            damaged,
        }),
    }
}

/// Fails unless the run that is gone on with had the same settings, data, tokenizer, base model and
/// number of `processes`.
///
/// # Errors
/// A damaged checkpoint, or the first setting, file or number that differs.
pub fn check(
    start: &Start,
    config: &TrainConfig,
    facts: &Map<String, Value>,
    processes: usize,
) -> Result<()> {
    if let Some(folder) = &start.checkpoint {
        let (_, saved) = read_progress(folder)?;
        check_settings(&folder.join(CONFIG_FILE), config)?;
        if start.in_place {
            check_processes(&saved, processes)?;
        }
        return check_facts(&saved, facts);
    }
    // Stopped before its first checkpoint: what its folder says already has to hold all the same.
    let Some(run) = &start.run else {
        return Ok(());
    };
    let settings = run.join(CONFIG_FILE);
    if settings.is_file() {
        check_settings(&settings, config)?;
    }
    let data = run.join(DATA_FILE);
    match std::fs::read_to_string(&data) {
        Err(_) => Ok(()), // not written yet
        Ok(text) => {
            let saved: Value = serde_json::from_str(&text)
                .map_err(|error| Error::file(&data, format!("is not JSON: {error}")))?;
            let none = Map::new();
            let saved = saved["files"].as_object().unwrap_or(&none);
            check_processes(saved, processes)?;
            check_facts(saved, facts)
        }
    }
}

/// Fails unless the settings in a `config_used.yaml` are `config`'s, where they say what is computed.
///
/// # Errors
/// A file that cannot be read, or the first setting that differs.
pub fn check_settings(path: &Path, config: &TrainConfig) -> Result<()> {
    let mut before = computed(&TrainConfig::load(path, &[])?);
    for (key, now) in computed(config) {
        let then = before.remove(&key).unwrap_or(Value::Null);
        if now != then {
            let problem = format!("`{key}` is {now}, but the checkpoint's run had {then}");
            return Err(Error::input("resume_from", problem));
        }
    }
    Ok(())
}

/// The settings that say what is computed.
pub(crate) fn computed(config: &TrainConfig) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(mut map)) => {
            map.retain(|key, _| !FREE.contains(&key.as_str()));
            map
        }
        _ => Map::new(), // a struct with named fields is an object
    }
}

fn check_processes(saved: &Map<String, Value>, now: usize) -> Result<()> {
    let then = match saved.get(PROCESSES) {
        Some(then) => then.clone(),
        None => Value::from(1),
    };
    if then == now {
        return Ok(());
    }
    let problem = format!(
        "the run had {then} processes and now has {now}; start as many, or begin a new run from one \
         of its checkpoints"
    );
    Err(Error::input("resume_from", problem))
}

fn check_facts(saved: &Map<String, Value>, facts: &Map<String, Value>) -> Result<()> {
    for (what, now) in facts {
        let then = saved.get(what).unwrap_or(&Value::Null);
        if hashes(then) != hashes(now) {
            let file = differing(then, now);
            let problem = format!("the {what} differs from that of the checkpoint's run{file}");
            return Err(Error::input("resume_from", problem));
        }
    }
    Ok(())
}

/// What facts are compared by.
pub(crate) fn fingerprints(facts: &Map<String, Value>) -> Vec<Vec<&Value>> {
    facts.values().map(hashes).collect()
}

/// The hashes in a fact: files may have moved.
fn hashes(fact: &Value) -> Vec<&Value> {
    match fact {
        Value::Array(files) => files.iter().map(|file| &file["sha256"]).collect(),
        other => vec![other],
    }
}

/// The first file that is another one now, in brackets; nothing where there are no files.
fn differing(then: &Value, now: &Value) -> String {
    let (Value::Array(then), Value::Array(now)) = (then, now) else {
        return String::new();
    };
    let mut pairs = then.iter().zip(now);
    match pairs.find(|(then, now)| then["sha256"] != now["sha256"]) {
        Some((_, now)) => format!(" ({})", now["path"].as_str().unwrap_or_default()),
        None => format!(" ({} files, had {})", now.len(), then.len()),
    }
}
