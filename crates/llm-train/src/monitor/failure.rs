//! Why a run failed, kept in its folder: `error.json`.

use serde::{Deserialize, Serialize};

use crate::runs::RunFolder;
use crate::{Error, Result};

/// The file's name.
pub const FILE: &str = "error.json";

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A check before training.
    Check,
    /// The gradient audit.
    Audit,
    /// NaN or infinity.
    NotFinite,
    /// Someone stopped the run; it can go on.
    Interrupted,
    /// A disk or file.
    Io,
    /// Another process of the run, or the way to it.
    Process,
    /// Anything else.
    Other,
}

/// An error as it ended a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind.
    pub kind: Kind,
    /// The check that failed.
    #[serde(default)]
    pub check: Option<String>,
    /// The optimizer step, where the error knows it.
    #[serde(default)]
    pub step: Option<u64>,
    /// The message.
    pub error: String,
    /// What to do.
    #[serde(default)]
    pub hint: Option<String>,
    /// The program's exit code.
    pub exit_code: u8,
}

impl Failure {
    /// The failure that `error` is.
    pub fn of(error: &Error) -> Self {
        let (kind, check, step) = match error {
            Error::Check { name, .. } => (Kind::Check, Some((*name).to_owned()), None),
            Error::Audit { .. } => (Kind::Audit, None, None),
            Error::NotFinite { step, .. } => (Kind::NotFinite, None, Some(*step)),
            Error::Interrupted { step, .. } => (Kind::Interrupted, None, Some(*step)),
            Error::Peer { .. } | Error::Processes { .. } => (Kind::Process, None, None),
            error if error.exit_code() == 3 => (Kind::Io, None, None),
            _ => (Kind::Other, None, None),
        };
        Self {
            kind,
            check,
            step,
            error: error.to_string(),
            hint: error.hint(),
            exit_code: error.exit_code(),
        }
    }
}

/// Writes `error.json` into the run's folder.
///
/// # Errors
/// The disk refuses.
pub fn record(run: &RunFolder, error: &Error) -> Result<()> {
    let failure = serde_json::to_value(Failure::of(error))
        .map_err(|error| Error::file(run.path.join(FILE), error.to_string()))?;
    run.write_json(FILE, &failure)
}
