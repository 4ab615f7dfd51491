//! The lessons of this shelf keep their promises.
//!
//! `cfg(test)` tells clippy that everything here is a test.
#![cfg(test)]

mod attention_demo;
mod bpe;
mod cross_entropy;
mod descent;
mod softmax;

use std::path::Path;

use llm_show::golden::{Output, Promises, Run};

/// Four printed decimals, of which rounding may change the last.
const PRINTED: f64 = 2e-4;

/// What every lesson promises: golden stdout and help, the same twice, plain, an answered exercise.
fn promises<'a>(program: &'a str, name: &'a str, answer: &'a str) -> Promises<'a> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    let answer = Some(answer);
    Promises { program, name, folder, args: &[], tolerance: PRINTED, answer }
}

fn run(program: &str, args: &[&str]) -> Output {
    Run::new(program).args(args.iter().copied()).output().unwrap()
}

/// Asserts that the run is refused as bad input, with a message and a hint that say these words.
fn refused(program: &str, args: &[&str], message: &str, hint: &str) {
    let output = run(program, args);
    assert_eq!(output.code, Some(2), "{args:?}: {}", output.stderr);
    assert!(output.stderr.contains(message), "{args:?}: {}", output.stderr);
    let hints = output.stderr.split_once("hint: ").map_or("", |(_, hints)| hints);
    assert!(hints.contains(hint), "{args:?}: {}", output.stderr);
}

/// The picture that `--svg` writes.
fn picture(program: &str, args: &[&str]) -> String {
    let name = Path::new(program).file_name().unwrap().to_string_lossy();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.svg"));
    let path = file.to_string_lossy();
    let output = run(program, &[args, &["--svg", &path]].concat());
    assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
    std::fs::read_to_string(&file).unwrap()
}
