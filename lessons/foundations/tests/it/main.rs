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
fn softmax_keeps_its_promises() {
    let promises = Promises {
        program: env!("CARGO_BIN_EXE_softmax"),
        name: "softmax",
        folder: folder(),
        args: &[],
        tolerance: PRINTED,
        answer: Some("1.4427"),
    };
    promises.check().unwrap();
}

#[test]
fn bad_scores_exit_with_2() {
    for scores in ["", "1,x", "nan", "1e400"] {
        let run = Run::new(env!("CARGO_BIN_EXE_softmax")).args(["--scores", scores]);
        let output = run.output().unwrap();
        assert_eq!(output.code, Some(2), "{scores}: {}", output.stderr);
        assert!(output.stderr.contains("1 to 20 finite numbers"), "{}", output.stderr);
    }
    let run = Run::new(env!("CARGO_BIN_EXE_softmax")).args(["--scores", "1000,1001"]);
    assert_eq!(run.output().unwrap().code, Some(0));
}
