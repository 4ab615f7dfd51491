//! Fine-tuning from beginning to end: what `lora_finetune` and `deeper train` call.
//!
//! The base model is measured on the held-out rows, then trained, then measured again on the same
//! rows; differences come with paired bootstrap intervals. An adapter starts at B = 0, so the model
//! with a fresh adapter **is** the base model, and one copy serves for both measurements.
//!
//! Where several processes share a run, the first one calls [`finetune`] and the others [`follow`]:
//! they train and measure losses with it, and wait while it checks, answers and writes.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::audit::AuditReport;
use crate::bootstrap::{Interval, Part, RESAMPLES, paired_difference};
use crate::evaluate::{Answer, mean_loss};
use crate::monitor::checks::before_training;
use crate::observe::{End, Observer, Outcome};
use crate::runs::RunFolder;
use crate::session::Session;
use crate::{Error, Result};

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Held-out prompts to answer before and after; 0 answers none.
    pub answers: usize,
    /// The longest answer, in tokens.
    pub max_new_tokens: usize,
}

/// Where a fine-tuning run is.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage<'a> {
    /// The gradient audit passed.
    Audited(&'a AuditReport),
    /// Held-out loss is being measured: before (false) or after (true) training.
    Measuring(bool),
    /// A held-out prompt was answered: number, of how many, before or after, the answer.
    Answered(usize, usize, bool, &'a Answer),
    /// Training begins.
    Training,
    /// The result is being written.
    Saving,
}

/// One number before and after, with the interval of the difference after − before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BeforeAfter {
    /// The base model's.
    pub before: f64,
    /// The trained model's.
    pub after: f64,
    /// after − before with its 95 % interval.
    pub difference: Interval,
}

/// What a fine-tuning run measured.
#[derive(Clone, Debug, Serialize)]
pub struct FinetuneReport {
    /// Held-out loss per supervised token; `None` without held-out rows.
    pub loss: Option<BeforeAfter>,
    /// Share of held-out prompts answered exactly; `None` when none were asked.
    pub exact_match: Option<BeforeAfter>,
    /// Answers before and after, row by row.
    pub answers: Vec<(Answer, Answer)>,
    /// How training ended.
    pub outcome: Outcome,
    /// Scalars that were trained.
    pub trainable: usize,
    /// Scalars of model and adapter.
    pub total: usize,
    /// Tensors that the audit compared.
    pub audited: usize,
}

/// Audits, measures, trains, measures again and saves into the run folder.
///
/// # Errors
/// As the [`Session`]'s own steps; [`Error::Interrupted`] when `stop` was raised.
pub fn finetune(
    session: &Session,
    run: &RunFolder,
    measure: Measure,
    observers: &mut [&mut dyn Observer],
    stop: Option<&AtomicBool>,
    mut stage: impl FnMut(Stage),
) -> Result<FinetuneReport> {
    let processes = &session.processes;
    let audit = processes.agree(before_training(session, run))?;
    stage(Stage::Audited(&audit));
    let before = measured(session, measure, false, &mut stage)?;
    stage(Stage::Training);
    let outcome = session.train(Some(run), observers, stop)?;
    if outcome.end == End::Interrupted {
        let (step, checkpoint) = (outcome.steps, run.checkpoint(outcome.steps));
        return processes.agree(Err(Error::Interrupted { step, checkpoint }));
    }
    let after = measured(session, measure, true, &mut stage)?;
    stage(Stage::Saving);
    processes.agree(save(session, run))?;
    let seed = session.config.seed;
    let report = FinetuneReport {
        loss: compare(&before.losses, &after.losses, seed)?,
        exact_match: compare(&hits(&before.answers), &hits(&after.answers), seed)?,
        answers: before.answers.into_iter().zip(after.answers).collect(),
        outcome,
        trainable: session.parameters.count(),
        total: session.total_parameters()?,
        audited: audit.tensors,
    };
    processes.agree(write_report(run, &report))?;
    Ok(report)
}

/// The part of every process but the first in a run that several share: step by step what
/// [`finetune`] does in that one, as far as all have to be there.
///
/// # Errors
/// Its own, or [`Error::Peer`] for what went wrong in another process; a run that was asked to stop
/// is such an error of the first one.
pub fn follow(session: &Session, stop: Option<&AtomicBool>) -> Result<Outcome> {
    let processes = &session.processes;
    let measured = || {
        session.losses()?;
        processes.wait() // the answers
    };
    processes.wait()?; // the checks and the audit
    measured()?;
    let outcome = session.train(None, &mut [], stop)?;
    if outcome.end == End::Interrupted {
        processes.wait()?;
    }
    measured()?;
    processes.wait()?; // the result
    processes.wait()?; // the report
    Ok(outcome)
}

fn save(session: &Session, run: &RunFolder) -> Result<()> {
    session.save(&run.model(), run.resumed)?;
    crate::monitor::template::record(&run.model(), &session.codec)
}

struct Measured {
    losses: Vec<Part>,
    answers: Vec<Answer>,
}

fn measured(
    session: &Session,
    measure: Measure,
    trained: bool,
    stage: &mut impl FnMut(Stage),
) -> Result<Measured> {
    stage(Stage::Measuring(trained));
    let losses = session.losses()?;
    let total = measure.answers.min(session.dataset.validation_rows.len());
    let mut done = 0;
    let answers = session.answers(total, measure.max_new_tokens, |answer| {
        done += 1;
        stage(Stage::Answered(done, total, trained, answer));
    });
    let answers = session.processes.agree(answers)?;
    Ok(Measured { losses, answers })
}

fn hits(answers: &[Answer]) -> Vec<Part> {
    let hit = |answer: &Answer| Part {
        sum: f64::from(u8::from(answer.exact)),
        weight: 1.0,
    };
    answers.iter().map(hit).collect()
}

fn compare(before: &[Part], after: &[Part], seed: u64) -> Result<Option<BeforeAfter>> {
    if before.is_empty() {
        return Ok(None);
    }
    let difference = paired_difference(before, after, RESAMPLES, seed)?;
    Ok(Some(BeforeAfter {
        before: mean_loss(before),
        after: mean_loss(after),
        difference,
    }))
}

/// Writes `metrics.json` and one line for each answered prompt to `samples.jsonl`.
fn write_report(run: &RunFolder, report: &FinetuneReport) -> Result<()> {
    let fail = |path: &Path, error: serde_json::Error| Error::file(path, error.to_string());
    let metrics = serde_json::json!({
        "loss": report.loss,
        "exact_match": report.exact_match,
        "outcome": report.outcome,
        "trainable": report.trainable,
        "total": report.total,
    });
    run.write_json("metrics.json", &metrics)?;
    let mut samples = String::new();
    for (before, after) in &report.answers {
        let row = serde_json::json!({
            "prompt": after.prompt,
            "expected": after.expected,
            "before": before.answer,
            "after": after.answer,
            "exact_before": before.exact,
            "exact_after": after.exact,
        });
        let line = serde_json::to_string(&row).map_err(|error| fail(&run.path, error))?;
        samples.push_str(&line);
        samples.push('\n');
    }
    run.write("samples.jsonl", &samples)
}
