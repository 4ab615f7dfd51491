//! The name of what went wrong, from the files that a run left.
//!
//! Evidence is looked at in the order of its weight: why the run failed, which checks found
//! something and were passed over, what the rules saw while it ran, and what they see in the log
//! now, which works for a run that nobody watched.

use serde::Serialize;

use super::checks;
use super::failure::{Failure, Kind};
use super::record::Record;
use super::rules::{LARGE_GRADIENT, Rule, Warning, Watch};
use super::sabotage::Fault;
use crate::config::Method;
use crate::observe::LogRow;
use crate::step::StepReport;

/// A learning rate below this moves nothing in f32.
const TINY_LR: f64 = 1e-9;
/// Adam moves each weight by about the learning rate: one above this throws any model about.
const WILD_LR: f64 = 0.1;
/// Steps named as evidence for one rule.
const SHOWN: usize = 6;
/// Memory above this share of the limit, in the last row of a run that just ends.
const FULL: f64 = 0.9;

/// One fault with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its name; that of [`Fault`] where there is one.
    pub fault: String,
    /// What shows it: figures with their steps, rows, files.
    pub evidence: Vec<String>,
    /// What to do.
    pub remedy: String,
}

/// What a run's files say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnosis {
    /// The run's name.
    pub run: String,
    /// Whether no fault was found.
    pub healthy: bool,
    /// Faults, the weightiest first.
    pub findings: Vec<Finding>,
    /// What was looked at, and what is worth knowing beside faults.
    pub notes: Vec<String>,
}

/// Names the faults of a run.
pub fn diagnose(record: &Record) -> Diagnosis {
    let mut findings = Vec::new();
    findings.extend(
        record
            .failure
            .as_ref()
            .and_then(|failure| failed(failure, record)),
    );
    findings.extend(passed_over(record));
    findings.extend(killed_by_memory(record));
    let mut warnings = record.warnings.clone();
    let method = record
        .config
        .as_ref()
        .map_or_else(Method::default, |config| config.method);
    warnings.extend(seen_again(&record.rows, method));
    findings.extend(seen(&warnings, record));
    // One fault may be found in several ways: the first has the most weight.
    let mut names = Vec::new();
    findings.retain(|finding| {
        let new = !names.contains(&finding.fault);
        names.push(finding.fault.clone());
        new
    });
    Diagnosis {
        run: record.name(),
        healthy: findings.is_empty(),
        findings,
        notes: notes(record),
    }
}

/// What the rules say to the rows of a log, each as if it were a step.
fn seen_again(rows: &[LogRow], method: Method) -> Vec<Warning> {
    let mut watch = Watch::rows().of_method(method);
    rows.iter()
        .flat_map(|row| {
            let mut warnings = watch.step(&StepReport {
                step: row.step,
                loss: row.loss,
                grad_norm: row.grad,
                lr: row.lr,
            });
            warnings.extend(watch.row(row));
            warnings
        })
        .collect()
}

fn finding(fault: Fault, evidence: Vec<String>, remedy: impl Into<String>) -> Finding {
    Finding {
        fault: fault.name().to_owned(),
        evidence,
        remedy: remedy.into(),
    }
}

/// The fault behind a run's failure; none where nothing is wrong with the training itself.
fn failed(failure: &Failure, record: &Record) -> Option<Finding> {
    let evidence = vec![failure.error.clone()];
    let hint = failure.hint.clone().unwrap_or_default();
    match failure.kind {
        Kind::Interrupted => None,
        Kind::Check => Some(Finding {
            fault: failure.check.clone().unwrap_or_default(),
            evidence,
            remedy: hint,
        }),
        Kind::Audit => {
            let missing = ["gets no gradient", "zeros"]
                .iter()
                .any(|w| failure.error.contains(w));
            let (fault, remedy) = if missing {
                let remedy = "the tensor is not part of the loss: look for a copy that the model does \
                              not use, a detach, or an operation without a backward pass";
                (Fault::DetachedParameter, remedy)
            } else {
                let remedy = "the tensor is used in several places and one of them loses its gradient: \
                              look at tied weights and fused operations";
                (Fault::PartialGradient, remedy)
            };
            Some(finding(fault, evidence, remedy))
        }
        Kind::NotFinite => Some(not_finite(failure, record)),
        Kind::Io | Kind::Process | Kind::Other => Some(Finding {
            fault: match failure.kind {
                Kind::Io => "disk",
                Kind::Process => "process",
                _ => "input",
            }
            .to_owned(),
            evidence,
            remedy: hint,
        }),
    }
}

