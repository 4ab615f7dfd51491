//! HumanEval (Chen et al., 2021, <https://arxiv.org/abs/2107.03374>): programs from their first
//! lines.
//!
//! **Nothing that a model wrote is run here.** Candidates go to `samples.jsonl` in the layout of the
//! original `human-eval` tool, `{"task_id", "completion"}`, for a sandbox of your own; what it
//! writes back (`…_results.jsonl` with `passed`) becomes pass@k by [`passes`]. What is measured
//! without running anything is the loss of each problem's own solution.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::choice::{Kind, Question, context_ids};
use super::record::Record;
use super::run::Evaluation;
use crate::labels::assemble;
use crate::{Error, Result};

/// Problems of the published set.
pub const PROBLEMS: usize = 164;
/// Candidates for a sandbox.
pub(super) const SAMPLES_FILE: &str = "samples.jsonl";
/// What begins something new after a function's body (section 2.1 of the paper).
const UNTIL: [&str; 5] = ["\nclass", "\ndef", "\n#", "\nif", "\nprint"];
/// The published set unpacks to 0.2 MB; a file that unpacks to more than this is something else.
const LARGEST_BYTES: u64 = 1 << 26;

/// A line of the problems. Other keys are left alone.
#[derive(Deserialize)]
struct Problem {
    task_id: String,
    prompt: String,
    canonical_solution: String,
}

/// The problems of a `.jsonl` or `.jsonl.gz` file.
pub(super) fn read(path: &Path, partial: bool) -> Result<(Vec<Question>, Vec<PathBuf>)> {
    let text = read_text(path)?;
    let mut questions = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let problem: Problem = serde_json::from_str(line).map_err(|error| {
            let what = "\"task_id\", \"prompt\", \"canonical_solution\"";
            Error::line(
                path,
                index + 1,
                format!("is not a problem of {what} ({error})"),
            )
        })?;
        questions.push(Question {
            place: format!("{}:{}", path.display(), index + 1),
            group: Some(problem.task_id),
            asked: problem.prompt.clone(),
            context: problem.prompt,
            kind: Kind::Program(problem.canonical_solution),
        });
    }
    if questions.is_empty() || (questions.len() != PROBLEMS && !partial) {
        let problem = format!(
            "has {} problems, expected {PROBLEMS}; set `limit` to ask a part",
            questions.len()
        );
        return Err(Error::file(path, problem));
    }
    Ok((questions, vec![path.to_path_buf()]))
}

fn read_text(path: &Path) -> Result<String> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let reader: Box<dyn Read> = match packed {
        true => Box::new(flate2::read::GzDecoder::new(file)),
        false => Box::new(file),
    };
    let mut text = String::new();
    reader
        .take(LARGEST_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| Error::file(path, format!("cannot be read ({error})")))?;
    if text.len() as u64 > LARGEST_BYTES {
        return Err(Error::file(
            path,
            format!("unpacks to more than {LARGEST_BYTES} bytes"),
        ));
    }
    Ok(text)
}

/// Measures the loss of the given solution and lets the model write one of its own.
pub(super) fn ask(
    evaluation: &Evaluation,
    prompt: &str,
    solution: &str,
    record: &mut Record,
) -> Result<()> {
    let subject = &evaluation.subject;
    let ids = context_ids(evaluation, prompt)?;
    record.prompt_tokens = ids.len();
    record.reference = solution.to_owned();
    let known = subject.codec.tokenizer.encode(solution)?;
    let (example, cut) = assemble(ids.clone(), known, None, subject.context());
    if let Some(example) = example.filter(|_| !cut) {
        record.loss = Some(evaluation.loss(&example, solution.len())?);
    }
    evaluation.answer(record, &ids, &UNTIL)
}

/// The candidates of `records` as the text of `samples.jsonl`; `None` when they are no programs.
pub(super) fn samples(records: &[Record]) -> Option<String> {
    let programs = |record: &&Record| record.choice.is_none() && record.scores.is_none();
    let mut text = String::new();
    for record in records.iter().filter(programs) {
        let task = record.group.as_ref()?;
        let line = serde_json::json!({ "task_id": task, "completion": record.prediction });
        text.push_str(&format!("{line}\n"));
    }
    (!text.is_empty()).then_some(text)
}

/// The unbiased estimate of pass@k from `correct` of `samples` candidates:
/// `1 − C(n − c, k) / C(n, k)`, as a product that stays in range (the paper's figure 3).
///
/// `None` when fewer than `k` candidates were made.
///
/// ```
/// use llm_train::eval::humaneval::pass_at_k;
/// assert_eq!(pass_at_k(4, 1, 1), Some(0.25));
/// assert_eq!(pass_at_k(4, 1, 2), Some(0.5));
/// assert_eq!(pass_at_k(4, 0, 2), Some(0.0));
/// assert_eq!(pass_at_k(4, 4, 9), None);
/// ```
pub fn pass_at_k(samples: usize, correct: usize, k: usize) -> Option<f64> {
    if k == 0 || k > samples || correct > samples {
        return None;
    }
    if samples - correct < k {
        return Some(1.0);
    }
    let all_wrong: f64 = (samples - correct + 1..=samples)
        .map(|n| 1.0 - k as f64 / n as f64)
        .product();
    Some(1.0 - all_wrong)
}

/// What a sandbox said of the candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct Passes {
    /// Problems with at least one candidate.
    pub problems: usize,
    /// The fewest candidates of a problem.
    pub samples: usize,
    /// Mean pass@k over the problems, for each k of 1, 10 and 100 that every problem has
    /// candidates for.
    pub at: Vec<(usize, f64)>,
}

/// A line of a sandbox's results. Other keys are left alone.
#[derive(Deserialize)]
struct Outcome {
    task_id: String,
    passed: bool,
}

/// Reads the results of a sandbox, `{"task_id", "passed"}` rows.
///
/// # Errors
/// A file that cannot be read, or a line that is not such a row.
pub fn passes(path: &Path) -> Result<Passes> {
    let text = read_text(path)?;
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let outcome: Outcome = serde_json::from_str(line).map_err(|error| {
            Error::line(
                path,
                index + 1,
                format!("is not \"task_id\" and \"passed\" ({error})"),
            )
        })?;
        let (correct, all) = counts.entry(outcome.task_id).or_default();
        *correct += usize::from(outcome.passed);
        *all += 1;
    }
    let Some(samples) = counts.values().map(|(_, all)| *all).min() else {
        return Err(Error::file(path, "has no results, expected at least one"));
    };
    let mean = |k: usize| {
        let each: Option<Vec<f64>> = counts
            .values()
            .map(|&(correct, all)| pass_at_k(all, correct, k))
            .collect();
        Some((k, each?.iter().sum::<f64>() / counts.len() as f64))
    };
    Ok(Passes {
        problems: counts.len(),
        samples,
        at: [1, 10, 100].into_iter().filter_map(mean).collect(),
    })
}
