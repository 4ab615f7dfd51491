//! Runs checks one after the other and sums them up.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::checks::CHECKS;
use crate::workspace::Workspace;

/// Prints a line. The gate is a tool of the terminal, so its report is its output.
#[expect(clippy::print_stdout, reason = "the gate's report is its output")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Runs the named checks, or all but them; `false` if one failed.
pub(crate) fn check(names: &[&str], all_but: bool) -> Result<bool> {
    let known = |name: &&&str| CHECKS.iter().any(|check| check.name == **name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        let all: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        bail!("no check `{name}`, expected one of: {}", all.join(" "));
    }
    let workspace = Workspace::load()?;
    let mut rows = Vec::new();
    for check in CHECKS
        .iter()
        .filter(|check| names.contains(&check.name) != all_but)
    {
        say(&format!("── {}: {}", check.name, check.what));
        let start = Instant::now();
        let result = (check.run)(&workspace);
        let took = start.elapsed();
        match &result {
            Ok(summary) => say(&format!("   ok: {summary}\n")),
            Err(error) => say(&format!("   FAILED: {error:#}\n")),
        }
        rows.push((check.name, took, result.is_ok()));
    }
    Ok(summary(&rows))
}

/// The closing table; `false` if a row failed.
fn summary(rows: &[(&str, Duration, bool)]) -> bool {
    say("check              seconds  result\n──────────────────────────────────");
    for (name, took, ok) in rows {
        let result = if *ok { "ok" } else { "FAILED" };
        say(&format!("{name:<16} {:>9.1}  {result}", took.as_secs_f64()));
    }
    let total: Duration = rows.iter().map(|row| row.1).sum();
    let failed = rows.iter().filter(|row| !row.2).count();
    let result = if failed == 0 {
        "all ok".into()
    } else {
        format!("{failed} FAILED")
    };
    say(&format!(
        "{:<16} {:>9.1}  {result}",
        "together",
        total.as_secs_f64()
    ));
    failed == 0
}
