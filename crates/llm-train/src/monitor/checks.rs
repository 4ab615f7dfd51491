//! Before the first step: is this run what its settings say?
//!
//! Every check is named after the fault that it finds ([`super::sabotage::Fault`]). The results are
//! kept in the run's `checks.json`. A failing check stops the run with exit code 1, unless the
//! session's plan lets it pass; the gradient audit cannot be passed.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::sabotage::Fault;
use super::{label_checks, model_checks};
use crate::audit::AuditReport;
use crate::runs::RunFolder;
use crate::session::Session;
use crate::{Error, Result};

/// The file's name.
pub const FILE: &str = "checks.json";
/// The names of the checks that [`before_training`] makes beside the gradient audit.
pub const NAMES: [&str; 12] = [
    "labels-shifted",
    "prompt-supervised",
    "eos-unsupervised",
    "pad-supervised",
    "constant-batches",
    "leaking-split",
    "template-differs",
    "frozen-weight",
    "zero-adapter",
    "decay-everything",
    "loss-not-normalised",
    "dropout-in-evaluation",
];

/// What a check found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// Nothing wrong.
    Sound,
    /// Nothing to check here, and why.
    NotHere(&'static str),
    /// A fault, and where.
    Fault(Fault, String),
}

/// A [`Found::Fault`].
pub(super) fn fault(fault: Fault, problem: impl Display) -> Found {
    Found::Fault(fault, problem.to_string())
}

/// The result of one check, as `checks.json` keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The fault that it looks for.
    pub name: String,
    /// Whether nothing was found.
    pub ok: bool,
    /// What was found, or why there was nothing to check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Runs every check and the gradient audit, and writes `checks.json`.
///
/// # Errors
/// The first check that fails and is not allowed to, the audit's failure, or what the model or the
/// disk reports.
pub fn before_training(session: &Session, run: &RunFolder) -> Result<AuditReport> {
    let found = all(session)?;
    let audit = session.audit();
    let mut results: Vec<Checked> = found.iter().map(result).collect();
    results.push(Checked {
        name: "gradient-audit".into(),
        ok: audit.is_ok(),
        note: audit.as_ref().err().map(ToString::to_string),
    });
    let results = serde_json::to_value(&results)
        .map_err(|error| Error::file(run.path.join(FILE), error.to_string()))?;
    run.write_json(FILE, &results)?;
    let allowed = |fault: Fault| {
        session
            .monitor
            .allow
            .iter()
            .any(|name| name == fault.name())
    };
    for (_, found) in found {
        if let Found::Fault(fault, problem) = found
            && !allowed(fault)
        {
            return Err(Error::Check {
                name: fault.name(),
                problem,
                hint: hint(fault),
            });
        }
    }
    audit
}

/// Every check by name with what it found.
fn all(session: &Session) -> Result<Vec<(&'static str, Found)>> {
    let mut found = vec![
        label_checks::labels_are_tokens(session),
        label_checks::prompts_are_masked(session)?,
        label_checks::ends_are_learned(session),
        label_checks::pads_are_masked(session),
        label_checks::rows_differ(session),
        label_checks::split_is_clean(session),
        model_checks::form_is_the_folders(session)?,
        model_checks::all_is_trained(session)?,
        model_checks::adapters_can_start(session)?,
        model_checks::vectors_do_not_decay(session),
    ];
    found.extend(model_checks::losses_add_up(session)?);
    Ok(NAMES.into_iter().zip(found).collect())
}

fn result((name, found): &(&'static str, Found)) -> Checked {
    let (ok, note) = match found {
        Found::Sound => (true, None),
        Found::NotHere(why) => (true, Some((*why).to_owned())),
        Found::Fault(_, problem) => (false, Some(problem.clone())),
    };
    Checked {
        name: (*name).to_owned(),
        ok,
        note,
    }
}

/// What to do about a fault that a check finds.
pub(super) fn hint(fault: Fault) -> &'static str {
    match fault {
        Fault::PromptSupervised => "labels of a prompt are -100: only the answer is learned",
        Fault::EosUnsupervised => {
            "the token that ends an answer has to count, and has to be among eos_token or \
             generation_config.json's eos_token_id"
        }
        Fault::PadSupervised => "labels of padding are -100, also where pad and EOS are one token",
        Fault::LabelsShifted => "a label is its own token; batches move it by one position, once",
        Fault::ConstantBatches => "look at the data: `deeper data check` counts duplicates",
        Fault::LeakingSplit => {
            "split by prompt with `deeper data split`, or take validation_path away; \
             --allow leaking-split trains all the same"
        }
        Fault::TemplateDiffers => "train in the form in which the model will be asked",
        Fault::FrozenWeight => "see which tensors are trainable with `deeper inspect`",
        Fault::ZeroAdapter => "start B at zero and A at random values",
        Fault::DecayEverything => "decay matrices only: norms and biases have one axis",
        Fault::LossNotNormalised => "divide each micro-batch's sum by the tokens of the whole step",
        Fault::DropoutInEvaluation => "measure with dropout off",
        _ => "deeper diagnose RUN says more",
    }
}
