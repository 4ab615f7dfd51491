//! `deeper train` under `mpirun`, with an optimised build: gradients of two processes beside those of
//! one, whole runs, signals, kills, and how fast one process and two are.
//!
//! It needs Open MPI with its headers, and libclang, which reads them. Where they are missing and this
//! is a Debian as root, they are installed; elsewhere the error says what to install. It is no part of
//! `cargo xtask check`, which runs everywhere.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::run::say;
use crate::workspace::Workspace;

/// Debian's names of what is needed.
const PACKAGES: [&str; 3] = ["libopenmpi-dev", "openmpi-bin", "libclang-dev"];

/// Installs what is missing, then lints and tests.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    if !is_there() {
        install()?;
        ensure!(is_there(), "mpicc, mpirun or libclang is still missing");
    }
    let lint = [
        "clippy",
        "--locked",
        "--package",
        "llm-parallel",
        "--features",
        "mpi",
    ];
    workspace.show_cargo(&[&lint[..], &["--", "-D", "warnings"]].concat(), &[])?;
    let lint = [
        "clippy",
        "--locked",
        "--package",
        "llm-cli",
        "--all-targets",
        "--features",
        "mpi",
    ];
    workspace.show_cargo(&[&lint[..], &["--", "-D", "warnings"]].concat(), &[])?;
    let test = [
        "test",
        "--locked",
        "--release",
        "--package",
        "llm-cli",
        "--features",
        "mpi",
        "--test",
        "it",
        "--",
        "--nocapture",
        "--test-threads=1",
        "mpi::",
    ];
    workspace.show_cargo(&test, &[])
}

fn is_there() -> bool {
    let missing: Vec<&str> = ["mpicc", "mpirun"]
        .into_iter()
        .filter(|program| !starts(program))
        .collect();
    let clang = has_clang();
    if !missing.is_empty() || !clang {
        let clang = if clang { "" } else { " libclang" };
        say(&format!("missing: {}{clang}", missing.join(" ")));
    }
    missing.is_empty() && clang
}

fn starts(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

/// Whether the dynamic linker knows `libclang.so` or `libclang-14.so.1`, or somebody has named another
/// place. Where there is no such linker to ask, the build will say.
fn has_clang() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let Ok(output) = Command::new("ldconfig").arg("-p").output() else {
        return true;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.split_whitespace();
    // Not `libclang-cpp.so`, the compiler's own.
    let version = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    names
        .filter_map(|name| name.strip_prefix("libclang"))
        .any(|rest| rest.starts_with(".so") || rest.strip_prefix('-').is_some_and(version))
}

fn install() -> Result<()> {
    let names = PACKAGES.join(" ");
    let user = Command::new("id").arg("-u").output();
    let root = user.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if !root || !starts("apt-get") {
        bail!("an MPI is missing; hint: on Debian and Ubuntu, sudo apt-get install {names}");
    }
    say(&format!("installing {names}"));
    let install = [
        &["install", "--yes", "--no-install-recommends"][..],
        &PACKAGES,
    ]
    .concat();
    for arguments in [&["update"][..], &install] {
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        let status = command.status().context("apt-get does not start")?;
        ensure!(
            status.success(),
            "`apt-get {}` ended with {status}",
            arguments.join(" ")
        );
    }
    Ok(())
}
