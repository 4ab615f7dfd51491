//! Which crate may depend on which: the drawing in ARCHITECTURE.md as a table.

use anyhow::Result;

use super::verdict;
use crate::workspace::{Package, Workspace};

/// What each crate may use of ours. `llm-cli` may use all; lessons and benches all but `llm-cli`.
const ALLOWED: &[(&str, &[&str])] = &[
    ("llm-alloc", &[]),
    ("llm-core", &[]),
    ("llm-show", &[]),
    ("llm-parquet", &[]),
    ("llm-dashboard", &[]),
    ("llm-store", &["llm-core"]),
    ("llm-hub", &["llm-store"]),
    ("llm-train", &["llm-core", "llm-store"]),
    ("llm-bertscore", &["llm-core", "llm-store"]),
    ("llm-parallel", &["llm-train"]),
    ("llm-serve", &["llm-core", "llm-store"]),
    ("xtask", &[]),
];

/// Every dependency on a member is one that the table has.
pub(super) fn check(workspace: &Workspace) -> Result<String> {
    let mut problems = Vec::new();
    let mut arrows = 0;
    for package in &workspace.packages {
        for target in &package.depends_on {
            arrows += 1;
            if !is_allowed(package, target) {
                problems.push(format!(
                    "{} → {target} is not among the allowed arrows",
                    package.name
                ));
            }
        }
    }
    verdict(
        problems,
        format!("{} packages, {arrows} arrows", workspace.packages.len()),
    )
}

fn is_allowed(package: &Package, target: &str) -> bool {
    let row = ALLOWED.iter().find(|row| row.0 == package.name);
    match row {
        Some((_, targets)) => targets.contains(&target),
        None => {
            let free = package.folder.starts_with("lessons/") || package.name == "llm-benches";
            package.name == "llm-cli" || (free && target != "llm-cli")
        }
    }
}
