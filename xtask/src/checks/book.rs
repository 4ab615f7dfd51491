//! The book against the tree: its pages, the code they include, their pictures and commands.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::verdict;
use crate::workspace::Workspace;

/// The pages.
const PAGES: &str = "docs/src/";
const SUMMARY: &str = "docs/src/SUMMARY.md";
/// Where the verbs of `deeper` are listed.
const VERBS: &str = "crates/llm-cli/src/main.rs";

/// Every page is in the summary, and whatever a page includes, shows or tells to run is there.
pub(super) fn check(workspace: &Workspace) -> Result<String> {
    let pages = workspace.files.iter();
    let pages: Vec<&String> = pages
        .filter(|file| file.starts_with(PAGES) && file.ends_with(".md") && *file != SUMMARY)
        .collect();
    let mut problems = summary_problems(&workspace.read(SUMMARY)?, &pages);
    let binaries = workspace.packages.iter().flat_map(|p| &p.binaries);
    let binaries: BTreeSet<&str> = binaries.map(String::as_str).collect();
    let verbs = verbs(&workspace.read(VERBS)?).context(VERBS)?;
    let (mut includes, mut pictures, mut commands) = (0, 0, 0);
    for page in &pages {
        let text = workspace.read(page)?;
        let mut found: Vec<(usize, String)> = Vec::new();
        for (line, target) in included(&text) {
            includes += 1;
            let problem = include_problem(workspace, page, &target);
            found.extend(problem.map(|problem| (line, problem)));
        }
        for (line, target) in shown(&text) {
            pictures += 1;
            let there = beside(page, &target).is_some_and(|file| workspace.files.contains(&file));
            found.extend((!there).then(|| (line, format!("no picture {target}"))));
        }
        for (line, command) in told(&text) {
            commands += 1;
            let problem = match &command {
                Command::Binary(name) => !binaries.contains(name.as_str()),
                Command::Verb(name) => !verbs.contains(name),
            };
            found.extend(problem.then(|| (line, format!("{command} does not exist"))));
        }
        let told = found.into_iter();
        problems.extend(told.map(|(line, problem)| format!("{page}:{line}: {problem}")));
    }
    let summary = format!(
        "{} pages, {includes} includes, {pictures} pictures, {commands} commands",
        pages.len()
    );
    verdict(problems, summary)
}

/// Pages that the summary does not name, and names without a page.
fn summary_problems(summary: &str, pages: &[&String]) -> Vec<String> {
    let links = summary.split("](").skip(1);
    let named: Vec<String> = links
        .filter_map(|rest| Some(format!("{PAGES}{}", rest.split(')').next()?)))
        .collect();
    let missing = named.iter().filter(|name| !pages.contains(name));
    let mut problems: Vec<String> = missing
        .map(|name| format!("{SUMMARY}: names {name}, which is not there"))
        .collect();
    let unnamed = pages.iter().filter(|page| !named.contains(page));
    problems.extend(unnamed.map(|page| format!("{SUMMARY}: does not name {page}")));
    let mut seen = BTreeSet::new();
    let twice = named.iter().filter(|name| !seen.insert(name.as_str()));
    problems.extend(twice.map(|name| format!("{SUMMARY}: names {name} twice")));
    problems
}

/// The file that `target` names, seen from `page`; none outside of the tree.
fn beside(page: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => {
                parts.pop()?;
            }
            "." | "" => {}
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Targets of mdBook's includes, with their lines: `path`, `path:anchor`, `path:from:to`.
fn included(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for rest in line.split("{{#").skip(1) {
            let inside = rest.split("}}").next().unwrap_or_default();
            let mut words = inside.split_whitespace();
            if matches!(words.next(), Some("include" | "rustdoc_include")) {
                found.push((index + 1, words.next().unwrap_or_default().to_string()));
            }
        }
    }
    found
}

