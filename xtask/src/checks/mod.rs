//! The checks in the order in which they run, cheapest first.

mod arrows;
mod binaries;
mod book;
pub(crate) mod catalogue;
pub(crate) mod cold_build;
mod comments;
mod duplicates;
mod exercises;
mod links;
mod sizes;
mod words;

use anyhow::Result;

use crate::workspace::Workspace;

/// One check.
pub(crate) struct Check {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it demands.
    pub(crate) what: &'static str,
    /// Its work; the text is a one-line summary.
    pub(crate) run: fn(&Workspace) -> Result<String>,
}

/// All checks.
pub(crate) const CHECKS: [Check; 15] = [
    Check {
        name: "format",
        what: "rustfmt changes nothing",
        run: format,
    },
    Check {
        name: "arrows",
        what: "crates depend on what they may",
        run: arrows::check,
    },
    Check {
        name: "binaries",
        what: "unique names, no harness on lessons",
        run: binaries::check,
    },
    Check {
        name: "sizes",
        what: "no long file, no long lesson",
        run: sizes::check,
    },
    Check {
        name: "comments",
        what: "maths and lessons are explained",
        run: comments::check,
    },
    Check {
        name: "words",
        what: "no unwrap, allow, ignore or stray unsafe",
        run: words::check,
    },
    Check {
        name: "catalogue",
        what: "every lesson is listed, README too",
        run: catalogue::check,
    },
    Check {
        name: "exercises",
        what: "exercises are whole and belong to lessons",
        run: exercises::check,
    },
    Check {
        name: "links",
        what: "links in documents lead somewhere",
        run: links::check,
    },
    Check {
        name: "book",
        what: "pages, includes, pictures, commands exist",
        run: book::check,
    },
    Check {
        name: "duplicates",
        what: "less than 2 % copied lines",
        run: duplicates::check,
    },
    Check {
        name: "cold-build",
        what: "the first lesson compiles no more crates",
        run: cold_build::check,
    },
    Check {
        name: "clippy",
        what: "no warnings in any target",
        run: clippy,
    },
    Check {
        name: "doc",
        what: "the documentation builds without warnings",
        run: doc,
    },
    Check {
        name: "tests",
        what: "cargo test --workspace",
        run: tests,
    },
];

/// Lists `problems`, or says `summary` if there are none.
fn verdict(problems: Vec<String>, summary: String) -> Result<String> {
    match problems.len() {
        0 => Ok(summary),
        count => anyhow::bail!("{count} to mend\n   {}", problems.join("\n   ")),
    }
}

fn format(workspace: &Workspace) -> Result<String> {
    workspace.show_cargo(&["fmt", "--all", "--check"], &[])?;
    Ok("formatted".into())
}

fn clippy(workspace: &Workspace) -> Result<String> {
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    workspace.show_cargo(&arguments, &[])?;
    Ok("no warnings".into())
}

fn doc(workspace: &Workspace) -> Result<String> {
    let arguments = ["doc", "--workspace", "--no-deps", "--locked"];
    workspace.show_cargo(&arguments, &[("RUSTDOCFLAGS", "-D warnings")])?;
    Ok("every link resolves".into())
}

fn tests(workspace: &Workspace) -> Result<String> {
    workspace.show_cargo(&["test", "--workspace", "--locked"], &[])?;
    Ok("passed".into())
}
