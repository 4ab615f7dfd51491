//! The project's own tasks.
//!
//! ```text
//! cargo xtask check                    the gate: every check, cheapest first
//! cargo xtask check links duplicates   these checks only
//! cargo xtask check --except tests     all but these
//! cargo xtask readme                   writes README.md's lesson table and llm-show's cards
//! cargo xtask cold-build               writes the crates that a first lesson compiles
//! cargo xtask sanitize                 llm-core's tests under AddressSanitizer
//! cargo xtask torture [KILLS]          kills of `deeper train`, a hundred without a number
//! cargo xtask mpi                      `deeper train` under mpirun beside one process
//! ```
//!
//! A check is one file under `checks/` with one function from the [`workspace::Workspace`] to a
//! one-line summary; an error's text lists every place that has to change.

mod checks;
mod mpi;
mod run;
mod sanitize;
mod source;
mod torture;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match execute(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            run::say(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Runs one task; `false` if a check failed.
fn execute(arguments: &[String]) -> Result<bool> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check", "--except", names @ ..] => run::check(names, true),
        ["check", names @ ..] => run::check(names, names.is_empty()),
        ["readme"] => checks::catalogue::write(&Workspace::load()?).map(|()| true),
        ["cold-build"] => checks::cold_build::write(&Workspace::load()?).map(|()| true),
        ["sanitize"] => sanitize::run(&Workspace::load()?).map(|()| true),
        ["mpi"] => mpi::run(&Workspace::load()?).map(|()| true),
        ["torture"] => torture::run(&Workspace::load()?, None).map(|()| true),
        ["torture", kills] => torture::run(&Workspace::load()?, Some(kills)).map(|()| true),
        _ => bail!(
            "expected `check [NAME..]`, `check --except NAME..`, `readme`, `cold-build`, \
             `sanitize`, `torture [KILLS]` or `mpi`"
        ),
    }
}
