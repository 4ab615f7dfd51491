//! What a person waits for: the crates that the first lesson compiles on a fresh clone.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::verdict;
use crate::workspace::Workspace;

/// The lesson's package: `cargo run --bin 03_attention_math` builds it and what it depends on.
const PACKAGE: &str = "lessons-basics";
/// The committed list: one name a line, as often as it is compiled.
const LIST: &str = "xtask/cold-build-03.txt";
/// One platform for everyone, so that the list is the same on every machine.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The list has not grown.
pub(super) fn check(workspace: &Workspace) -> Result<String> {
    let committed = workspace.read(LIST)?;
    let mut allowed: BTreeMap<&str, usize> = BTreeMap::new();
    for name in committed.lines() {
        *allowed.entry(name).or_default() += 1;
    }
    let now = crates(workspace)?;
    let mut problems = Vec::new();
    for name in &now {
        match allowed.get_mut(name.as_str()) {
            Some(count) if *count > 0 => *count -= 1,
            _ => problems.push(format!(
                "{name} is new; if it is worth the wait: cargo xtask cold-build"
            )),
        }
    }
    let gone = allowed.values().sum::<usize>();
    verdict(
        problems,
        format!("{} crates, {gone} fewer than listed", now.len()),
    )
}

/// Writes the list as it is now.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let text = crates(workspace)?.join("\n") + "\n";
    std::fs::write(workspace.root.join(LIST), text).with_context(|| LIST.to_string())
}

/// Names of the compiled crates, once for each version. The tree is asked for from the root:
/// features unify over all default members there, as they do in the build.
fn crates(workspace: &Workspace) -> Result<Vec<String>> {
    let arguments = [
        "tree",
        "--locked",
        "--target",
        TARGET,
        "--edges",
        "normal,build",
    ];
    let format = ["--prefix", "depth", "--no-dedupe", "--format", " {p}"];
    let output = workspace.cargo(&[&arguments[..], &format].concat())?;
    let mut packages: Vec<(&str, &str)> = Vec::new();
    let mut inside = false;
    for line in output.lines() {
        let Some((depth, package)) = line.split_once(' ') else {
            continue;
        };
        let mut words = package.split(' ');
        let (name, version) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        if depth == "0" {
            inside = name == PACKAGE;
        }
        if inside {
            packages.push((name, version));
        }
    }
    packages.sort_unstable();
    packages.dedup();
    Ok(packages
        .into_iter()
        .map(|(name, _)| name.to_string())
        .collect())
}
