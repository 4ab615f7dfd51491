//! The exercises against the catalogue and the tree. Whether they fail and pass as they should is
//! for `crates/llm-cli/tests/it/exercises.rs` to run.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::catalogue::{lessons, list, text};
use super::verdict;
use crate::workspace::Workspace;

const FOLDER: &str = "lessons/exercises/";
const LIST: &str = "lessons/exercises/exercises.toml";
/// The code that all checks share.
const HARNESS: &str = "lessons/exercises/checks/checks.rs";
/// Fewer checks than this are easily met by chance.
const MIN_CHECKS: usize = 3;
/// Lines of the task at the head of an exercise.
const TASK_LINES: std::ops::RangeInclusive<usize> = 3..=12;
/// A hole, spelled so that this file does not hold one.
const HOLE: &str = concat!("to", "do!(");

/// Every exercise is whole, belongs to a lesson that says so, and is formatted.
pub(super) fn check(workspace: &Workspace) -> Result<String> {
    let list: Table = workspace.read(LIST)?.parse().context(LIST)?;
    let exercises = list.get("exercise").and_then(Value::as_array);
    let exercises: Vec<&Table> = exercises
        .into_iter()
        .flatten()
        .filter_map(Value::as_table)
        .collect();
    let mut problems = lesson_problems(workspace, &exercises)?;
    let mut known = BTreeSet::from([HARNESS.to_string()]);
    for exercise in &exercises {
        problems.extend(entry_problems(exercise));
        for file in files(exercise) {
            known.insert(file);
        }
        problems.extend(file_problems(workspace, exercise)?);
    }
    let rust = |file: &&String| file.starts_with(FOLDER) && file.ends_with(".rs");
    let found: Vec<&String> = workspace.files.iter().filter(rust).collect();
    for file in found.iter().filter(|file| !known.contains(**file)) {
        problems.push(format!("{file}: belongs to no exercise of {LIST}"));
    }
    problems.extend(format_problem(workspace, &found)?);
    verdict(problems, format!("{} exercises", exercises.len()))
}

/// The learner's file, its solution and its checks.
fn files(exercise: &Table) -> [String; 3] {
    let (shelf, id) = (text(exercise, "shelf"), text(exercise, "id"));
    ["", "solutions/", "checks/"].map(|part| format!("{FOLDER}{part}{shelf}/{id}.rs"))
}

fn entry_problems(exercise: &Table) -> Vec<String> {
    let keys = ["id", "lesson", "shelf", "title", "hint"];
    let id = text(exercise, "id");
    let missing = keys
        .into_iter()
        .filter(|key| text(exercise, key).is_empty());
    missing
        .map(|key| format!("{LIST}: {id}: `{key}` is missing"))
        .collect()
}

/// Lessons and exercises name each other, and no id stands twice.
fn lesson_problems(workspace: &Workspace, exercises: &[&Table]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for exercise in exercises {
        let id = text(exercise, "id");
        if owners.insert(id, text(exercise, "lesson")).is_some() {
            problems.push(format!("{LIST}: the id {id} stands twice"));
        }
    }
    let lessons = lessons(workspace)?;
    let mut claimed = BTreeSet::new();
    for lesson in &lessons {
        let binary = text(lesson, "binary");
        for id in list(lesson, "exercises").unwrap_or_default() {
            claimed.insert(id);
            match owners.get(id) {
                Some(owner) if *owner == binary => {}
                Some(owner) => problems.push(format!("{LIST}: {id} is of {owner}, not {binary}")),
                None => problems.push(format!("{LIST}: {binary} names {id}, which is not there")),
            }
        }
    }
    let unclaimed = owners.iter().filter(|(id, _)| !claimed.contains(*id));
    problems.extend(unclaimed.map(|(id, owner)| {
        format!("{LIST}: {id}: the catalogue's entry of {owner} does not list it")
    }));
    Ok(problems)
}

/// What is wrong with the three files of an exercise.
fn file_problems(workspace: &Workspace, exercise: &Table) -> Result<Vec<String>> {
    let names = files(exercise);
    let gone: Vec<&String> = names
        .iter()
        .filter(|file| !workspace.files.contains(*file))
        .collect();
    if !gone.is_empty() {
        return Ok(gone
            .into_iter()
            .map(|file| format!("{file} is not there"))
            .collect());
    }
    let [open, solved, checks] = &names;
    let mut problems = Vec::new();
    let mut need = |right: bool, problem: String| {
        if !right {
            problems.push(problem);
        }
    };
    let task = workspace.read(open)?;
    need(task.contains(HOLE), format!("{open}: has no hole"));
    let lines = task
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .count();
    let (least, most) = (TASK_LINES.start(), TASK_LINES.end());
    let problem = format!("{open}: the task has {lines} lines, expected {least} to {most}");
    need(TASK_LINES.contains(&lines), problem);
    need(
        !workspace.read(solved)?.contains(HOLE),
        format!("{solved}: has a hole"),
    );
    let text = workspace.read(checks)?;
    let calls = [".close(", ".equal(", ".that("].map(|call| text.matches(call).count());
    let count: usize = calls.iter().sum();
    let problem = format!("{checks}: {count} checks, at least {MIN_CHECKS}");
    need(count >= MIN_CHECKS, problem);
    Ok(problems)
}

/// What rustfmt would change; `cargo fmt` does not know these files, which belong to no package.
fn format_problem(workspace: &Workspace, files: &[&String]) -> Result<Option<String>> {
    let mut rustfmt = Command::new("rustfmt");
    rustfmt
        .current_dir(&workspace.root)
        .args(["--edition", "2024", "--check", "-l"])
        .args(files);
    let output = rustfmt.output().context("rustfmt does not start")?;
    let changed = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((!output.status.success()).then(|| {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("rustfmt --edition 2024 would change: {changed}{errors}")
    }))
}
