//! How much of the code is explanation, by area.

use anyhow::Result;

use super::verdict;
use crate::source::{Kind, Source};
use crate::workspace::Workspace;

/// The least share of comment and documentation lines in `math/`.
const MATH_PERCENT: usize = 25;
/// The least share of explanation in lessons, where a sentence for the screen explains as well.
/// A sentence over several lines counts once, so this is below what a reader sees.
const LESSON_PERCENT: usize = 20;
/// A string of so many words is a sentence and not a label.
const SENTENCE_WORDS: usize = 4;

/// `math/` and the lessons are explained; the crates are reported.
pub(super) fn check(workspace: &Workspace) -> Result<String> {
    let sources = workspace.sources()?;
    let in_math = |source: &&Source| source.file.starts_with("crates/llm-core/src/math/");
    let math: Vec<&Source> = sources.iter().filter(in_math).collect();
    let lessons: Vec<&Source> = sources.iter().filter(|source| source.is_lesson()).collect();
    let crates: Vec<&Source> = sources.iter().filter(|source| source.in_crate()).collect();
    let (in_math, explained) = (share(&math, false), share(&lessons, true));
    let mut problems = Vec::new();
    if in_math < MATH_PERCENT {
        problems.push(format!(
            "math: {in_math} % comment lines, at least {MATH_PERCENT} %"
        ));
    }
    if explained < LESSON_PERCENT {
        problems.push(format!(
            "lessons: {explained} % explanation, at least {LESSON_PERCENT} %"
        ));
    }
    let (in_lessons, in_crates) = (share(&lessons, false), share(&crates, false));
    let summary = format!(
        "comment lines: math {in_math} %, crates {in_crates} %, lessons {in_lessons} % \
         ({explained} % with sentences for the screen)"
    );
    verdict(problems, summary)
}

/// Percent of comment lines, and of sentences in strings where these count.
fn share(files: &[&Source], sentences_count: bool) -> usize {
    let lines = || files.iter().flat_map(|source| &source.lines);
    let explains = |(kind, text): &&(Kind, String)| match kind {
        Kind::Comment => true,
        Kind::Code => sentences_count && has_sentence(text),
        Kind::Blank => false,
    };
    let all = lines().filter(|line| line.0 != Kind::Blank).count();
    100 * lines().filter(explains).count() / all.max(1)
}

/// Whether a line of code holds a string of several words.
fn has_sentence(line: &str) -> bool {
    let mut strings = line.split('"').skip(1).step_by(2);
    strings.any(|text| text.split_whitespace().count() >= SENTENCE_WORDS)
}
