//! `{"query", "choices", "gold"}` rows.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Kind, Question};
use crate::data::find_files;
use crate::{Error, Result};

/// The most choices of one question; a list longer than this is not one.
const MOST_CHOICES: usize = 256;

/// One line. Other keys are left alone.
#[derive(Deserialize)]
struct Line {
    query: String,
    choices: Vec<String>,
    /// The right choice, counted from 0.
    gold: usize,
    /// What the row is about, for the table.
    #[serde(default)]
    group: Option<String>,
}

/// The questions of all files that `path` and `pattern` mean.
pub(super) fn read(path: &Path, pattern: &str) -> Result<(Vec<Question>, Vec<PathBuf>)> {
    let files = find_files(path, pattern)?;
    let mut questions = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).map_err(Error::io(file))?;
        let stem = file
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let fail = |problem: String| Error::line(file, index + 1, problem);
            let line: Line = serde_json::from_str(line).map_err(|error| {
                fail(format!(
                    "is not {{\"query\", \"choices\", \"gold\"}} ({error})"
                ))
            })?;
            check(&line).map_err(fail)?;
            questions.push(Question {
                place: format!("{}:{}", file.display(), index + 1),
                group: line.group.or_else(|| stem.clone()),
                asked: line.query.clone(),
                context: line.query,
                kind: Kind::Choices(line.choices, line.gold),
            });
        }
    }
    if questions.is_empty() {
        return Err(Error::file(path, "has no questions, expected at least one"));
    }
    Ok((questions, files))
}

fn check(line: &Line) -> Result<(), String> {
    let count = line.choices.len();
    if !(2..=MOST_CHOICES).contains(&count) {
        return Err(format!("has {count} choices, expected 2 to {MOST_CHOICES}"));
    }
    if line.gold >= count {
        return Err(format!(
            "has gold {}, expected 0 to {}",
            line.gold,
            count - 1
        ));
    }
    if line.query.trim().is_empty() {
        return Err("has an empty `query`".into());
    }
    for (place, choice) in line.choices.iter().enumerate() {
        if choice.trim().is_empty() {
            return Err(format!("has an empty choice {place}"));
        }
        if line
            .choices
            .iter()
            .take(place)
            .any(|before| before == choice)
        {
            return Err(format!("has choice {place} twice"));
        }
    }
    Ok(())
}