/// Why this include would stay empty.
fn include_problem(workspace: &Workspace, page: &str, target: &str) -> Option<String> {
    let (path, part) = match target.split_once(':') {
        Some((path, part)) => (path, part),
        None => (target, ""),
    };
    let file = beside(page, path).filter(|file| workspace.files.contains(file));
    let Some(text) = file.and_then(|file| workspace.read(&file).ok()) else {
        return Some(format!("includes {path}, which is not there"));
    };
    part_problem(&text, part).map(|problem| format!("includes {target}: {problem}"))
}

/// Why `text` has no such part: an anchor, or lines `from:to`.
fn part_problem(text: &str, part: &str) -> Option<String> {
    let is_lines = part.chars().all(|c| c.is_ascii_digit() || c == ':');
    if is_lines {
        let lines = text.lines().count();
        let last = part
            .split(':')
            .filter_map(|n| n.parse::<usize>().ok())
            .max();
        return last
            .filter(|last| *last > lines)
            .map(|_| format!("the file has {lines} lines"));
    }
    let at = |mark: &str| {
        text.lines().position(|line| {
            let rest = line.split_once(mark).map(|(_, rest)| rest.trim());
            rest == Some(part)
        })
    };
    match (at("ANCHOR:"), at("ANCHOR_END:")) {
        (Some(start), Some(end)) if start + 1 < end => None,
        (Some(start), Some(end)) if start < end => Some(format!("nothing in `{part}`")),
        (Some(_), _) => Some(format!("no `ANCHOR_END: {part}` after its start")),
        (None, _) => Some(format!("no `ANCHOR: {part}`")),
    }
}

/// Pictures of this repository with their lines.
fn shown(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let images = line.split("![").skip(1);
        let images = images.filter_map(|rest| rest.split_once("](").map(|(_, rest)| rest));
        let tags = line.split("<img").skip(1);
        let tags = tags.filter_map(|rest| rest.split_once("src=\"").map(|(_, rest)| rest));
        for rest in images.chain(tags) {
            let target = rest.split([')', '"', ' ']).next().unwrap_or_default();
            if !target.contains("://") {
                found.push((index + 1, target.to_string()));
            }
        }
    }
    found
}

/// What a page tells a person to run.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    /// `--bin NAME`
    Binary(String),
    /// `deeper VERB`
    Verb(String),
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Binary(name) => write!(f, "`--bin {name}`"),
            Self::Verb(name) => write!(f, "`deeper {name}`"),
        }
    }
}

/// Commands in code blocks and in code within a line. A name in capitals or brackets stands for any.
fn told(text: &str) -> Vec<(usize, Command)> {
    let mut found = Vec::new();
    for (index, code) in code(text) {
        let words: Vec<&str> = code.split_whitespace().collect();
        let is_name =
            |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        for (at, word) in words.iter().enumerate() {
            let rest = &words[at + 1..];
            let next = rest.first().filter(|word| is_name(word));
            if *word == "--bin" {
                found.extend(next.map(|name| (index, Command::Binary((*name).to_string()))));
            }
            let program = Path::new(word)
                .file_stem()
                .is_some_and(|stem| stem == "deeper");
            // `cargo run --bin deeper -- VERB`; a lone `deeper` within a line is only its name.
            let verb = match rest.first() {
                Some(&"--") => rest.get(1).filter(|word| is_name(word)),
                _ => next,
            };
            if program && !word.starts_with('-') {
                found.extend(verb.map(|name| (index, Command::Verb((*name).to_string()))));
            }
        }
    }
    found
}

/// The code of a page, piece by piece, with its line.
fn code(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fence = None;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            let language = line.trim_start().trim_start_matches('`').trim();
            fence = match fence {
                None => Some(language),
                Some(_) => None,
            };
        } else if let Some(language) = fence {
            // Programs are no commands; what they say is their own matter.
            if matches!(language, "" | "text" | "sh" | "bash" | "console") {
                // A comment after the command explains it.
                found.push((index + 1, line.split(" # ").next().unwrap_or_default()));
            }
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            found.extend(spans.map(|span| (index + 1, span)));
        }
    }
    found
}

