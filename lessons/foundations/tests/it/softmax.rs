//! Softmax: golden shares, scores of any size, temperatures.

use crate::{picture, promises, refused, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_softmax");

#[test]
fn softmax_keeps_its_promises() {
    promises(PROGRAM, "softmax", "1.4427").check().unwrap();
}

#[test]
fn bad_scores_and_temperatures_exit_with_2_and_a_hint() {
    for scores in ["", "1,x", "nan", "1e400", "1e308,-1e308"] {
        refused(
            PROGRAM,
            &["--scores", scores],
            "expected 1 to 20 finite numbers",
            "--scores \"2,1",
        );
    }
    for temperature in ["0", "-1", "nan", "inf"] {
        let args = ["--temperature", temperature];
        refused(PROGRAM, &args, "expected 0.001 to 1000", "--temperature 0.01");
    }
}

#[test]
fn scores_of_any_size_pass_every_check() {
    for scores in ["1000,1001", "10000,10001.5", "1e6,999998.5", "-1e6,1e6", "0", "1,1,1"] {
        let output = run(PROGRAM, &["--scores", scores]);
        assert_eq!(output.code, Some(0), "{scores}: {}", output.stderr);
        assert!(!output.stdout.contains("reference shares"), "that check is for its own scores");
    }
}

#[test]
fn the_picture_has_a_line_for_each_score() {
    let svg = picture(PROGRAM, &["--scores", "4,2"]);
    // A stroke in the legend and one in the drawing for each.
    assert_eq!(svg.matches("stroke-linejoin").count(), 2 * 2, "{svg}");
}
