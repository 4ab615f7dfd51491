//! `{"query", "choices", "gold"}` rows.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::lines;
use super::{Kind, Question};
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
    let form = "{\"query\", \"choices\", \"gold\"}";
    let (lines, files) = lines::read::<Line>(path, pattern, form)?;
    let mut questions = Vec::with_capacity(lines.len());
    for line in lines {
        check(&line.value).map_err(|problem| line.error(problem))?;
        let place = line.place();
        let stem = line.file.file_stem();
        let stem = stem.map(|stem| stem.to_string_lossy().into_owned());
        let Line {
            query,
            choices,
            gold,
            group,
        } = line.value;
        questions.push(Question {
            place,
            group: group.or(stem),
            asked: query.clone(),
            context: query,
            kind: Kind::Choices(choices, gold),
        });
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
