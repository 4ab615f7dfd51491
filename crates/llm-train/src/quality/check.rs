//! All checks over whole files.

use std::collections::HashMap;

use super::content::{quoted, repetition, suspicions};
use super::forms::{Digest, Digests, Ladder, map_bytes};
use super::near::{BUDGET_BYTES, Bands, Compare, THRESHOLD, pairs, shingles};
use super::read::{Entries, Entry, Input, Part, Sample};
use super::report::{Finding, Place, Problem, Report};
use crate::{Error, Result};

/// Rows between two calls of a progress function.
const ROWS_PER_CALL: usize = 1024;

/// The length of a row, or why it has none.
pub type Length<'a> = Box<dyn FnMut(&Sample) -> Result<usize, String> + 'a>;

/// What to look for.
pub struct Options<'a> {
    /// Findings of each problem that are kept; all are counted.
    pub keep: usize,
    /// Jaccard's index from which two rows are nearly the same; `None` does not look for them.
    pub near: Option<f64>,
    /// The longest row, in what `length` gives.
    pub max_length: Option<usize>,
    /// How rows are measured.
    pub length: Length<'a>,
    /// Control tokens of the model in use, beside those that are known.
    pub special: Vec<String>,
}

impl Default for Options<'_> {
    /// Near-duplicates from 0.8 on, no limit of the length, which counts characters.
    fn default() -> Self {
        Self {
            keep: usize::MAX,
            near: Some(THRESHOLD),
            max_length: None,
            length: Box::new(|sample| {
                Ok(sample.texts().iter().map(|text| text.chars().count()).sum())
            }),
            special: Vec::new(),
        }
    }
}

/// Called with what is being done, the bytes done and all bytes.
pub type Progress<'a> = &'a mut dyn FnMut(&str, u64, u64);

/// Checks every row of `inputs`: training files first, then held-out ones.
///
/// The files are read once, and a second time where rows may be nearly the same.
///
/// # Errors
/// A file that cannot be opened or read, or that changed between two readings. What is wrong with
/// rows is in the report.
pub fn check(inputs: &[Input], options: Options, progress: Progress) -> Result<Report> {
    let mut sorted = inputs.to_vec();
    sorted.sort_by_key(|input| input.part);
    let near = options.near;
    let mut checker = Checker::new(options, sorted.iter().any(|input| input.part == Part::Held));
    each(&sorted, "reading", progress, |entry| checker.add(&entry))?;
    checker.files_without_rows(&sorted);
    checker.report.index_bytes = checker.bytes();
    if let Some(threshold) = near {
        let rows = checker.places.len();
        let bands = std::mem::take(&mut checker.bands).sort();
        let compare = Compare {
            threshold,
            removing: false,
            budget_bytes: BUDGET_BYTES,
        };
        let found = pairs(&bands, compare, |visit| {
            read_again(&sorted, rows, progress, visit)
        })?;
        for pair in found {
            checker.near_pair(pair.row, pair.of, pair.jaccard);
        }
    }
    let mut report = checker.report;
    report.findings.sort_by_key(|finding| finding.problem);
    Ok(report)
}

/// Reads all entries and says how far it is.
pub(super) fn each(
    inputs: &[Input],
    what: &str,
    progress: Progress,
    mut visit: impl FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let total = inputs.iter().map(Input::bytes).sum();
    let mut entries = Entries::new(inputs);
    let mut rows = 0_usize;
    while let Some(entry) = entries.next() {
        visit(entry?)?;
        rows += 1;
        if rows.is_multiple_of(ROWS_PER_CALL) {
            progress(what, entries.bytes_done(), total);
        }
    }
    if rows >= ROWS_PER_CALL {
        progress(what, total, total);
    }
    Ok(())
}

/// Hands the texts of every row to `visit`, as [`pairs`] wants it.
pub(super) fn read_again(
    inputs: &[Input],
    rows: usize,
    progress: Progress,
    visit: &mut dyn FnMut(u32, &[&str]),
) -> Result<()> {
    let mut row = 0_u32;
    each(inputs, "comparing", progress, |entry| {
        if let Ok(sample) = &entry.sample {
            visit(row, &sample.texts());
        }
        row = row.saturating_add(1);
        Ok(())
    })?;
    match row as usize == rows {
        true => Ok(()),
        false => Err(Error::input("data", "changed while it was read")),
    }
}

/// The number of the next row.
pub(super) fn next_row(rows: usize) -> Result<u32> {
    let problem = "has more than four billion rows, expected fewer";
    u32::try_from(rows).map_err(|_| Error::input("data", problem))
}

/// Where a row stands, in eight bytes.
#[derive(Clone, Copy, Debug)]
struct Origin {
    file: u32,
    line: u32,
}

/// What is known after the rows so far.
struct Checker<'a> {
    options: Options<'a>,
    report: Report,
    files: Vec<Place>,
    places: Vec<Origin>,
    /// Whole rows of each part.
    rows: [Ladder; 2],
    /// Questions that are trained on, if anything is held out.
    questions: Option<Ladder>,
    /// The first answer to each question.
    answers: HashMap<Digest, (u32, u64)>,
    bands: Bands,
}

impl<'a> Checker<'a> {
    fn new(options: Options<'a>, has_held: bool) -> Self {
        Self {
            options,
            report: Report::default(),
            files: Vec::new(),
            places: Vec::new(),
            rows: Default::default(),
            questions: has_held.then(Ladder::default),
            answers: HashMap::new(),
            bands: Bands::default(),
        }
    }