/// Names of the verbs: the variants of clap's enum in kebab case.
fn verbs(source: &str) -> Option<BTreeSet<String>> {
    let (_, rest) = source.split_once("enum Verb {")?;
    let (body, _) = rest.split_once("\n}")?;
    let mut verbs = BTreeSet::new();
    for line in body.lines().map(str::trim) {
        if !line.starts_with(char::is_uppercase) {
            continue;
        }
        let variant = line.split(|c: char| !c.is_alphanumeric()).next()?;
        let mut verb = String::new();
        for c in variant.chars() {
            if c.is_uppercase() && !verb.is_empty() {
                verb.push('-');
            }
            verb.extend(c.to_lowercase());
        }
        verbs.insert(verb);
    }
    // Of clap itself.
    verbs.insert("help".into());
    Some(verbs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_and_the_pages_agree() {
        let pages = ["docs/src/a.md".to_string(), "docs/src/b/c.md".to_string()];
        let pages: Vec<&String> = pages.iter().collect();
        let all = "# Summary\n[A](a.md)\n- [C](b/c.md)\n";
        assert!(summary_problems(all, &pages).is_empty());
        let problems = summary_problems("[A](a.md) [A](a.md) [D](d.md)", &pages);
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn includes_need_both_anchors_and_something_between() {
        let text = "// ANCHOR: a\nlet a = 1;\n// ANCHOR_END: a\n// ANCHOR: b\n// ANCHOR: c\n// ANCHOR_END: c\n";
        for part in ["", "a", "1:6", "3"] {
            assert_eq!(part_problem(text, part), None, "{part}");
        }
        for (part, problem) in [
            ("b", "no `ANCHOR_END: b`"),
            ("c", "nothing in"),
            ("d", "no `ANCHOR: d`"),
            ("1:7", "6 lines"),
        ] {
            let found = part_problem(text, part).unwrap_or_default();
            assert!(found.contains(problem), "{part}: {found}");
        }
        let page = "x {{#include ../a.rs:b}} {{#playground c.rs}}\n{{#rustdoc_include d.rs}}";
        let expected = [(1, "../a.rs:b".to_string()), (2, "d.rs".to_string())];
        assert_eq!(included(page), expected);
    }

    #[test]
    fn paths_start_at_the_page() {
        let file = beside("docs/src/a/b.md", "../../../crates/x.rs");
        assert_eq!(file.as_deref(), Some("crates/x.rs"));
        assert_eq!(beside("a.md", "./b.svg").as_deref(), Some("b.svg"));
        assert_eq!(beside("a.md", "../../b"), None);
    }

    #[test]
    fn pictures_of_other_places_are_left_alone() {
        let text = "![a](a.svg) ![b](https://c.d/e.png)\n<img alt=\"\" src=\"f/g.png\">";
        let expected = [(1, "a.svg".to_string()), (2, "f/g.png".to_string())];
        assert_eq!(shown(text), expected);
    }

    #[test]
    fn commands_stand_in_code() {
        let text = "deeper is a word, `deeper next` a command, `deeper` a name.\n\
                    ```\ncargo run --release --bin deeper -- bench train  # deeper than\n\
                    cargo run --bin NAME\ntarget/release/deeper --help\n```\n\
                    ```rust\n// deeper in\n```\n";
        let expected = [
            (1, Command::Verb("next".into())),
            (3, Command::Binary("deeper".into())),
            (3, Command::Verb("bench".into())),
        ];
        assert_eq!(told(text), expected);
    }

    #[test]
    fn verbs_are_variants_in_kebab_case() {
        let source = "enum Verb {\n    /// Says\n    Run(run::Args),\n    #[command(x)]\n    LoraMerge {\n    a: B },\n}\n";
        let verbs = verbs(source).unwrap_or_default();
        let verbs: Vec<&str> = verbs.iter().map(String::as_str).collect();
        assert_eq!(verbs, ["help", "lora-merge", "run"]);
        assert!(super::verbs("").is_none());
    }
}
