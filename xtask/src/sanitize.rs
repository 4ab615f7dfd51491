//! The tests of llm-core under AddressSanitizer, which sees every read and write that leaves its
//! memory, also those of `unsafe` blocks and of vector instructions.
//!
//! It needs Linux on x86-64 and a Rust from rustup, stable or nightly: both come with the
//! sanitizer's runtime. The flag is an unstable one, so the compiler is told to take it
//! (`RUSTC_BOOTSTRAP=1`). Every dependency is compiled anew into `sanitize` below the target
//! folder: four minutes on two cores the first time, then as long as llm-core itself and two
//! minutes of tests. It is no part of `cargo xtask check`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run::say;
use crate::workspace::Workspace;

/// A named target, so that build scripts and procedural macros stay without the sanitizer.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds and runs the library's and the integration tests; `Ok` if all passed without a finding.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    ensure!(
        cfg!(all(
            target_arch = "x86_64",
            target_os = "linux",
            target_env = "gnu"
        )),
        "sanitize runs on {TARGET} only"
    );
    find_runtime()?;
    for (set, there) in sets() {
        let says = if there {
            "runs"
        } else {
            "NOT RUN, this machine lacks it"
        };
        say(&format!("instruction set {set}: {says}"));
    }
    say("documentation tests: NOT RUN, rustdoc builds them without the sanitizer");
    let folder = target_folder(workspace).join("sanitize");
    let folder = folder.to_string_lossy();
    let what = ["test", "--package", "llm-core", "--lib", "--test", "it"];
    let how = [
        "--locked",
        "--release",
        "--target",
        TARGET,
        "--target-dir",
        &folder,
    ];
    // Freed memory is held back for a while to catch who still uses it, so peaks say nothing.
    let but = ["--", "--skip", "the_peak_of_memory_falls"];
    let variables = [
        ("RUSTC_BOOTSTRAP", "1"),
        ("RUSTFLAGS", "-Zsanitizer=address"),
    ];
    workspace.show_cargo(&[&what[..], &how, &but].concat(), &variables)?;
    say("no finding");
    Ok(())
}

/// Fails unless the compiler has the sanitizer's runtime.
fn find_runtime() -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("rustc does not start")?;
    let printed = String::from_utf8(output.stdout)?;
    let folder = Path::new(printed.trim());
    let files = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut names = files.flatten().map(|file| file.file_name());
    ensure!(
        names.any(|name| name.to_string_lossy().ends_with("_rt.asan.a")),
        "no librustc-*_rt.asan.a in {}; hint: use a toolchain of rustup",
        folder.display()
    );
    Ok(())
}

/// The instruction sets that the tests go through, and whether this machine has them.
fn sets() -> [(&'static str, bool); 3] {
    #[cfg(target_arch = "x86_64")]
    let (avx512, avx2) = (
        is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512vl"),
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
    );
    #[cfg(not(target_arch = "x86_64"))]
    let (avx512, avx2) = (false, false);
    [("AVX-512", avx512), ("AVX2", avx2), ("portable", true)]
}

/// Where cargo builds.
fn target_folder(workspace: &Workspace) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => workspace.root.join(folder),
        None => workspace.root.join("target"),
    }
}
