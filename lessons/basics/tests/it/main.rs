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
fn attention_math_keeps_its_promises() {
    let promises = Promises {
        program: env!("CARGO_BIN_EXE_03_attention_math"),
        name: "03_attention_math",
        folder: folder(),
        args: &[],
        tolerance: PRINTED,
        answer: Some("on"),
    };
    promises.check().unwrap();
}

fn run(args: &[&str]) -> llm_show::golden::Output {
    let program = env!("CARGO_BIN_EXE_03_attention_math");
    Run::new(program).args(args.iter().copied()).output().unwrap()
}

#[test]
fn flags_change_what_they_say() {
    let open = run(&["--mask", "none"]);
    assert_eq!(open.code, Some(0), "{}", open.stderr);
    assert!(!open.stdout.contains("weights of the future"));
    let raw = run(&["--scale", "off"]);
    assert!(raw.stdout.contains("Leave the size"), "{}", raw.stdout);
    let twice = run(&["--tokens", "a b a"]).stdout;
    let rows: Vec<&str> =
        twice.lines().filter(|line| line.starts_with("     a ")).take(2).collect();
    assert_eq!(rows[0], rows[1], "one word has one query");
    assert_eq!(run(&["--dtype", "f32"]).code, Some(0));
    assert_eq!(run(&["--threads", "1"]).stdout, run(&["--threads", "2"]).stdout);
}

#[test]
fn bad_input_exits_with_2_and_a_hint() {
    for args in [["--tokens", " "], ["--mask", "maybe"], ["--threads", "0"], ["--device", "abacus"]]
    {
        let output = run(&args);
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.stderr);
    }
    let empty = run(&["--tokens", ""]);
    assert!(
        empty.stderr.contains("error: --tokens has 0 words, expected 1 to 24"),
        "{}",
        empty.stderr
    );
    assert!(empty.stderr.contains("hint: --tokens"), "{}", empty.stderr);
}
