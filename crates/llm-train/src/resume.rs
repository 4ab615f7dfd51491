//! Whether a checkpoint belongs to a run.

use std::path::Path;

use serde_json::{Map, Value};

use crate::checkpoint::{CONFIG_FILE, read_progress};
use crate::config::TrainConfig;
use crate::{Error, Result};

/// Settings that may differ between a run and the one that it goes on from: they say where things
/// are written and how often, not what is computed.
const FREE: [&str; 8] = [
    "token_cache",
    "resume_from",
    "output_dir",
    "run_name",
    "logging_steps",
    "save_steps",
    "save_total_limit",
    "device",
];

/// Fails unless the checkpoint in `folder` was written by a run with the same settings, data and
/// base model.
///
/// # Errors
/// A damaged checkpoint, or the first setting or file that differs.
pub fn check(folder: &Path, config: &TrainConfig, facts: &Map<String, Value>) -> Result<()> {
    let (_, saved) = read_progress(folder)?;
    let path = folder.join(CONFIG_FILE);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let before = TrainConfig::parse(&path, &text, &[])?;
    for (key, now) in settings(config) {
        let then = settings(&before).remove(&key).unwrap_or(Value::Null);
        if now != then && !FREE.contains(&key.as_str()) {
            let problem = format!("`{key}` is {now}, but the checkpoint's run had {then}");
            return Err(Error::input("resume_from", problem));
        }
    }
    let differing = facts
        .iter()
        .find(|(key, value)| hashes(saved.get(*key)) != hashes(Some(value)));
    match differing {
        Some((what, _)) => {
            let problem = format!("the {what} differs from that of the checkpoint's run");
            Err(Error::input("resume_from", problem))
        }
        None => Ok(()),
    }
}

fn settings(config: &TrainConfig) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(), // a struct with named fields is an object
    }
}

/// The hashes in a fact: files may have moved.
fn hashes(fact: Option<&Value>) -> Vec<&Value> {
    match fact {
        Some(Value::Array(files)) => files.iter().map(|file| &file["sha256"]).collect(),
        other => other.into_iter().collect(),
    }
}
