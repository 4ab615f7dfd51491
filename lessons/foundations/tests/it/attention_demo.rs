//! One call of attention: any shape, shared heads, windows, shapes that cannot be.

use crate::{picture, promises, refused, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_attention_demo");

#[test]
fn attention_demo_keeps_its_promises() {
    promises(PROGRAM, "attention_demo", "8").check().unwrap();
}

#[test]
fn other_shapes_pass_every_check() {
    let cases: [&[&str]; 6] = [
        &["--shape", "2,8,12,16"],
        &["--shape", "1,1,1,1"],
        &["--shape", "1,2,32,3", "--kv-heads", "1"],
        &["--kv-heads", "2", "--window", "2"],
        &["--window", "100"],
        &["--dtype", "f32"],
    ];
    for args in cases {
        let output = run(PROGRAM, args);
        assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
        assert!(output.stdout.lines().all(|line| line.chars().count() <= 80), "{args:?}");
    }
    assert_eq!(run(PROGRAM, &["--threads", "1"]).stdout, run(PROGRAM, &["--threads", "2"]).stdout);
}

#[test]
fn a_window_hides_the_far_past() {
    let rows = |args: &[&str]| {
        let stdout = run(PROGRAM, args).stdout;
        let row = stdout.lines().find(|line| line.trim_start().starts_with("t5 ")).unwrap();
        row.to_owned()
    };
    let alone = rows(&["--window", "1"]);
    assert!(alone.ends_with("1.0000"), "a query alone gives itself everything: {alone}");
    assert!(!rows(&[]).ends_with("1.0000"));
}

#[test]
fn shapes_that_cannot_be_exit_with_2_and_a_hint() {
    for shape in ["1,4,6", "1,4,6,0", "1,4,6,x", "1,-4,6,4", "1,1,99999,1", "1,1,33,1"] {
        let message = "expected 4 whole numbers from 1 to 32";
        refused(PROGRAM, &["--shape", shape], message, "--shape \"1,4,6,4\"");
    }
    for kv in ["3", "0", "8"] {
        let message = format!("{kv} key-value heads do not divide 4 query heads");
        refused(PROGRAM, &["--kv-heads", kv], &message, "--kv-heads 1");
    }
    assert_eq!(run(PROGRAM, &["--window", "0"]).code, Some(2));
}

#[test]
fn the_picture_shows_each_head() {
    let svg = picture(PROGRAM, &[]);
    assert!(svg.contains("t0") && svg.contains("t5"), "{svg}");
    // 6 queries, 4 heads, 6 keys.
    assert!(svg.matches("<rect").count() >= 6 * 4 * 6, "{}", svg.matches("<rect").count());
}