    fn add(&mut self, entry: &Entry) -> Result<()> {
        let row = next_row(self.places.len())?;
        self.remember(&entry.at);
        match entry.part {
            Part::Train => self.report.train_rows += 1,
            Part::Held => self.report.held_rows += 1,
        }
        match &entry.sample {
            Err((problem, detail)) => self.found(*problem, &entry.at, None, detail.clone()),
            Ok(sample) => {
                self.alone(sample, &entry.at);
                self.among_others(sample, entry, row);
            }
        }
        Ok(())
    }

    fn remember(&mut self, at: &Place) {
        if self.files.last().is_none_or(|last| last.path != at.path) {
            self.files.push(at.clone());
        }
        let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.places.push(Origin {
            file: short(self.files.len() - 1),
            line: short(at.line),
        });
    }

    fn place(&self, row: u32) -> Option<Place> {
        let origin = self.places.get(row as usize)?;
        let file = self.files.get(origin.file as usize)?;
        Some(Place {
            path: file.path.clone(),
            line: origin.line as usize,
        })
    }

    fn found(&mut self, problem: Problem, at: &Place, other: Option<u32>, detail: String) {
        let other = other.and_then(|row| self.place(row));
        let finding = Finding {
            problem,
            at: at.clone(),
            other,
            detail,
        };
        self.report.add(finding, self.options.keep);
    }

    /// What a row shows by itself.
    fn alone(&mut self, sample: &Sample, at: &Place) {
        let mut seen = Vec::new();
        for text in sample.texts() {
            for (problem, detail) in suspicions(text, &self.options.special) {
                if !seen.contains(&problem) {
                    seen.push(problem);
                    self.found(problem, at, None, detail);
                }
            }
        }
        if let Sample::Row(row) = sample
            && let Some(asked) = row.prompt().last()
            && let Some((problem, detail)) = repetition(&asked.content, row.completion())
        {
            self.found(problem, at, None, detail);
        }
        let Some(most) = self.options.max_length else {
            return;
        };
        match (self.options.length)(sample) {
            Ok(length) if length > most => {
                self.found(
                    Problem::Overlong,
                    at,
                    None,
                    format!("{length}, at most {most}"),
                );
            }
            Ok(_) => {}
            Err(problem) => self.found(Problem::Malformed, at, None, problem),
        }
    }

    /// What a row shows beside the earlier ones.
    fn among_others(&mut self, sample: &Sample, entry: &Entry, row: u32) {
        let whole = Digests::of(&sample.texts());
        let question = sample.question();
        let at = &entry.at;
        let rows = &mut self.rows[usize::from(entry.part == Part::Held)];
        let same = rows.find(&whole);
        rows.insert(&whole, row);
        if let Some((other, kind)) = same {
            self.found(Problem::Duplicate(kind), at, Some(other), quoted(&question));
        }
        let leak = self.leak(&question, entry.part, row);
        if let Some((other, kind)) = leak {
            self.found(Problem::Leak(kind), at, Some(other), quoted(&question));
        }
        if entry.part == Part::Train {
            self.contradiction(sample, &question, at, row);
        }
        // What is the same or leaks has its finding already
        if self.options.near.is_some() && same.is_none() && leak.is_none() {
            self.bands.add(row, &shingles(&sample.texts()));
        }
    }

    fn leak(&mut self, question: &str, part: Part, row: u32) -> Option<(u32, super::Kind)> {
        let questions = self.questions.as_mut()?;
        let digests = Digests::of(&[question]);
        match part {
            Part::Held => questions.find(&digests),
            Part::Train => {
                questions.insert(&digests, row);
                None
            }
        }
    }

    fn contradiction(&mut self, sample: &Sample, question: &str, at: &Place, row: u32) {
        let Some(answer) = sample.answer() else {
            return;
        };
        let (asked, (answered, _)) = (
            Digests::of(&[question]).loosest(),
            Digests::of(&[answer]).loosest(),
        );
        let (first, other) = *self.answers.entry(asked).or_insert((row, answered));
        if other != answered {
            let detail = format!("{} to {}", quoted(answer), quoted(question));
            self.found(Problem::Contradiction, at, Some(first), detail);
        }
    }

    /// Training refuses a file without rows.
    fn files_without_rows(&mut self, inputs: &[Input]) {
        for input in inputs {
            if !self.files.iter().any(|file| file.path == input.path) {
                let at = Place {
                    path: input.path.clone(),
                    line: 1,
                };
                self.found(Problem::Empty, &at, None, "the file has no rows".into());
            }
        }
    }

    fn near_pair(&mut self, row: u32, of: u32, jaccard: f64) {
        let Some(at) = self.place(row) else {
            return;
        };
        // Rows of training come first
        let trained = |row: u32| (row as usize) < self.report.train_rows;
        let problem = match !trained(row) && trained(of) {
            true => Problem::NearLeak,
            false => Problem::NearDuplicate,
        };
        let detail = format!("{:.0} % of the words in fives", 100.0 * jaccard);
        self.found(problem, &at, Some(of), detail);
    }

    /// About the bytes of all that is kept of rows.
    fn bytes(&self) -> usize {
        let questions = self.questions.as_ref().map_or(0, Ladder::bytes);
        self.rows.iter().map(Ladder::bytes).sum::<usize>()
            + questions
            + map_bytes::<Digest, (u32, u64)>(self.answers.capacity())
            + self.bands.bytes()
            + self.places.capacity() * size_of::<Origin>()
    }
}
