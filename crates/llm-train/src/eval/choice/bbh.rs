//! BIG-Bench Hard in its original layout: one `<task>.json` a file, `{"examples": [{"input",
//! "target"}]}` (Suzgun et al., 2022, <https://arxiv.org/abs/2210.09261>).
//!
//! Tasks whose answers are options `(A)`, `(B)`, … or one of a few words are scored by
//! log-likelihood, the other four by the exact text of a greedy answer. The prompt is `Q: …\nA:`, that
//! of the harness's `bbh_zeroshot` without its sentence about each task; the harness generates
//! every answer, so numbers of choices are not comparable with its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Kind, Question};
use crate::{Error, Result};

/// Tasks; two of them come in three sizes, which are files of their own.
pub const TASKS: usize = 23;
/// The files.
pub const FILES: [&str; 27] = [
    "boolean_expressions",
    "causal_judgement",
    "date_understanding",
    "disambiguation_qa",
    "dyck_languages",
    "formal_fallacies",
    "geometric_shapes",
    "hyperbaton",
    "logical_deduction_five_objects",
    "logical_deduction_seven_objects",
    "logical_deduction_three_objects",
    "movie_recommendation",
    "multistep_arithmetic_two",
    "navigate",
    "object_counting",
    "penguins_in_a_table",
    "reasoning_about_colored_objects",
    "ruin_names",
    "salient_translation_error_detection",
    "snarks",
    "sports_understanding",
    "temporal_sequences",
    "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects",
    "tracking_shuffled_objects_three_objects",
    "web_of_lies",
    "word_sorting",
];
/// Tasks whose answers are not of a small set.
const FREE: [&str; 4] = [
    "dyck_languages",
    "multistep_arithmetic_two",
    "object_counting",
    "word_sorting",
];
/// The most words that a task's answers are chosen from.
const MOST_WORDS: usize = 8;
/// What ends a free answer.
pub(super) const UNTIL: [&str; 2] = ["\n\n", "Q:"];
/// A file larger than this is not one of these.
const LARGEST_BYTES: u64 = 1 << 26;

#[derive(Deserialize)]
struct TaskFile {
    examples: Vec<Example>,
}

#[derive(Deserialize)]
struct Example {
    input: String,
    target: String,
}

/// The questions of `path`: a folder of all files, or one of them.
pub(super) fn read(path: &Path, partial: bool) -> Result<(Vec<Question>, Vec<PathBuf>)> {
    let files = if path.is_file() {
        vec![path.to_path_buf()]
    } else {
        all_files(path, partial)?
    };
    let mut questions = Vec::new();
    for file in &files {
        questions.extend(task(file)?);
    }
    Ok((questions, files))
}

fn all_files(path: &Path, partial: bool) -> Result<Vec<PathBuf>> {
    let place = |name: &&str| path.join(format!("{name}.json"));
    let (found, missing): (Vec<PathBuf>, Vec<PathBuf>) =
        FILES.iter().map(place).partition(|file| file.is_file());
    match missing.first() {
        Some(first) if found.is_empty() || !partial => {
            let problem = format!(
                "has {} of {} files, {} is missing; set `limit` to ask a part",
                found.len(),
                FILES.len(),
                first.display()
            );
            Err(Error::file(path, problem))
        }
        _ => Ok(found),
    }
}

fn task(file: &Path) -> Result<Vec<Question>> {
    let name = file
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    if !FILES.contains(&name) {
        return Err(Error::file(
            file,
            "is named after no task of BIG-Bench Hard",
        ));
    }
    let size = std::fs::metadata(file).map_err(Error::io(file))?.len();
    if size > LARGEST_BYTES {
        return Err(Error::file(
            file,
            format!("has {size} bytes, too many for a task"),
        ));
    }
    let text = std::fs::read_to_string(file).map_err(Error::io(file))?;
    let parsed: TaskFile = serde_json::from_str(&text).map_err(|error| {
        Error::file(
            file,
            format!("is not {{\"examples\": [{{\"input\", \"target\"}}]}} ({error})"),
        )
    })?;
    if parsed.examples.is_empty() {
        return Err(Error::file(file, "has no examples, expected at least one"));
    }
    let words: BTreeSet<&str> = parsed.examples.iter().map(|e| e.target.trim()).collect();
    let mut questions = Vec::new();
    for (index, example) in parsed.examples.iter().enumerate() {
        let place = format!("{}: example {}", file.display(), index + 1);
        let kind = kind(name, example, &words)
            .map_err(|problem| Error::file(file, format!("example {}: {problem}", index + 1)))?;
        questions.push(Question {
            place,
            group: Some(name.to_owned()),
            asked: example.input.clone(),
            context: format!("Q: {}\nA:", example.input),
            kind,
        });
    }
    Ok(questions)
}

fn kind(task: &str, example: &Example, words: &BTreeSet<&str>) -> Result<Kind, String> {
    let target = example.target.trim();
    if FREE.contains(&task) {
        return Ok(Kind::Exact(target.to_owned()));
    }
    let options = options(&example.input);
    let choices: Vec<String> = match options.is_empty() {
        false => options,
        true => words.iter().map(|word| (*word).to_owned()).collect(),
    };
    if choices.len() > MOST_WORDS && !target.starts_with('(') {
        return Err(format!(
            "has {} different answers, too many to choose from",
            choices.len()
        ));
    }
    match choices.iter().position(|choice| choice == target) {
        Some(gold) => Ok(Kind::Choices(choices, gold)),
        // A few published answers are an option's text instead of its label.
        None if !target.starts_with('(') => Ok(Kind::Exact(target.to_owned())),
        None => Err(format!(
            "has the answer {target:?}, which is none of {choices:?}"
        )),
    }
}

/// The labels of a question's options: `(A)`, `(B)`, … at the start of lines.
fn options(input: &str) -> Vec<String> {
    let label = |line: &str| {
        let label = line.trim_start().get(..3)?;
        let letter = label.strip_prefix('(')?.strip_suffix(')')?;
        letter
            .chars()
            .all(|c| c.is_ascii_uppercase())
            .then(|| label.to_owned())
    };
    input.lines().filter_map(label).collect()
}
