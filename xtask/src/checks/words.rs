//! Words that do not belong into the code, beyond what lints can see.

use anyhow::Result;

use super::verdict;
use crate::source::{Kind, Source};
use crate::workspace::Workspace;

/// Words that no Rust file may hold, spelled so that this file does not hold them.
const NOWHERE: [(&str, &str); 5] = [
    (
        concat!("#[", "allow"),
        "write #[expect(lint, reason = \"…\")]",
    ),
    (
        concat!("#![", "allow"),
        "write #[expect(lint, reason = \"…\")] at the item",
    ),
    (
        concat!("#[", "ignore"),
        "a test that never runs proves nothing",
    ),
    (concat!("dbg", "!("), "left in"),
    (concat!("fn main", "() {}"), "an empty program"),
];

/// Words that the crates themselves may not hold outside their tests.
const NOT_IN_CRATES: [(&str, &str); 4] = [
    (
        concat!(".unw", "rap()"),
        "return an error that names the thing",
    ),
    (concat!("pan", "ic!("), "return an error"),
    (concat!("to", "do!("), "write it"),
    (concat!("unimple", "mented!("), "write it"),
];

/// An `expect` on a value needs its proof beside it.
const EXPECT_CALL: &str = concat!(".exp", "ect(\"");
const EXPECT_REASON: &str = "clippy::expect_used";

/// Where `unsafe` may stand.
const UNSAFE_LINT: &str = concat!("expect(unsafe", "_code");
const UNSAFE_PLACES: [&str; 3] = [
    "crates/llm-alloc/src/lib.rs",
    "crates/llm-core/src/kernels/",
    "crates/llm-store/src/safetensors/mod.rs",
];

/// None of the words stands where it may not.
pub(super) fn check(workspace: &Workspace) -> Result<String> {
    let sources = workspace.sources()?;
    let mut problems = Vec::new();
    for source in &sources {
        for (number, line) in code_lines(source) {
            let mut found: Vec<(&str, &str)> = NOWHERE.to_vec();
            if source.in_crate() {
                found.extend(NOT_IN_CRATES);
            }
            found.retain(|(word, _)| line.contains(word));
            for (word, advice) in found {
                problems.push(format!("{}:{number}: `{word}`: {advice}", source.file));
            }
            let placed = UNSAFE_PLACES
                .iter()
                .any(|place| source.file.starts_with(place));
            if line.contains(UNSAFE_LINT) && !placed {
                problems.push(format!(
                    "{}:{number}: unsafe code outside its three places",
                    source.file
                ));
            }
        }
        let holds = |word: &str| code_lines(source).any(|(_, line)| line.contains(word));
        if source.in_crate() && holds(EXPECT_CALL) && !holds(EXPECT_REASON) {
            problems.push(format!("{}: an expect without its reason", source.file));
        }
    }
    verdict(problems, format!("{} files", sources.len()))
}

/// Numbered lines of code.
fn code_lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.lines.iter().enumerate();
    lines
        .filter(|(_, line)| line.0 == Kind::Code)
        .map(|(index, line)| (index + 1, line.1.as_str()))
}
