//! A hundred kills of `deeper train` at random times, and a death or a failing disk at each single
//! operation of its writes. The tests are those of the suite, which makes ten kills and takes a
//! sample of the operations; here they take some minutes.

use anyhow::{Context, Result, ensure};

use crate::run::say;
use crate::workspace::Workspace;

/// Kills without a number.
const KILLS: &str = "100";

/// Runs the tests with `kills` kills.
pub(crate) fn run(workspace: &Workspace, kills: Option<&str>) -> Result<()> {
    let kills = kills.unwrap_or(KILLS);
    let number: usize = kills
        .parse()
        .with_context(|| format!("`{kills}` is no number of kills"))?;
    ensure!(number > 0, "no kills are no torture");
    say(&format!("{number} kills, three in ten inside a save"));
    let arguments = [
        "test",
        "--package",
        "llm-cli",
        "--test",
        "it",
        "--",
        "--nocapture",
        "--test-threads=1",
        "kills::",
    ];
    workspace.show_cargo(&arguments, &[("DEEPER_KILLS", kills)])
}
