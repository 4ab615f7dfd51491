//! Binaries are found by name from the root, and lessons are not built as tests.

use std::collections::BTreeMap;

use anyhow::Result;

use super::verdict;
use crate::workspace::{Package, Workspace};

/// Names are unique; each lesson binary has `test = false` and `bench = false`; each library has
/// `bench = false`, or `cargo bench` would start its test harness with criterion's arguments.
pub(super) fn check(workspace: &Workspace) -> Result<String> {
    let mut problems = Vec::new();
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for package in &workspace.packages {
        for binary in &package.binaries {
            if let Some(other) = owners.insert(binary, &package.name) {
                problems.push(format!(
                    "the binary {binary} stands in {other} and in {}",
                    package.name
                ));
            }
            if package.folder.starts_with("lessons/") {
                problems.extend(lesson_flags(package, binary));
            }
        }
        let library = package.manifest.get("lib");
        if package.has_library && !is_false(library, "bench") {
            problems.push(format!(
                "{}/Cargo.toml: [lib] needs bench = false",
                package.folder
            ));
        }
    }
    verdict(problems, format!("{} binaries", owners.len()))
}

fn lesson_flags(package: &Package, binary: &str) -> Vec<String> {
    let tables = package.manifest.get("bin").and_then(toml::Value::as_array);
    let table = tables.and_then(|tables| {
        tables
            .iter()
            .find(|table| table.get("name").and_then(toml::Value::as_str) == Some(binary))
    });
    let missing = ["test", "bench"]
        .into_iter()
        .filter(|flag| !is_false(table, flag));
    missing
        .map(|flag| {
            format!(
                "{}/Cargo.toml: [[bin]] {binary} needs {flag} = false",
                package.folder
            )
        })
        .collect()
}

fn is_false(table: Option<&toml::Value>, key: &str) -> bool {
    table
        .and_then(|table| table.get(key))
        .and_then(toml::Value::as_bool)
        == Some(false)
}
