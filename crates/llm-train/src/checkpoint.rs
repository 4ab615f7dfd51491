//! Stopping and going on.
//!
//! A checkpoint is a folder `step-%08d` with the trained tensors, the optimizer's moments, where
//! the run stands, and the resolved configuration, built under a temporary name and renamed, its
//! manifest (size and SHA-256 of each file) written last. Generators need no state of their own:
//! row order and dropout masks are functions of the seed, the epoch and the step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use llm_store::atomic::FolderWriter;
use llm_store::safetensors::{SafetensorsFile, write};
use serde::{Deserialize, Serialize};

use crate::step::Stepper;
use crate::{Error, Result};

/// The trained tensors' file.
pub const PARAMETERS_FILE: &str = "parameters.safetensors";
/// The moments' file.
pub const OPTIMIZER_FILE: &str = "optimizer.safetensors";
/// Where the run stands.
pub const STATE_FILE: &str = "state.json";
/// The resolved configuration.
pub const CONFIG_FILE: &str = "config_used.yaml";

/// Where a run stands, apart from its tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Optimizer steps done.
    pub step: u64,
    /// The epoch of the last row read, from 0.
    pub epoch: u64,
    /// Rows of that epoch already read.
    pub position: usize,
    /// Step and value of the lowest held-out loss.
    pub best: Option<(u64, f64)>,
    /// Evaluations since then.
    pub evaluations_without_best: u64,
}

impl Progress {
    /// Takes a held-out loss into account.
    pub fn evaluated(&mut self, step: u64, loss: f64) {
        if self.best.is_none_or(|(_, best)| loss < best) {
            self.best = Some((step, loss));
            self.evaluations_without_best = 0;
        } else {
            self.evaluations_without_best += 1;
        }
    }

    /// The step of the lowest held-out loss.
    pub fn best_step(&self) -> Option<u64> {
        self.best.map(|(step, _)| step)
    }
}

/// Where checkpoints go and what they say beside the run's state.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// The folder that holds them.
    pub folder: PathBuf,
    /// The resolved configuration, as YAML.
    pub config: String,
    /// Facts that a resumed run must share: hashes of data and base.
    pub facts: serde_json::Map<String, serde_json::Value>,
    /// How many to keep beside the best one; 0 keeps all.
    pub keep: usize,
}

impl Checkpoints {
    /// Writes a checkpoint and removes those that are too many; the new folder's path.
    ///
    /// # Errors
    /// The disk refuses; nothing stands at the path then.
    pub fn save(&self, progress: &Progress, stepper: &Stepper) -> Result<PathBuf> {
        let path = self.folder.join(folder_name(progress.step));
        let writer = FolderWriter::create(&path, true)?;
        let parameters = stepper
            .parameters
            .iter()
            .map(|(name, var)| (name.to_owned(), var.as_detached_tensor()))
            .collect();
        put(&writer, &path, PARAMETERS_FILE, &parameters)?;
        let moments = stepper.optimizer.state(&stepper.parameters)?;
        put(&writer, &path, OPTIMIZER_FILE, &moments)?;
        let state = serde_json::to_string_pretty(progress)
            .map_err(|error| Error::file(path.join(STATE_FILE), error.to_string()))?;
        writer.write(STATE_FILE, format!("{state}\n").as_bytes())?;
        writer.write(CONFIG_FILE, self.config.as_bytes())?;
        writer.commit_with_manifest(self.facts.clone())?;
        self.prune(progress)?;
        Ok(path)
    }

    fn prune(&self, progress: &Progress) -> Result<()> {
        if self.keep == 0 {
            return Ok(());
        }
        let mut steps = list(&self.folder)?;
        steps.retain(|&(step, _)| progress.best_step() != Some(step));
        let surplus = steps.len().saturating_sub(self.keep);
        for (_, path) in steps.into_iter().take(surplus) {
            std::fs::remove_dir_all(&path).map_err(Error::io(&path))?;
        }
        Ok(())
    }
}

/// The name of the checkpoint of a step.
pub fn folder_name(step: u64) -> String {
    format!("step-{step:08}")
}

/// The checkpoints of a folder by step, the oldest first.
///
/// # Errors
/// The folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let step = name
            .strip_prefix("step-")
            .and_then(|step| step.parse::<u64>().ok());
        if let Some(step) = step.filter(|&step| name == folder_name(step) && path.is_dir()) {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found)
}

fn put(
    writer: &FolderWriter,
    folder: &Path,
    name: &str,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<()> {
    let path = folder.join(name);
    Ok(writer.write_with(name, |file| write(&path, file, tensors, &BTreeMap::new()))?)
}

/// A checkpoint's manifest facts and its state, after every file was checked against the manifest.
///
/// # Errors
/// A checkpoint that is missing, damaged or of another format.
pub fn read_progress(
    folder: &Path,
) -> Result<(Progress, serde_json::Map<String, serde_json::Value>)> {
    let manifest = llm_store::manifest::verify(folder)?;
    let path = folder.join(STATE_FILE);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let progress = serde_json::from_str(&text)
        .map_err(|error| Error::file(&path, format!("is not a run's state: {error}")))?;
    Ok((progress, manifest.extra))
}

/// Puts a checkpoint's tensors back into `stepper` and returns where the run stood.
///
/// # Errors
/// As [`read_progress`], or tensors of other names or shapes than the run's.
pub fn resume(folder: &Path, stepper: &mut Stepper) -> Result<Progress> {
    let (progress, _) = read_progress(folder)?;
    let parameters = take(&folder.join(PARAMETERS_FILE))?;
    let moments = take(&folder.join(OPTIMIZER_FILE))?;
    if let Some(name) = parameters
        .keys()
        .find(|name| stepper.parameters.get(name).is_none())
    {
        let problem = "is in the checkpoint but is not trained in this run";
        return Err(llm_core::Error::tensor(name, problem).into());
    }
    stepper.parameters.assign(&parameters)?;
    stepper
        .optimizer
        .load(&stepper.parameters, progress.step, &moments)?;
    Ok(progress)
}

fn take(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let file = SafetensorsFile::open(path)?;
    let names: Vec<&String> = file.header().tensors.keys().collect();
    names
        .into_iter()
        .map(|name| Ok((name.clone(), file.tensor(name, false)?)))
        .collect()
}
