//! The lessons of this shelf keep their promises.
//!
//! `cfg(test)` tells clippy that everything here is a test.
#![cfg(test)]

use std::path::Path;

use llm_show::golden::{Promises, Run};

/// Four printed decimals, of which rounding may change the last.
const PRINTED: f64 = 2e-4;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

#[test]
fn base_keeps_its_promises() {
    let promises = Promises {
        program: env!("CARGO_BIN_EXE_00_base"),
        name: "00_base",
        folder: folder(),
        args: &["--device", "cpu", "--threads", "1", "--model", "no/model"],
        tolerance: PRINTED,
        answer: None,
    };
    promises.check().unwrap();
}

#[test]
fn every_missing_thing_has_its_line() {
    let run = Run::new(env!("CARGO_BIN_EXE_00_base")).args(["--model", "no/model"]);
    let output = run.output().unwrap();
    let missing = output.stdout.lines().filter(|line| line.trim_end().ends_with("missing")).count();
    let fixes = output.stdout.lines().filter(|line| line.starts_with("   fix ")).count();
    assert_eq!(missing, fixes, "{}", output.stdout);
    assert!(fixes >= 3);
}
