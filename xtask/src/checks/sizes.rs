//! Files that a person can read in one sitting. Functions are clippy's to measure.

use anyhow::Result;

use super::verdict;
use crate::source::Source;
use crate::workspace::Workspace;

/// No file is longer, inline tests left out.
const MAX_LINES: usize = 500;
/// Nine files in ten are at most this long.
const P90_LINES: usize = 350;
/// No lesson is longer.
const MAX_LESSON_LINES: usize = 150;
/// Half of the lessons are at most this long. A hundred was the aim; what a lesson checks, explains
/// and answers to a mistaken flag is worth a quarter more.
const MEDIAN_LESSON_LINES: usize = 125;
/// The median of fewer lessons says little: the first ones of each shelf introduce the most.
const LESSONS_FOR_A_MEDIAN: usize = 8;
/// A tool among the lessons is a thin `main`.
const MAX_TOOL_LINES: usize = 80;

/// Files, lessons and tools stay within their budgets.
pub(super) fn check(workspace: &Workspace) -> Result<String> {
    let sources = workspace.sources()?;
    let mut problems = Vec::new();
    for source in &sources {
        let (lines, budget) = (source.lines.len(), budget(source));
        if lines > budget {
            problems.push(format!(
                "{} has {lines} lines, at most {budget}",
                source.file
            ));
        }
    }
    let p90 = percentile(sources.iter(), 90);
    if p90 > P90_LINES {
        problems.push(format!(
            "one file in ten has {p90} lines or more, at most {P90_LINES}"
        ));
    }
    let lessons = || sources.iter().filter(|source| source.is_lesson());
    let median = percentile(lessons(), 50);
    if median > MEDIAN_LESSON_LINES && lessons().count() >= LESSONS_FOR_A_MEDIAN {
        problems.push(format!(
            "half of the lessons have {median} lines, at most {MEDIAN_LESSON_LINES}"
        ));
    }
    let (files, lessons) = (sources.len(), lessons().count());
    let summary =
        format!("{files} files, p90 {p90} lines; {lessons} lessons, median {median} lines");
    verdict(problems, summary)
}

fn budget(source: &Source) -> usize {
    match (source.is_lesson(), source.is_tool()) {
        (true, _) => MAX_LESSON_LINES,
        (_, true) => MAX_TOOL_LINES,
        _ => MAX_LINES,
    }
}

/// The smallest length that `percent` of the files do not exceed; 0 without files.
fn percentile<'a>(sources: impl Iterator<Item = &'a Source>, percent: usize) -> usize {
    let mut lengths: Vec<usize> = sources.map(|source| source.lines.len()).collect();
    lengths.sort_unstable();
    let rank = (lengths.len() * percent).div_ceil(100);
    rank.checked_sub(1).map_or(0, |index| lengths[index])
}
