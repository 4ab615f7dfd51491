//! A file with `sweep`: its runs one after the other, and one table at the end.
//!
//! The runs are folders `cell-001` and so on in the sweep's own folder. A sweep that was stopped
//! goes on with `--resume`: finished runs are not done again, the one that was stopped goes on from
//! its checkpoint.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use llm_show::number::{count, number};
use llm_show::{Cell as TableCell, Screen, Table, Weather};
use llm_train::Error;
use llm_train::checkpoint::CONFIG_FILE;
use llm_train::config::TrainConfig;
use llm_train::processes::Processes;
use llm_train::resume::{check_settings, run_folder};
use llm_train::runs::{RunFolder, is_finished};
use llm_train::sweep::{Cell, CellResult, best, cells};
use serde_json::{Value, json};

use super::signals::Signals;
use super::{Place, TrainArgs, train_in};

/// Why a run of a sweep failed, so that it is not tried again.
const FAILURE_FILE: &str = "failure.json";

/// Runs the sweep or what is left of it.
pub(super) fn run(
    args: &TrainArgs,
    config: &TrainConfig,
    signals: &Signals,
    weather: &mut Weather,
    screen: &mut Screen,
) -> Result<()> {
    let cells = cells(config)?;
    let folder = open(config)?;
    weather.fact(
        "sweep",
        &format!("{} runs in {}", cells.len(), folder.path.display()),
    );
    let mut results = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        weather.note(&format!(
            "{} of {}: {}",
            index + 1,
            cells.len(),
            settings(&cell.settings)
        ));
        let path = folder.path.join(&cell.name);
        let done = run_cell(args, cell, &path, signals, weather);
        results.push(done.map_err(|error| of_sweep(error, &folder))?);
        write(&folder, &results)?;
    }
    show(screen, &results);
    Ok(())
}

/// A run that was asked to stop is gone on with as a part of its sweep: the hint names that.
fn of_sweep(error: anyhow::Error, folder: &RunFolder) -> anyhow::Error {
    match error.downcast::<Error>() {
        Ok(Error::Interrupted { step, .. }) => {
            let checkpoint = folder.checkpoint(step);
            Error::Interrupted { step, checkpoint }.into()
        }
        Ok(other) => other.into(),
        Err(other) => other,
    }
}

/// The sweep's folder: a new one, or the one that `resume_from` names.
fn open(config: &TrainConfig) -> Result<RunFolder> {
    if let Some(name) = &config.resume_from {
        let none = || Error::input("resume_from", "names no folder of a sweep");
        let path = run_folder(name, &config.output_dir)?.ok_or_else(none)?;
        let folder = RunFolder::reopen(&path)?;
        let used = path.join(CONFIG_FILE);
        if used.exists() {
            check_settings(&used, config)?;
        } // else it was stopped in its first moments
        return Ok(folder);
    }
    let name = format!("{}-sweep", config.run_name);
    let folder = RunFolder::create(&config.output_dir, &name, SystemTime::now())?;
    folder.write(CONFIG_FILE, &config.to_yaml()?)?;
    Ok(folder)
}

fn run_cell(
    args: &TrainArgs,
    cell: &Cell,
    path: &Path,
    signals: &Signals,
    weather: &mut Weather,
) -> Result<CellResult> {
    let failure = path.join(FAILURE_FILE);
    if is_finished(path) {
        weather.note("finished before");
        check_settings(&path.join(CONFIG_FILE), &cell.config)?;
    } else if !failure.exists() {
        let mut config = cell.config.clone();
        let folder = if path.exists() {
            config.resume_from = Some(path.to_path_buf());
            RunFolder::reopen(path)?
        } else {
            config.resume_from = None;
            RunFolder::create_at(path)?
        };
        let place = Place {
            folder: Some(folder),
            processes: &Processes::alone(),
        };
        if let Err(error) = train_in(args, config, place, signals, weather) {
            return failed(cell, &failure, error, weather);
        }
    }
    let (file, broken) = match is_finished(path) {
        true => (path.join("metrics.json"), false),
        false => (failure, true),
    };
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let value: Value = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    Ok(match broken {
        true => CellResult::failed(cell, value["failure"].as_str().unwrap_or_default().into()),
        false => CellResult::of(cell, &value),
    })
}

/// A run whose numbers went wrong is a result of a sweep; everything else stops it.
fn failed(
    cell: &Cell,
    file: &Path,
    error: anyhow::Error,
    weather: &mut Weather,
) -> Result<CellResult> {
    let known = error.downcast_ref::<Error>();
    if known.is_none_or(|error| !matches!(error, Error::NotFinite { .. })) {
        return Err(error);
    }
    let failure = error.to_string();
    weather.warn(&failure);
    let text = format!("{:#}\n", json!({ "failure": failure }));
    llm_store::atomic::write_file(file, text.as_bytes())?;
    Ok(CellResult::failed(cell, failure))
}

fn write(folder: &RunFolder, results: &[CellResult]) -> Result<()> {
    let rows: Vec<Value> = results.iter().map(CellResult::to_json).collect();
    let name = best(results).and_then(|index| results.get(index));
    let best = name.map(|result| result.name.as_str());
    Ok(folder.write_json("sweep.json", &json!({ "best": best, "runs": rows }))?)
}

/// `lr=0.001 lora_r=4`
fn settings(settings: &[(String, Value)]) -> String {
    let words: Vec<String> = settings
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    words.join(" ")
}

fn show(screen: &mut Screen, results: &[CellResult]) {
    let mut header = vec!["run"];
    if let Some(first) = results.first() {
        header.extend(first.settings.iter().map(|(key, _)| key.as_str()));
    }
    header.extend(["steps", "loss", "held out", "best", "at step"]);
    let mut table = Table::new(&header);
    let winner = best(results);
    let shown = |value: Option<f64>| TableCell::number(value.map_or("-".to_owned(), number));
    for (index, result) in results.iter().enumerate() {
        let mut row: Vec<TableCell> = vec![result.name.as_str().into()];
        let values = result.settings.iter().map(|(_, value)| value.to_string());
        row.extend(values.map(TableCell::number));
        let steps = result.steps.map_or("-".to_owned(), count);
        let at = result.best_val.map(|(step, _)| step);
        row.push(TableCell::number(steps));
        row.push(shown(result.last_loss));
        row.push(shown(result.val));
        row.push(shown(result.best_val.map(|(_, loss)| loss)));
        row.push(TableCell::number(at.map_or("-".to_owned(), count)));
        table.push(row);
        if winner == Some(index) {
            table.accent();
        }
    }
    screen.show(&table);
    for result in results {
        if let Some(failure) = &result.failure {
            screen.line(&format!("{}  {failure}", result.name));
        }
    }
    if let Some(best) = winner.and_then(|index| results.get(index)) {
        screen.line(&format!(
            "best  {}  {}",
            best.name,
            settings(&best.settings)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_that_is_stopped_is_gone_on_with_as_a_whole() {
        let place = tempfile::tempdir().unwrap();
        let folder = RunFolder::create_at(&place.path().join("sweep")).unwrap();
        let (step, checkpoint) = (3, folder.path.join("cell-002/checkpoints/step-00000003"));
        let error = of_sweep(Error::Interrupted { step, checkpoint }.into(), &folder);
        let hint = error.downcast_ref::<Error>().unwrap().hint().unwrap();
        let want = format!("resume_from={}", folder.path.display());
        assert!(hint.ends_with(&want), "{hint}");
        let error = of_sweep(anyhow::anyhow!("other"), &folder);
        assert_eq!(error.to_string(), "other");
    }
}