/// NaN after large gradients or a rising loss is the learning rate; without them it is the data or
/// the weights.
fn not_finite(failure: &Failure, record: &Record) -> Finding {
    let mut evidence = vec![failure.error.clone()];
    let rates: Vec<f64> = record.rows.iter().map(|row| row.lr).collect();
    let highest = rates.iter().copied().fold(0.0, f64::max);
    let set = record.config.as_ref().map_or(0.0, |config| config.lr);
    let large = record.rows.iter().find(|row| row.grad > LARGE_GRADIENT);
    let risen = record
        .rows
        .first()
        .zip(record.rows.last())
        .filter(|(a, b)| b.loss > 1.2 * a.loss);
    evidence.extend(
        large.map(|row| format!("step {}: the gradient norm was {:.4}", row.step, row.grad)),
    );
    evidence.extend(risen.map(|(a, b)| {
        format!(
            "the loss rose from {:.4} at step {} to {:.4} at step {}",
            a.loss, a.step, b.loss, b.step
        )
    }));
    let early = failure.step.is_none_or(|step| step <= 1);
    if large.is_some() || risen.is_some() || (!early && highest.max(set) > 1e-2) {
        evidence.push(format!("lr is {:e}", highest.max(set)));
        return finding(
            Fault::LrTooHigh,
            evidence,
            "divide `lr` by 10, raise `warmup_ratio`, keep `max_grad_norm` at 1",
        );
    }
    Finding {
        fault: "not-finite".into(),
        evidence,
        remedy: "nothing led up to it: look for NaN in the weights (`deeper inspect --model`) and \
                 for odd rows in the data"
            .into(),
    }
}

/// Checks that failed and were let pass.
fn passed_over(record: &Record) -> Vec<Finding> {
    let failed = record
        .checks
        .iter()
        .filter(|check| !check.ok && check.name != "gradient-audit");
    let finding = |check: &checks::Checked| Finding {
        fault: check.name.clone(),
        evidence: check.note.iter().cloned().collect(),
        remedy: check.name.parse().map_or("", checks::hint).to_owned(),
    };
    failed.map(finding).collect()
}

/// A run that neither ended nor failed, with its memory full at the last row.
fn killed_by_memory(record: &Record) -> Option<Finding> {
    if record.metrics.is_some() || record.failure.is_some() {
        return None;
    }
    let last = record.system.last()?;
    let (used, limit) = last.memory_bytes.zip(last.memory_limit)?;
    let full = used as f64 > FULL * limit as f64;
    full.then(|| {
        let evidence = format!(
            "the log ends at step {} without an end, with {used} of {limit} bytes of memory taken",
            last.step
        );
        finding(Fault::OutOfMemory, vec![evidence], Rule::Memory.hint())
    })
}

/// Faults behind the rules that held, in the order of [`Rule`].
fn seen(warnings: &[Warning], record: &Record) -> Vec<Finding> {
    let mut rules: Vec<Rule> = warnings.iter().map(|warning| warning.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    let diverges = rules.contains(&Rule::Diverging);
    let explained = |rule: &Rule| {
        // Large gradients and jumps are part of a run that diverges.
        diverges && matches!(rule, Rule::ExplodingGradients | Rule::Spike)
    };
    rules.retain(|rule| !explained(rule));
    rules
        .into_iter()
        .map(|rule| {
            let of_rule = warnings.iter().filter(|warning| warning.rule == rule);
            let mut evidence: Vec<String> = of_rule
                .take(SHOWN)
                .map(|warning| format!("step {}: {}", warning.step, warning.message))
                .collect();
            evidence.dedup();
            Finding {
                fault: name(rule, record).to_owned(),
                evidence,
                remedy: rule.hint().to_owned(),
            }
        })
        .collect()
}

fn name(rule: Rule, record: &Record) -> &'static str {
    match rule {
        Rule::Diverging => Fault::LrTooHigh.name(),
        Rule::Flat if record.rows.iter().all(|row| row.lr < TINY_LR) => Fault::LrTooLow.name(),
        Rule::Flat => "flat-loss",
        Rule::Spike => Fault::BadRows.name(),
        Rule::Overfit => Fault::Overfit.name(),
        Rule::SlowInput => Fault::SlowInput.name(),
        Rule::SlowDown => "slow-down",
        Rule::ExplodingGradients => "exploding-gradients",
        // Weights thrown so far that softmax is a step have no gradient left.
        Rule::ZeroGradient if record.rows.iter().any(|row| row.lr > WILD_LR) => {
            Fault::LrTooHigh.name()
        }
        Rule::ZeroGradient => "zero-gradient",
        Rule::Memory => Fault::OutOfMemory.name(),
    }
}

fn notes(record: &Record) -> Vec<String> {
    let mut notes = Vec::new();
    let checked = record.checks.iter().filter(|check| check.ok).count();
    if !record.checks.is_empty() {
        notes.push(format!(
            "{checked} of {} checks passed",
            record.checks.len()
        ));
    }
    if let (Some(first), Some(last)) = (record.rows.first(), record.rows.last()) {
        notes.push(format!(
            "{} rows of the log, loss {:.4} at step {}, {:.4} at step {}",
            record.rows.len(),
            first.loss,
            first.step,
            last.loss,
            last.step
        ));
    } else {
        notes.push("no row of the log".into());
    }
    if record.metrics.is_none() && record.failure.is_none() {
        notes.push("the run has not ended: it is training, or it was killed".into());
    }
    if let Some(failure) = record
        .failure
        .as_ref()
        .filter(|f| f.kind == Kind::Interrupted)
    {
        notes.push(failure.error.clone());
    }
    if record.bad_lines > 0 {
        notes.push(format!(
            "{} lines of its files cannot be read",
            record.bad_lines
        ));
    }
    notes
}
