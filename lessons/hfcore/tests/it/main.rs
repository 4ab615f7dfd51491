//! The lessons of this shelf keep their promises.
//!
//! `cfg(test)` tells clippy that everything here is a test.
#![cfg(test)]

mod align;

use std::path::Path;

use llm_show::golden::{Promises, Run};

/// Four printed decimals, of which rounding may change the last.
const PRINTED: f64 = 2e-4;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

#[test]
fn tinygpt_keeps_its_promises() {
    let promises = Promises {
        program: env!("CARGO_BIN_EXE_00_tinygpt"),
        name: "00_tinygpt",
        folder: folder(),
        args: &[],
        tolerance: PRINTED,
        answer: Some("2486"),
    };
    promises.check().unwrap();
}

#[test]
fn every_seed_ends_in_the_band() {
    for seed in ["1", "2", "3"] {
        let run = Run::new(env!("CARGO_BIN_EXE_00_tinygpt")).args(["--seed", seed, "--quiet"]);
        let output = run.output().unwrap();
        assert_eq!(output.code, Some(0), "seed {seed}: {}", output.stderr);
    }
}

#[test]
fn bad_input_is_named() {
    for (args, message) in [(["--prompt", "hex"], "'x'"), (["--epochs", "0"], "--epochs")] {
        let output = Run::new(env!("CARGO_BIN_EXE_00_tinygpt")).args(args).output().unwrap();
        assert_eq!(output.code, Some(2), "{}", output.stderr);
        assert!(output.stderr.contains(message), "{}", output.stderr);
    }
}
