//! 04_attention_impl: a head that learns, and the gradient that nobody misses.

use llm_show::golden::{Output, Promises, Run};

use crate::{PRINTED, folder};

const PROGRAM: &str = env!("CARGO_BIN_EXE_04_attention_impl");

#[test]
fn it_keeps_its_promises() {
    let promises = Promises {
        program: PROGRAM,
        name: "04_attention_impl",
        folder: folder(),
        args: &[],
        tolerance: PRINTED,
        answer: Some("2"),
    };
    promises.check().unwrap();
}

fn run(args: &[&str]) -> Output {
    Run::new(PROGRAM).args(args.iter().copied()).output().unwrap()
}

#[test]
fn every_seed_and_size_keeps_its_checks() {
    for args in [
        &["--seed", "8"][..],
        &["--seed", "9"],
        &["--pairs", "1"],
        &["--width", "1"],
        &["--dtype", "f32"],
    ] {
        let output = run(args);
        assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
    }
}

#[test]
fn what_cannot_work_is_refused_with_a_reason() {
    for (args, problem, hint) in [
        (["--pairs", "0"], "--pairs is 0, expected 1 to 8: a question needs a pair", "--pairs 4"),
        (["--width", "0"], "--width is 0, expected 1 to 12", "--width 4"),
        (["--rate", "-0.5"], "learning rate: -0.5, expected a number above 0", "--rate 0.1"),
        (["--rate", "0"], "learning rate: 0, expected a number above 0", "--rate 0.1"),
        (["--rate", "1e9"], "learning rate: 1000000000 overshoots", "--rate 0.1"),
    ] {
        let output = run(&args);
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(problem), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(&format!("hint: {hint}")), "{args:?}: {}", output.stderr);
    }
}
