//! Rows as the loss sees them: tokens with labels, gradients of several micro-batches, a few rows by
//! heart.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use llm_core::nn::Pass;
use llm_core::ops::{Ops, record};
use llm_core::text::visible::token;
use llm_show::{Look, Table};
use llm_train::batch::{Batch, collate};
use llm_train::labels::Example;
use llm_train::model::LanguageModel;
use llm_train::optimizer::AdamW;
use llm_train::schedule::{Schedule, ScheduleKind};
use llm_train::session::Session;
use llm_train::step::Stepper;

/// The rate at which rows are learnt by heart.
const RATE: f64 = 3e-3;

/// A row as the loss sees it: each token with its label.
pub fn labelled(session: &Session, example: &Example, look: Look) -> Table {
    let mut table = Table::new(&["token", "id", "label"]).limit(40);
    for (&id, &label) in example.ids.iter().zip(&example.labels) {
        let shown = token(&session.codec.tokenizer.piece(id), look.ascii);
        let label = if label < 0 { "-100".to_owned() } else { label.to_string() };
        table.row([shown.into(), (id as usize).into(), label.into()]);
    }
    table
}

/// The first `count` examples, those with few tokens that count before those with many, so that
/// neighbours are alike and parts of them are not.
pub fn by_length(examples: &[Example], count: usize) -> Vec<&Example> {
    let mut chosen: Vec<&Example> = examples.iter().take(count).collect();
    chosen.sort_by_key(|example| example.supervised());
    chosen
}

/// How the losses of micro-batches become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weighting {
    /// Each token weighs alike: sums over the tokens of all micro-batches.
    Tokens,
    /// Each micro-batch weighs alike: the mean of their means.
    Batches,
}

/// The gradients of the loss over all `parts`, one forward and backward pass for each.
///
/// # Errors
/// What model and graph report.
pub fn gradients(
    session: &Session,
    parts: &[&[&Example]],
    weighting: Weighting,
) -> Result<BTreeMap<String, Tensor>> {
    let all: usize = parts.iter().flat_map(|part| part.iter()).map(|row| row.supervised()).sum();
    let mut sums: BTreeMap<String, Tensor> = BTreeMap::new();
    for part in parts {
        let batch = collate(part, session.codec.pad(), session.device())?;
        // ANCHOR: weighting
        let scale = match weighting {
            Weighting::Tokens => 1.0 / all as f64,
            Weighting::Batches => 1.0 / (parts.len() * batch.supervised) as f64,
        };
        // ANCHOR_END: weighting
        let (loss, tape) = record(|| loss(session, &batch, scale));
        let store = tape.backward(&loss?)?;
        for (name, var) in session.parameters.iter() {
            let found = store.get(var).with_context(|| format!("{name} has no gradient"))?;
            let found = found.detach();
            let sum = match sums.get(name) {
                Some(sum) => (sum + found)?,
                None => found,
            };
            sums.insert(name.to_owned(), sum);
        }
    }
    Ok(sums)
}

fn loss(session: &Session, batch: &Batch, scale: f64) -> Result<Tensor> {
    let pass = Pass::eval(Ops::for_device(session.device()));
    Ok(LanguageModel::loss(&session.model, batch, &pass, scale)?)
}

/// The largest difference of two sets of gradients, as a share of the largest gradient.
///
/// # Errors
/// A name that only one has.
pub fn apart(found: &BTreeMap<String, Tensor>, expected: &BTreeMap<String, Tensor>) -> Result<f64> {
    let (mut gap, mut size) = (0.0_f64, 0.0_f64);
    for (name, want) in expected {
        let have = found.get(name).with_context(|| format!("{name} has no gradient"))?;
        gap = gap.max(largest(&(have - want)?)?);
        size = size.max(largest(want)?);
    }
    Ok(gap / size)
}

fn largest(tensor: &Tensor) -> Result<f64> {
    let most = tensor.abs()?.flatten_all()?.max(0)?;
    Ok(most.to_dtype(DType::F64)?.to_scalar()?)
}

/// Trains on the first `count` rows alone; the loss of each step, and the last one after it.
///
/// # Errors
/// What model and optimizer report.
pub fn by_heart(session: &Session, count: usize, steps: u64) -> Result<Vec<f64>> {
    let rows: Vec<&Example> = session.dataset.train.iter().take(count).collect();
    let batch = collate(&rows, session.codec.pad(), session.device())?;
    let scale = 1.0 / batch.supervised as f64;
    let (kind, total_steps) = (ScheduleKind::Cosine, steps);
    let (max_lr, min_lr, warmup_steps) = (RATE, RATE / 10.0, steps / 10);
    let parameters = session.parameters.clone();
    let mut stepper = Stepper {
        optimizer: AdamW::new(&parameters, session.config.adamw(), |_, _| false)?,
        parameters,
        schedule: Schedule { kind, max_lr, min_lr, warmup_steps, total_steps },
        max_grad_norm: Some(1.0),
        scaler: None,
    };
    let pass = Pass::eval(Ops::for_device(session.device()));
    let mean = || -> llm_train::Result<Tensor> {
        Ok(LanguageModel::loss(&session.model, &batch, &pass, scale)?)
    };
    let mut losses = Vec::new();
    for _ in 0..steps {
        losses.push(stepper.step(1, |_| mean())?.loss);
    }
    losses.push(mean()?.to_dtype(DType::F64)?.to_scalar()?);
    Ok(losses)
}
