//! Stopping and going on.
//!
//! A checkpoint is a folder `step-%08d` with the trained tensors, the optimizer's moments, where
//! the run stands, and the resolved configuration, built under a temporary name and renamed, its
//! manifest (size and SHA-256 of each file) written last. Generators need no state of their own:
//! row order and dropout masks are functions of the seed, the epoch and the step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use llm_store::atomic::{FolderWriter, remove_folder};
use llm_store::safetensors::{SafetensorsFile, write};
use serde::{Deserialize, Serialize};

use crate::objective::{Measures, Rollout};
use crate::scaler::LossScaler;
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
    /// Step and value of the lowest held-out losses, the lowest first, as many as are kept.
    #[serde(default)]
    pub ranked: Vec<(u64, f64)>,
    /// The loss of the last step.
    #[serde(default)]
    pub last_loss: Option<f64>,
    /// The last held-out loss.
    #[serde(default)]
    pub last_val: Option<f64>,
    /// What the next row of the log starts from.
    #[serde(default)]
    pub unlogged: Unlogged,
    /// Answers that were drawn and have optimizer steps left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// The factor on the loss, where the run has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaler: Option<LossScaler>,
}

/// The steps since the last row of the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unlogged {
    /// The sum of their losses.
    pub loss: f64,
    /// Their number.
    pub steps: u64,
    /// What was measured beside the loss.
    #[serde(default, skip_serializing_if = "Measures::is_empty")]
    pub measures: Measures,
}

impl Progress {
    /// Takes a held-out loss into account; whether it is among the `keep` lowest.
    pub fn evaluated(&mut self, step: u64, loss: f64, keep: usize) -> bool {
        self.last_val = Some(loss);
        if self.best.is_none_or(|(_, best)| loss < best) {
            self.best = Some((step, loss));
            self.evaluations_without_best = 0;
        } else {
            self.evaluations_without_best += 1;
        }
        // Behind its equals: the earlier one of two equal losses is the better one.
        let place = self.ranked.partition_point(|&(_, other)| other <= loss);
        self.ranked.insert(place, (step, loss));
        self.ranked.truncate(keep);
        place < keep
    }

    /// The step of the lowest held-out loss.
    pub fn best_step(&self) -> Option<u64> {
        self.best.map(|(step, _)| step)
    }

    /// Whether the last `patience` evaluations brought no new lowest loss.
    pub fn has_stalled(&self, patience: Option<u64>) -> bool {
        patience.is_some_and(|patience| self.evaluations_without_best >= patience)
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
    /// How many of the newest to keep beside the best ones; 0 keeps all.
    pub keep: usize,
    /// The step that this process went on from: its checkpoint is never removed.
    pub resumed: Option<u64>,
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
        let progress = Progress {
            scaler: stepper.scaler,
            ..progress.clone()
        };
        let state = serde_json::to_string_pretty(&progress)
            .map_err(|error| Error::file(path.join(STATE_FILE), error.to_string()))?;
        writer.write(STATE_FILE, format!("{state}\n").as_bytes())?;
        writer.write(CONFIG_FILE, self.config.as_bytes())?;
        writer.commit_with_manifest(self.facts.clone())?;
        self.prune(&progress)?;
        Ok(path)
    }

    /// Removes the oldest of too many checkpoints, after a new one stands: never the best ones, the
    /// one that was gone on from, or one of a later step.
    fn prune(&self, progress: &Progress) -> Result<()> {
        if self.keep == 0 {
            return Ok(());
        }
        let mut steps = list(&self.folder)?;
        let best = |step: u64| progress.ranked.iter().any(|&(kept, _)| kept == step);
        steps.retain(|&(step, _)| {
            step <= progress.step && !best(step) && self.resumed != Some(step)
        });
        let surplus = steps.len().saturating_sub(self.keep);
        for (_, path) in steps.into_iter().take(surplus) {
            remove_folder(&path)?;
        }
        Ok(())
    }
}

/// A checkpoint that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Its folder.
    pub path: PathBuf,
    /// What is wrong with which file.
    pub problem: String,
}

