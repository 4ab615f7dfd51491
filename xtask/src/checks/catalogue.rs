//! `lessons/catalog.toml` against the tree; README's table and llm-show's cards against the catalogue.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use super::verdict;
use crate::source::TOOLS;
use crate::workspace::Workspace;

const CATALOGUE: &str = "lessons/catalog.toml";
const README: &str = "README.md";
/// The table stands between these lines of the README.
const BEGIN: &str = "<!-- lessons: written by `cargo xtask readme` -->";
const END: &str = "<!-- end of lessons -->";
/// The catalogue as data for the programs.
const CARDS: &str = "crates/llm-show/src/cards.rs";

/// Every lesson has one entry, every entry is whole and true, and the README has them.
pub(super) fn check(workspace: &Workspace) -> Result<String> {
    let lessons = lessons(workspace)?;
    let mut problems = Vec::new();
    let ids: BTreeSet<&str> = lessons.iter().map(|lesson| text(lesson, "id")).collect();
    if ids.len() != lessons.len() {
        problems.push(format!("{CATALOGUE}: an id stands twice"));
    }
    for lesson in &lessons {
        problems.extend(entry_problems(workspace, lesson, &ids));
    }
    let listed: BTreeSet<&str> = lessons
        .iter()
        .map(|lesson| text(lesson, "binary"))
        .collect();
    for package in workspace
        .packages
        .iter()
        .filter(|p| p.folder.starts_with("lessons/"))
    {
        for binary in package
            .binaries
            .iter()
            .filter(|name| !TOOLS.contains(&name.as_str()))
        {
            if !listed.contains(binary.as_str()) {
                problems.push(format!("{CATALOGUE}: no entry for {binary}"));
            }
        }
    }
    if with_table(&workspace.read(README)?, &lessons)? != workspace.read(README)? {
        problems.push(format!(
            "{README}: the lesson table is old, run `cargo xtask readme`"
        ));
    }
    if cards(&lessons) != workspace.read(CARDS)? {
        problems.push(format!("{CARDS} is old, run `cargo xtask readme`"));
    }
    verdict(problems, format!("{} lessons", lessons.len()))
}

/// Writes the lesson table into the README, and the cards.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let lessons = lessons(workspace)?;
    let text = with_table(&workspace.read(README)?, &lessons)?;
    fs::write(workspace.root.join(README), text).context(README)?;
    fs::write(workspace.root.join(CARDS), cards(&lessons)).context(CARDS)
}

/// The catalogue as Rust: a line a fact, in the order of llm-show's `Card`.
fn cards(lessons: &[Table]) -> String {
    let mut rust = String::from(
        "//! The lessons in reading order; written by `cargo xtask readme` from `lessons/catalog.toml`.\n\n\
         use crate::card::Card;\n\n\
         /// Every lesson.\n#[rustfmt::skip]\npub const CARDS: &[Card] = &[\n",
    );
    for lesson in lessons {
        let word = |key: &str| format!("{key}: {:?}", text(lesson, key));
        let words = |key: &str| format!("{key}: &{:?}", list(lesson, key).unwrap_or_default());
        let seconds = lesson.get("seconds").and_then(Value::as_integer);
        rust += &format!("    Card {{ {}, {}, ", word("id"), word("binary"));
        rust += &format!("{}, {},\n", word("title"), word("shelf"));
        rust += &format!("        seconds: {}, ", seconds.unwrap_or_default());
        rust += &format!("{}, {},\n", words("needs"), word("next"));
        for key in ["question", "sees", "takeaway", "exercise"] {
            rust += &format!("        {},\n", word(key));
        }
        for key in ["reads", "tries"] {
            rust += &format!("        {},\n", words(key));
        }
        rust += &format!("        {} }},\n", words("exercises"));
    }
    rust + "];\n"
}

pub(super) fn lessons(workspace: &Workspace) -> Result<Vec<Table>> {
    let catalogue: Table = workspace.read(CATALOGUE)?.parse().context(CATALOGUE)?;
    let lessons = catalogue
        .get("lesson")
        .and_then(Value::as_array)
        .context("no [[lesson]]")?;
    lessons
        .iter()
        .map(|lesson| lesson.as_table().cloned().context("not a table"))
        .collect()
}

pub(super) fn text<'a>(lesson: &'a Table, key: &str) -> &'a str {
    lesson.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'a>(lesson: &'a Table, key: &str) -> Option<Vec<&'a str>> {
    lesson
        .get(key)?
        .as_array()?
        .iter()
        .map(Value::as_str)
        .collect()
}

fn entry_problems(workspace: &Workspace, lesson: &Table, ids: &BTreeSet<&str>) -> Vec<String> {
    let id = text(lesson, "id");
    let mut problems = Vec::new();
    let mut need = |right: bool, problem: String| {
        if !right {
            problems.push(format!("{CATALOGUE}: {id}: {problem}"));
        }
    };
    for key in [
        "id", "binary", "title", "question", "shelf", "sees", "takeaway",
    ] {
        need(!text(lesson, key).is_empty(), format!("`{key}` is missing"));
    }
    let seconds = lesson.get("seconds").and_then(Value::as_integer);
    need(
        seconds.is_some_and(|seconds| seconds > 0),
        "`seconds` is not a positive number".into(),
    );
    for key in ["needs", "tries", "exercises"] {
        need(
            list(lesson, key).is_some(),
            format!("`{key}` is not a list"),
        );
    }
    let next = text(lesson, "next");
    need(
        next.is_empty() || ids.contains(next),
        format!("`next` is {next}, which is no lesson"),
    );
    let reads = list(lesson, "reads").unwrap_or_default();
    need(!reads.is_empty(), "`reads` names no file".into());
    for file in reads {
        need(
            workspace.files.contains(file),
            format!("`reads` names {file}, which is not there"),
        );
    }
    let folder = format!("lessons/{}", text(lesson, "shelf"));
    let binary = text(lesson, "binary");
    let mut packages = workspace
        .packages
        .iter()
        .filter(|p| p.folder.starts_with(&folder));
    let home = packages.find(|package| package.binaries.iter().any(|name| name == binary));
    need(home.is_some(), format!("{folder} has no binary {binary}"));
    let source = home.map(|package| format!("{}/src/bin/{binary}.rs", package.folder));
    let source = source
        .and_then(|file| workspace.read(&file).ok())
        .unwrap_or_default();
    let asked = source.contains(text(lesson, "question"));
    need(
        asked,
        "`question` is not the one that the lesson asks".into(),
    );
    problems
}

/// The README's text with the table of these lessons.
fn with_table(readme: &str, lessons: &[Table]) -> Result<String> {
    let (before, rest) = readme
        .split_once(BEGIN)
        .context("README.md: no line for the lessons")?;
    let (_, after) = rest
        .split_once(END)
        .context("README.md: the lessons have no end")?;
    let mut table = String::from("| run | the question | seconds |\n|---|---|---:|\n");
    for lesson in lessons {
        let seconds = lesson
            .get("seconds")
            .and_then(Value::as_integer)
            .unwrap_or_default();
        let (binary, question) = (text(lesson, "binary"), text(lesson, "question"));
        ensure!(
            !question.contains('|'),
            "{binary}: a question with `|` breaks the table"
        );
        table += &format!("| `{binary}` | {question} | {seconds} |\n");
    }
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}
