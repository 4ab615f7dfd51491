//! `02_math`: its promises, other vectors, and what it says about vectors it cannot use.

use llm_show::golden::{Output, Promises, Run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_02_math");

fn run(args: &[&str]) -> Output {
    Run::new(PROGRAM).args(args.iter().copied()).output().unwrap()
}

#[test]
fn math_keeps_its_promises() {
    let promises = Promises {
        program: PROGRAM,
        name: "02_math",
        folder: crate::folder(),
        args: &[],
        tolerance: crate::PRINTED,
        answer: Some("3"),
    };
    promises.check().unwrap();
}

#[test]
fn other_vectors_pass_every_check() {
    for (vector, other) in [
        ("1,0", "0,1"),
        ("3,4", "-3,-4"),
        ("7", "-2"),
        ("0.1,0.1,0.1,0.1", "100,-100,100,-100"),
        ("999,1,0", "1,0,0"),
        ("0,0,0,1", "5,4,3,2"),
        ("-900,100,1,2,3", "-800,-300,5,4,3"),
    ] {
        let output = run(&["--vector", vector, "--other", other]);
        assert_eq!(output.code, Some(0), "{vector} and {other}: {}", output.stderr);
        let widest = output.stdout.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{vector} and {other}: {}", output.stdout);
    }
    for at in ["-20", "0", "20", "0.001"] {
        assert_eq!(run(&["--at", at]).code, Some(0), "{at}");
    }
    let square = run(&["--vector", "1,0", "--other", "0,1"]).stdout;
    assert!(square.contains("0.0000  1.0000  1.0000     0.0000"), "{square}");
}

#[test]
fn vectors_that_cannot_be_used_exit_with_2_and_a_hint() {
    for (args, message) in [
        (["--vector", "1,x"], "--vector is `1,x`, expected 1 to 5 finite numbers"),
        (["--vector", ""], "expected 1 to 5 finite numbers"),
        (["--other", "nan,1,2"], "--other is `nan,1,2`, expected 1 to 5 finite numbers"),
        (["--vector", "1,2"], "--vector has 2 numbers, --other 3, expected as many"),
        (["--vector", "0,0,0"], "expected lengths of 0.1 to 1000"),
        (["--vector", "1e5,0,0"], "expected lengths of 0.1 to 1000"),
        (["--at", "1000"], "--at is 1000, expected -20 to 20"),
        (["--at", "nan"], "--at is NaN, expected -20 to 20"),
    ] {
        let output = run(&args);
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(message), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains("hint: --"), "{args:?}: {}", output.stderr);
    }
}