/// The newest checkpoint of a folder whose files are as its manifest says, and the newer ones that
/// are not.
///
/// # Errors
/// The folder cannot be read.
pub fn newest_good(folder: &Path) -> Result<(Option<PathBuf>, Vec<Damaged>)> {
    let mut damaged = Vec::new();
    for (_, path) in list(folder)?.into_iter().rev() {
        match read_progress(&path) {
            Ok(_) => return Ok((Some(path), damaged)),
            Err(error) => {
                let problem = error.to_string();
                damaged.push(Damaged { path, problem });
            }
        }
    }
    Ok((None, damaged))
}

/// Gives a damaged checkpoint another name, `damaged-step-…`, so that the run can write its own.
///
/// # Errors
/// The disk refuses.
pub fn set_aside(damaged: &Damaged) -> Result<()> {
    let path = &damaged.path;
    let name = path.file_name().and_then(|name| name.to_str());
    let aside = path.with_file_name(format!("damaged-{}", name.unwrap_or_default()));
    match std::fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io(&aside)(error));
        }
        _ => {}
    }
    std::fs::rename(path, &aside).map_err(Error::io(path))
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
    if let (Some(now), Some(then)) = (&mut stepper.scaler, progress.scaler) {
        if !then.is_sound() {
            let path = folder.join(STATE_FILE);
            return Err(Error::file(path, "has a loss scale that no run comes to"));
        }
        *now = then;
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::MicroBatch;

    #[test]
    fn the_lowest_losses_are_ranked_and_the_earlier_of_equal_ones_is_better() {
        let mut progress = Progress::default();
        let entered: Vec<bool> = [5.0, 3.0, 4.0, 3.0, 6.0, 1.0]
            .into_iter()
            .enumerate()
            .map(|(at, loss)| progress.evaluated(at as u64, loss, 2))
            .collect();
        assert_eq!(entered, [true, true, true, true, false, true]);
        assert_eq!(progress.ranked, [(5, 1.0), (1, 3.0)]);
        assert_eq!(progress.best, Some((5, 1.0)));
        assert!(!progress.evaluated(9, 0.5, 0));
        assert!(progress.ranked.is_empty() && progress.best_step() == Some(9));
    }

    #[test]
    fn a_run_stalls_at_the_right_evaluation() {
        let curve = [3.0, 2.0, 1.5, 1.6, 1.7, 1.4, 1.4, 1.5, 1.6, 1.0];
        let stops_at = |patience: Option<u64>| {
            let mut progress = Progress::default();
            curve.iter().position(|&loss| {
                progress.evaluated(0, loss, 1);
                progress.has_stalled(patience)
            })
        };
        assert_eq!(stops_at(Some(1)), Some(3));
        assert_eq!(stops_at(Some(2)), Some(4));
        assert_eq!(stops_at(Some(3)), Some(8));
        assert_eq!(stops_at(Some(4)), None);
        assert_eq!(stops_at(None), None);
    }

    #[test]
    fn a_state_reads_back_to_the_last_bit() {
        // Sums and quotients of odd numbers: none of them is short in decimal digits.
        for k in 1..200_u64 {
            let value = (k as f64).sqrt() / 3.0 + 1.0 / (k as f64 + 0.1);
            let mut measures = Measures::default();
            measures.add("kl", value / 7.0, 3.0);
            let answers = MicroBatch {
                old: vec![value, -value / 3.0],
                ..MicroBatch::default()
            };
            let progress = Progress {
                step: k,
                best: Some((k, value)),
                ranked: vec![(k, value * 7.0)],
                last_loss: Some(value.exp()),
                last_val: Some(value.ln()),
                unlogged: Unlogged {
                    loss: value * 1e-7,
                    steps: k,
                    measures,
                },
                rollout: Some(Rollout {
                    steps: 1,
                    micro_batches: vec![answers],
                }),
                ..Progress::default()
            };
            let text = serde_json::to_string(&progress).unwrap();
            assert_eq!(serde_json::from_str::<Progress>(&text).unwrap(), progress);
        }
    }
}
