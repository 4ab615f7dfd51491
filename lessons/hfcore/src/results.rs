//! What came of a fine-tuning run, for the lessons to show and check.

use std::path::Path;

use anyhow::Result;
use candle_core::DType;
use llm_show::{Cell, Lesson, Table};
use llm_store::ModelFolder;
use llm_train::eval::{EvalConfig, Subject};
use llm_train::finetune::FinetuneReport;
use llm_train::session::Session;

use crate::asked::ask;
use crate::tuning::MAX_NEW_TOKENS;

/// Fewer steps show that a run works, and nothing else.
const ENOUGH_STEPS: u64 = 20;
/// Answers that are asked for again.
const AGAIN: usize = 4;

/// The names of the base tensors that are not those of the folder `base` any more, to the bit.
///
/// # Errors
/// A folder that cannot be read.
pub fn changed(session: &Session, base: &Path) -> Result<Vec<String>> {
    let folder = ModelFolder::open(base)?;
    let mut names = Vec::new();
    for (name, tensor) in session.model.named_tensors()? {
        let stored = folder.tensor(&name)?.to_dtype(tensor.dtype())?.to_device(tensor.device())?;
        let gap = (tensor.detach() - stored)?.abs()?.flatten_all()?.max(0)?;
        if gap.to_dtype(DType::F64)?.to_scalar::<f64>()? != 0.0 {
            names.push(name);
        }
    }
    Ok(names)
}

/// The held-out numbers before and after, with intervals; after enough steps also a check that the
/// loss fell.
pub fn show(lesson: &mut Lesson, report: &FinetuneReport, steps: u64) {
    let mut table = Table::new(&["held out", "base", "tuned", "tuned - base", "95 % interval"]);
    for (name, pair) in [("loss a token", &report.loss), ("exact match", &report.exact_match)] {
        if let Some(pair) = pair {
            let interval = format!("{:+.4} to {:+.4}", pair.difference.low, pair.difference.high);
            let values = [pair.before, pair.after, pair.difference.value].map(Cell::from);
            let cells = [Cell::from(name)].into_iter().chain(values);
            table.push(cells.chain([Cell::number(interval)]).collect());
        }
    }
    lesson.show(&table);
    match report.loss {
        Some(loss) if steps >= ENOUGH_STEPS => {
            lesson.check_that("held-out loss", "fell for sure", loss.difference.high < 0.0);
        }
        _ => lesson.say("Too few steps to learn anything: this run shows what a step costs."),
    }
}

/// Whether the result in `folder`, a model or an adapter on `base`, read again, answers as the model
/// did at the end of the run.
///
/// # Errors
/// A result that cannot be read.
pub fn answers_again(
    session: &Session,
    base: &Path,
    folder: &Path,
    report: &FinetuneReport,
) -> Result<bool> {
    let config = EvalConfig {
        device: session.config.device.clone(),
        dtype: session.config.dtype.clone(),
        ..EvalConfig::default()
    };
    let adapter = folder.join(llm_store::adapter::CONFIG_FILE).exists().then_some(folder);
    let model = if adapter.is_some() { base } else { folder };
    let subject = Subject::open(&config, model, adapter)?;
    let rows = session.dataset.validation_rows.iter();
    for (row, (_, after)) in rows.zip(&report.answers).take(AGAIN) {
        if ask(&subject, row.prompt(), MAX_NEW_TOKENS)?.text != after.answer {
            return Ok(false);
        }
    }
    Ok(true)
}
