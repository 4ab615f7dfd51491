//! Copied code: blocks of eight lines that stand in more than one place.

use std::collections::HashMap;

use anyhow::Result;

use super::verdict;
use crate::source::{Kind, Source};
use crate::workspace::Workspace;

/// Lines of a block. Shorter ones are alike by chance.
const BLOCK_LINES: usize = 8;
/// The share of lines that may stand in such blocks.
const MAX_PERCENT: f64 = 2.0;
/// Places listed when there are too many.
const SHOWN: usize = 20;

/// A line that says something, and where it stands.
struct Line<'a> {
    file: &'a str,
    number: usize,
    text: &'a str,
}

/// Less than [`MAX_PERCENT`] of the lines stand in blocks that occur twice.
pub(super) fn check(workspace: &Workspace) -> Result<String> {
    let sources = workspace.sources()?;
    let lines: Vec<Vec<Line>> = sources.iter().map(telling_lines).collect();
    let mut blocks: HashMap<Vec<&str>, Vec<(usize, usize)>> = HashMap::new();
    for (file, lines) in lines.iter().enumerate() {
        for (start, block) in lines.windows(BLOCK_LINES).enumerate() {
            let text = block.iter().map(|line| line.text).collect();
            blocks.entry(text).or_default().push((file, start));
        }
    }
    let mut copied: Vec<Vec<bool>> = lines.iter().map(|lines| vec![false; lines.len()]).collect();
    for places in blocks.values().filter(|places| places.len() > 1) {
        for &(file, start) in places {
            copied[file][start..start + BLOCK_LINES].fill(true);
        }
    }
    let total: usize = lines.iter().map(Vec::len).sum();
    let count = copied.iter().flatten().filter(|copied| **copied).count();
    let percent = 100.0 * count as f64 / total.max(1) as f64;
    let summary = format!("{count} of {total} lines, {percent:.2} %");
    let mut problems = Vec::new();
    if percent >= MAX_PERCENT {
        problems.push(format!(
            "{summary}, expected less than {MAX_PERCENT} %; blocks start at"
        ));
        problems.extend(starts(&lines, &copied).into_iter().take(SHOWN));
    }
    verdict(problems, summary)
}

/// Where runs of copied lines start, with their lengths.
fn starts(lines: &[Vec<Line>], copied: &[Vec<bool>]) -> Vec<String> {
    let mut found = Vec::new();
    for (lines, copied) in lines.iter().zip(copied) {
        let mut index = 0;
        for run in copied.chunk_by(|a, b| a == b) {
            if run[0] {
                let line = &lines[index];
                found.push((
                    run.len(),
                    format!("{}:{} ({} lines)", line.file, line.number, run.len()),
                ));
            }
            index += run.len();
        }
    }
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found.into_iter().map(|(_, text)| text).collect()
}

/// Lines of code that are more than punctuation and imports.
fn telling_lines(source: &Source) -> Vec<Line<'_>> {
    let lines = source.lines.iter().enumerate();
    lines
        .filter(|(_, (kind, text))| *kind == Kind::Code && is_telling(text))
        .map(|(index, (_, text))| Line {
            file: &source.file,
            number: index + 1,
            text,
        })
        .collect()
}

fn is_telling(text: &str) -> bool {
    let import = ["use ", "pub use ", "mod ", "pub mod ", "pub(crate) use "];
    text.contains(char::is_alphanumeric) && !import.iter().any(|word| text.starts_with(word))
}
