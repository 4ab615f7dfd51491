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
fn perceptron_keeps_its_promises() {
    let promises = Promises {
        program: env!("CARGO_BIN_EXE_01_perceptron"),
        name: "01_perceptron",
        folder: folder(),
        args: &[],
        tolerance: PRINTED,
        answer: Some("14"),
    };
    promises.check().unwrap();
}

#[test]
fn one_pass_is_not_enough_and_xor_never_settles() {
    let run = |args: [&str; 4]| Run::new(env!("CARGO_BIN_EXE_01_perceptron")).args(args).output();
    let short = run(["--gate", "and", "--epochs", "1"]).unwrap();
    assert!(short.stdout.contains("not settled yet"), "{}", short.stdout);
    let long = run(["--gate", "xor", "--epochs", "1000"]).unwrap();
    assert_eq!(long.code, Some(0));
    assert!(long.stdout.contains("in 1000 passes"), "{}", long.stdout);
}
