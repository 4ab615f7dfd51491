//! Gradient descent: the bound 2/L, and learning rates that cannot work.

use crate::{picture, promises, refused, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_gradient_descent");

#[test]
fn gradient_descent_keeps_its_promises() {
    promises(PROGRAM, "gradient_descent", "0.0078125").check().unwrap();
}

#[test]
fn a_learning_rate_that_cannot_work_is_explained() {
    for lr in ["0", "-0.1", "nan", "inf"] {
        let hint = "from 2/L = 0.03125 on it runs away";
        refused(PROGRAM, &["--lr", lr], "expected a finite number above 0", hint);
    }
    // The hint follows the bowl.
    refused(PROGRAM, &["--steep", "256", "--lr", "0"], "learning rate: 0", "2/L = 0.0078125");
    for steep in ["0", "-3", "nan", "1e9"] {
        refused(PROGRAM, &["--steep", steep], "expected 1 to 1000", "--steep 64");
    }
}

#[test]
fn a_rate_below_the_bound_arrives_and_one_above_runs_away() {
    // "loss 16 at the start, 9.9e-07 after 312 steps"
    let last_loss = |args: &[&str]| {
        let output = run(PROGRAM, args);
        assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
        let (_, rest) = output.stdout.split_once(" at the start, ").unwrap();
        rest.split_whitespace().next().unwrap().parse::<f64>().unwrap()
    };
    assert!(last_loss(&["--lr", "0.031"]) <= 1e-6);
    assert!(last_loss(&["--lr", "0.032"]) > 1e6);
    assert!(last_loss(&["--steep", "256", "--lr", "0.031"]) > 1e6);
    for steep in ["1", "2.5", "100", "1000"] {
        assert!(last_loss(&["--steep", steep]) <= 8.0, "half of the start's loss, L = {steep}");
    }
}

#[test]
fn the_picture_has_three_paths() {
    let svg = picture(PROGRAM, &[]);
    for name in ["plain", "momentum 0.9", "adam"] {
        assert!(svg.contains(name), "{name}");
    }
}
