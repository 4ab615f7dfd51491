//! Exchanges of the closed world whose answers a rule grades: the `tasks.jsonl` of
//! `deeper data synth`.

use std::path::PathBuf;

use super::config::EvalConfig;
use super::material::asked;
use super::record::Record;
use super::run::Evaluation;
use crate::data::find_files;
use crate::synth::{self, grade};
use crate::{Error, Result};

/// A task with its file and line.
pub(super) type Placed = (String, synth::Task);

/// The tasks of all files, each with its file and line.
///
/// # Errors
/// Files that cannot be found or read, or a line that is not a task.
pub(super) fn read(config: &EvalConfig) -> Result<(Vec<Placed>, Vec<PathBuf>)> {
    let files = find_files(&config.dataset_path, &config.dataset_pattern)?;
    let mut tasks = Vec::new();
    for path in &files {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let task = serde_json::from_str(line).map_err(|error| {
                let problem = format!("is not a task of `deeper data synth` ({error})");
                Error::line(path, index + 1, problem)
            })?;
            tasks.push((format!("{}:{}", path.display(), index + 1), task));
        }
    }
    if tasks.is_empty() {
        return Err(Error::file(&config.dataset_path, "holds no task"));
    }
    Ok((tasks, files))
}

/// The first tasks of each kind, at most `limit`.
pub(super) fn limit_kinds(tasks: &mut Vec<Placed>, limit: Option<usize>) {
    let Some(limit) = limit else { return };
    let mut seen = std::collections::BTreeMap::new();
    tasks.retain(|(_, task)| {
        let count: &mut usize = seen.entry(group(task)).or_default();
        *count += 1;
        *count <= limit
    });
}

/// What right answers are counted by.
fn group(task: &synth::Task) -> String {
    format!("{}: {}", task.domain.name(), task.kind)
}

/// Asks one task.
pub(super) fn ask(evaluation: &Evaluation, index: usize, (place, task): &Placed) -> Result<Record> {
    let mut record = Record::at(index, place.clone());
    record.group = Some(group(task));
    record.prompt = asked(&task.prompt);
    record.reference.clone_from(&task.reference);
    let prompt = evaluation.subject.codec.prompt_ids(&task.prompt)?;
    record.prompt_tokens = prompt.len();
    evaluation.answer(&mut record, &prompt, &[])?;
    record.correct = Some(grade(task, &record.prediction));
    Ok(record)
}
