//! Warnings while a run trains: what its log says is going wrong.
//!
//! | rule | what is seen | what it usually is |
//! |---|---|---|
//! | `diverging` | the loss rises above where it began | learning rate too high |
//! | `flat` | the loss does not fall | learning rate too low, or data without a pattern |
//! | `spike` | one step's loss far above its neighbours' | bad rows |
//! | `overfit` | held-out loss rises while the training loss falls | too few rows, too many epochs |
//! | `slow-input` | the run waits for its data | a slow disk, tokenization on the way |
//! | `slow-down` | tokens a second fall by half | another program, heat, swapping |
//! | `exploding-gradients` | a gradient norm above 100 | learning rate, no clipping |
//! | `zero-gradient` | a gradient norm of zero | nothing trained reaches the loss |
//! | `memory` | nearly all memory is taken | batch or model too large |
//!
//! A warning comes once an episode: when a rule begins to hold, and again only after it has stopped
//! holding. The rules see every step, or only rows of the log where a finished run is read again.

mod loss;
mod machine;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::system::SystemRow;
use crate::config::Method;
use crate::observe::LogRow;
use crate::step::StepReport;
use loss::Losses;
use machine::Machine;

/// A gradient norm above this is worth a look, before clipping.
pub const LARGE_GRADIENT: f64 = 100.0;
/// A gradient norm below this is none.
const NO_GRADIENT: f64 = 1e-12;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The loss rises above where it began.
    Diverging,
    /// The loss does not fall.
    Flat,
    /// One step's loss stands far above its neighbours'.
    Spike,
    /// The held-out loss rises while the training loss falls.
    Overfit,
    /// The run waits for its data.
    SlowInput,
    /// Tokens a second have fallen by half.
    SlowDown,
    /// A gradient norm above [`LARGE_GRADIENT`].
    ExplodingGradients,
    /// A gradient norm of zero.
    ZeroGradient,
    /// Nearly all memory is taken.
    Memory,
}

impl Rule {
    /// What a person can do.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Diverging => "divide `lr` by 10, or raise `warmup_ratio`",
            Self::Flat => {
                "raise `lr`, and look at the data: `deeper data labels` shows what counts"
            }
            Self::Spike => "look for bad rows with `deeper data check`, keep `max_grad_norm` at 1",
            Self::Overfit => {
                "fewer `epochs`, more rows, `lora_dropout` or `weight_decay`; \
                 `early_stopping_patience` keeps the best"
            }
            Self::SlowInput => "put the data on a local disk, or tokenize it once before the run",
            Self::SlowDown => "look for another program on the machine, heat, or swapping",
            Self::ExplodingGradients => "set `max_grad_norm` to 1, lower `lr`",
            Self::ZeroGradient => {
                "nothing that is trained reaches the loss: check what is frozen and how adapters start"
            }
            Self::Memory => {
                "lower `batch_size` or `max_length`, raise `gradient_accumulation_steps`, or set \
                 `gradient_checkpointing: true`"
            }
        }
    }
}

/// Something that a rule saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// The optimizer step.
    pub step: u64,
    /// The rule.
    pub rule: Rule,
    /// What was seen, with its numbers.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// The rules with what they remember of a run.
#[derive(Clone, Debug)]
pub struct Watch {
    losses: Losses,
    machine: Machine,
    open: BTreeSet<Rule>,
    /// Rules that do not apply.
    silent: &'static [Rule],
}

impl Watch {
    /// Rules that see every step.
    pub fn steps() -> Self {
        Self::with(Losses::of_steps())
    }

    /// Rules that see rows of a log, each the mean of several steps.
    pub fn rows() -> Self {
        Self::with(Losses::of_rows())
    }

    fn with(losses: Losses) -> Self {
        Self {
            losses,
            machine: Machine::default(),
            open: BTreeSet::new(),
            silent: &[],
        }
    }

    /// The same for a run by this method. The loss of `grpo` stays about 0 while rewards rise, and a
    /// step in which all answers of each group are right, or wrong, has nothing to learn from.
    pub fn of_method(self, method: Method) -> Self {
        let silent: &'static [Rule] = match method {
            Method::Grpo => &[Rule::Flat, Rule::ZeroGradient, Rule::Diverging, Rule::Spike],
            _ => &[],
        };
        Self { silent, ..self }
    }

    /// The warnings that a step gives rise to.
    pub fn step(&mut self, report: &StepReport) -> Vec<Warning> {
        let (step, grad) = (report.step, report.grad_norm);
        let mut seen = self.losses.observe(report.loss, grad, report.lr);
        let large = (grad > LARGE_GRADIENT).then(|| format!("the gradient norm is {grad:.4}"));
        seen.push((Rule::ExplodingGradients, large));
        let none = (grad < NO_GRADIENT).then(|| format!("the gradient norm is {grad:e}"));
        seen.push((Rule::ZeroGradient, none));
        self.raise(step, seen)
    }

    /// The warnings that a row of the log gives rise to.
    pub fn row(&mut self, row: &LogRow) -> Vec<Warning> {
        let seen = row
            .val
            .map(|val| self.losses.evaluated(row.step, row.loss, val));
        self.raise(row.step, seen.into_iter().collect())
    }

    /// The warnings that the machine's numbers give rise to, with the speed beside them.
    pub fn system(&mut self, row: &SystemRow, tokens_per_second: f64) -> Vec<Warning> {
        let mut seen = self.machine.system(row);
        seen.push(self.machine.rate(tokens_per_second, row.seconds));
        self.raise(row.step, seen)
    }

    /// Keeps what is new: rules that held before stay silent, rules that do not hold close.
    fn raise(&mut self, step: u64, seen: Vec<(Rule, Option<String>)>) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (rule, message) in seen {
            let Some(message) = message.filter(|_| !self.silent.contains(&rule)) else {
                self.open.remove(&rule);
                continue;
            };
            if self.open.insert(rule) {
                let hint = rule.hint().to_owned();
                warnings.push(Warning {
                    step,
                    rule,
                    message,
                    hint,
                });
            }
        }
        warnings
    }
}

/// The middle value; NaN of none.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests;
