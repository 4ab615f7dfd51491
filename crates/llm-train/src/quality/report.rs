//! Findings: what was found, where, and how bad it is.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::forms::Kind;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Training would stop at the row, or what is measured afterwards would not be true.
    Error,
    /// Training works, and what it learns may not be what was meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What can be wrong with a row, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Problem {
    /// A line that training refuses.
    Malformed,
    /// A prompt or an answer in which nothing can be seen, or a file without rows.
    Empty,
    /// A held-out question that is also trained on.
    Leak(Kind),
    /// A held-out row that is nearly a trained one.
    NearLeak,
    /// More tokens or characters than allowed.
    Overlong,
    /// The same row once more.
    Duplicate(Kind),
    /// Nearly the same row once more.
    NearDuplicate,
    /// The same question with another answer.
    Contradiction,
    /// UTF-8 that was read as Latin-1.
    Mojibake,
    /// A control character.
    Control,
    /// A byte order mark inside the text.
    ByteOrderMark,
    /// U+FFFD, left by a decoder that met something else.
    Replacement,
    /// The answer is the question.
    AnswerIsPrompt,
    /// The answer holds the whole question.
    AnswerHoldsPrompt,
    /// A block of code that is opened and not closed.
    OpenFence,
    /// A string that is a control token.
    SpecialToken,
}

impl Problem {
    /// Errors are rows that training refuses and exact leaks.
    pub fn severity(self) -> Severity {
        match self {
            Self::Malformed | Self::Empty | Self::Leak(_) => Severity::Error,
            _ => Severity::Warning,
        }
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Empty => "empty",
            Self::Leak(_) => "leak",
            Self::NearLeak => "near_leak",
            Self::Overlong => "overlong",
            Self::Duplicate(_) => "duplicate",
            Self::NearDuplicate => "near_duplicate",
            Self::Contradiction => "contradiction",
            Self::Mojibake => "mojibake",
            Self::Control => "control_character",
            Self::ByteOrderMark => "byte_order_mark",
            Self::Replacement => "replacement_character",
            Self::AnswerIsPrompt => "answer_is_prompt",
            Self::AnswerHoldsPrompt => "answer_holds_prompt",
            Self::OpenFence => "open_code_fence",
            Self::SpecialToken => "special_token",
        }
    }

    /// Under which kind two texts are the same, where that is what was found.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::Leak(kind) | Self::Duplicate(kind) => Some(kind),
            _ => None,
        }
    }

    /// What it means, in half a line.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Malformed => "training refuses the line",
            Self::Empty => "nothing to read or to learn",
            Self::Leak(_) => "a held-out question is trained on",
            Self::NearLeak => "a held-out row is nearly trained on",
            Self::Overlong => "training would cut off the end",
            Self::Duplicate(_) => "the row counts twice",
            Self::NearDuplicate => "nearly the same row counts twice",
            Self::Contradiction => "one question, two answers",
            Self::Mojibake => "UTF-8 that was read as Latin-1",
            Self::Control => "invisible, and seldom meant",
            Self::ByteOrderMark => "U+FEFF inside the text",
            Self::Replacement => "a decoder lost a character (U+FFFD)",
            Self::AnswerIsPrompt => "the answer is the question",
            Self::AnswerHoldsPrompt => "the answer repeats the question",
            Self::OpenFence => "a code block does not close",
            Self::SpecialToken => "a control token spelled out",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = self.name().replace('_', " ");
        match self.kind() {
            Some(kind) => write!(f, "{name} ({})", kind.as_str()),
            None => write!(f, "{name}"),
        }
    }
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: Arc<PathBuf>,
    /// The line, or the row of a `.json` file; counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub problem: Problem,
    /// Where.
    pub at: Place,
    /// The other row of a pair, the earlier one.
    pub other: Option<Place>,
    /// What shows it, in a few words; may be empty.
    pub detail: String,
}

impl Finding {
    /// One object: `kind`, `match` for equal texts, `severity`, `path`, `line`, `other_path` and
    /// `other_line` for pairs, `detail`.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.into(), value);
        put("kind", self.problem.name().into());
        if let Some(kind) = self.problem.kind() {
            put("match", kind.as_str().into());
        }
        put("severity", self.problem.severity().as_str().into());
        put("path", self.at.path.display().to_string().into());
        put("line", self.at.line.into());
        if let Some(other) = &self.other {
            put("other_path", other.path.display().to_string().into());
            put("other_line", other.line.into());
        }
        put("detail", self.detail.as_str().into());
        Value::Object(object)
    }
}

/// What was found in a data set.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Rows to train on, refused lines among them.
    pub train_rows: usize,
    /// Held-out rows, refused lines among them.
    pub held_rows: usize,
    /// How often each problem was found.
    pub counts: BTreeMap<Problem, usize>,
    /// The first findings of each problem, by problem and then in the order of the files.
    pub findings: Vec<Finding>,
    /// About how many bytes of hashes the search for equal and nearly equal rows took.
    pub index_bytes: usize,
}

impl Report {
    /// All rows.
    pub fn rows(&self) -> usize {
        self.train_rows + self.held_rows
    }

    /// The number of findings of this severity.
    pub fn total(&self, severity: Severity) -> usize {
        let counts = self.counts.iter();
        counts
            .filter(|(problem, _)| problem.severity() == severity)
            .map(|(_, count)| count)
            .sum()
    }

    /// Counts `finding`, and keeps it while there are fewer than `keep` of its problem.
    pub(super) fn add(&mut self, finding: Finding, keep: usize) {
        let count = self.counts.entry(finding.problem).or_default();
        *count += 1;
        if *count <= keep {
            self.findings.push(finding);
        }
    }

    /// Rows and counts as one object.
    pub fn summary(&self) -> Value {
        let named = |(problem, count): (&Problem, &usize)| (problem.to_string(), (*count).into());
        let counts: Map<String, Value> = self.counts.iter().map(named).collect();
        serde_json::json!({
            "kind": "summary",
            "train_rows": self.train_rows,
            "held_rows": self.held_rows,
            "errors": self.total(Severity::Error),
            "warnings": self.total(Severity::Warning),
            "counts": counts,
        })
    }
}
