//! Rows of the evaluation that also stand in the training data measure memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config::EvalConfig;
use super::material::{Material, asked, place};
use crate::config::TrainConfig;
use crate::data::{DataFormat, Row, find_files, read_rows, split_rows};
use crate::quality::leakage;
use crate::{Error, Result};

/// Leaking rows that are named.
const SHOWN: usize = 5;

/// What training data and evaluation share, by their prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leakage {
    /// Where the training data was found.
    pub source: String,
    /// Rows that were trained on.
    pub training_rows: usize,
    /// Rows of the evaluation whose prompt was trained on.
    pub rows: usize,
    /// How they are alike, by the names of [`crate::quality::Kind`].
    pub kinds: BTreeMap<String, usize>,
    /// The first of them: where in the evaluation, where in the training data.
    pub first: Vec<(String, String)>,
}

/// The training rows of a model, and where they were found.
struct Training {
    rows: Vec<Row>,
    source: String,
}

/// Looks for the questions among the training data that the settings name, or else that the run
/// folder around the `model` names; `None` where none is known, with a warning that says so.
///
/// # Errors
/// Named data that cannot be read; or data that is not known although `max_leakage` is set.
pub(super) fn find(
    config: &EvalConfig,
    model: &Path,
    material: &Material,
    warnings: &mut Vec<String>,
) -> Result<Option<Leakage>> {
    let training = match (&config.train_path, material) {
        (_, Material::Windows(_)) => Err("plain text has no rows to compare".to_owned()),
        (Some(path), _) => Ok(named(path, config)?),
        (None, _) => of_run(model)?,
    };
    match training {
        Ok(training) => Ok(Some(shared(&training, material))),
        Err(reason) if config.max_leakage.is_some() => Err(Error::input(
            "`max_leakage`",
            format!("cannot be checked: {reason}"),
        )),
        Err(reason) => {
            warnings.push(format!("leaks are not checked: {reason}"));
            Ok(None)
        }
    }
}

/// Fails when more rows leak than the settings allow.
///
/// # Errors
/// [`Error::Failed`].
pub(super) fn gate(config: &EvalConfig, found: Option<&Leakage>) -> Result<()> {
    match (config.max_leakage, found) {
        (Some(most), Some(found)) if found.rows > most => {
            let first = match found.first.first() {
                Some((held, train)) => format!(", the first at {held} as {train}"),
                None => String::new(),
            };
            Err(Error::Failed {
                check: "leakage".into(),
                problem: format!(
                    "{} rows of the evaluation were trained on, at most {most} may be{first}",
                    found.rows
                ),
            })
        }
        _ => Ok(()),
    }
}

fn named(path: &Path, config: &EvalConfig) -> Result<Training> {
    // The format of the evaluation need not be that of the training data.
    let files = find_files(path, &config.dataset_pattern)?;
    Ok(Training {
        rows: read_rows(&files, DataFormat::Auto)?,
        source: path.display().to_string(),
    })
}

/// The rows that the run around `model` trained on, its held-out share left out; or why they are
/// not known.
fn of_run(model: &Path) -> Result<Result<Training, String>> {
    let settings = model.parent().map(|run| run.join("config_used.yaml"));
    let Some(settings) = settings.filter(|path| path.is_file()) else {
        let problem = "the model is not in a run folder; name the training data with train_path";
        return Ok(Err(problem.into()));
    };
    let text = std::fs::read_to_string(&settings).map_err(Error::io(&settings))?;
    let run = TrainConfig::parse(&settings, &text, &[])?;
    if run.data_format == DataFormat::Text {
        return Ok(Err("the model was trained on plain text".into()));
    }
    let files = match find_files(&run.dataset_path, &run.dataset_pattern) {
        Ok(files) => files,
        Err(error) => return Ok(Err(format!("{error}, named by {}", settings.display()))),
    };
    if let Some(changed) = changed(&settings, &files)? {
        let problem = format!("{} has changed since the run", changed.display());
        return Ok(Err(problem));
    }
    let rows = read_rows(&files, run.data_format)?;
    let rows = match &run.validation_path {
        Some(_) => rows,
        None => split_rows(rows, run.validation_fraction, run.seed)?.train,
    };
    Ok(Ok(Training {
        rows,
        source: settings.display().to_string(),
    }))
}

/// The first of the run's data files that is not the one of `data.json` any more.
fn changed(settings: &Path, files: &[PathBuf]) -> Result<Option<PathBuf>> {
    let path = settings.with_file_name("data.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Ok(None); // a run that was copied without it
    };
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Error::file(&path, format!("is not JSON ({error})")))?;
    let listed = value
        .pointer("/files/data")
        .and_then(|data| data.as_array());
    let hashes: BTreeSet<&str> = listed
        .into_iter()
        .flatten()
        .filter_map(|file| file.get("sha256")?.as_str())
        .collect();
    for file in files {
        if !hashes.contains(llm_store::hash::sha256_file(file)?.as_str()) {
            return Ok(Some(file.clone()));
        }
    }
    Ok(None)
}

fn shared(training: &Training, material: &Material) -> Leakage {
    let trained: Vec<String> = training
        .rows
        .iter()
        .map(|row| asked(row.prompt()))
        .collect();
    let found = leakage(&trained, &material.prompts());
    let mut kinds = BTreeMap::new();
    for leak in &found {
        *kinds.entry(leak.kind.as_str().to_owned()).or_insert(0) += 1;
    }
    let train_place = |row: usize| training.rows.get(row).map(place).unwrap_or_default();
    Leakage {
        source: training.source.clone(),
        training_rows: training.rows.len(),
        rows: found.len(),
        kinds,
        first: found
            .iter()
            .take(SHOWN)
            .map(|leak| (material.place(leak.held), train_place(leak.train)))
            .collect(),
    }
}
