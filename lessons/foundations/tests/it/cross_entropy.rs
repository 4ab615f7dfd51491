//! Cross-entropy: the reference value, logits of any size, targets that are none.

use crate::{picture, promises, refused, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cross_entropy_loss");

#[test]
fn cross_entropy_loss_keeps_its_promises() {
    promises(PROGRAM, "cross_entropy_loss", "8").check().unwrap();
}

#[test]
fn bad_logits_and_targets_exit_with_2_and_a_hint() {
    for logits in ["", "1", "1,x", "inf,0", "1;2"] {
        refused(PROGRAM, &["--logits", logits], "expected 2 to 20 finite numbers", "--logits \"2,");
    }
    refused(PROGRAM, &["--target", "5"], "--target is 5, expected 0 to 4", "--target 4");
    assert_eq!(run(PROGRAM, &["--target", "-1"]).code, Some(2));
}

#[test]
fn logits_of_any_size_pass_every_check_in_both_types() {
    for logits in ["0,10000", "-1e6,0,1e6", "0,0,0,0"] {
        for dtype in ["f64", "f32"] {
            let output = run(PROGRAM, &["--logits", logits, "--target", "0", "--dtype", dtype]);
            assert_eq!(output.code, Some(0), "{logits} {dtype}: {}", output.stderr);
            assert!(!output.stdout.contains("0.38764"), "that check is for its own logits");
        }
    }
}

#[test]
fn the_picture_shows_the_loss_and_the_trick() {
    let svg = picture(PROGRAM, &[]);
    assert!(svg.contains(">-ln p<") && svg.contains("-ln(p + 1e-10)"), "{svg}");
    // A stroke in the legend and one in the drawing for each.
    assert_eq!(svg.matches("stroke-linejoin").count(), 2 * 2, "{svg}");
}
