//! 03_attention_math: one attention step by step.

use llm_show::golden::{Output, Promises, Run};

use crate::{PRINTED, folder};

const PROGRAM: &str = env!("CARGO_BIN_EXE_03_attention_math");

#[test]
fn it_keeps_its_promises() {
    let promises = Promises {
        program: PROGRAM,
        name: "03_attention_math",
        folder: folder(),
        args: &[],
        tolerance: PRINTED,
        answer: Some("on"),
    };
    promises.check().unwrap();
}

fn run(args: &[&str]) -> Output {
    Run::new(PROGRAM).args(args.iter().copied()).output().unwrap()
}

#[test]
fn flags_change_what_they_say() {
    let open = run(&["--mask", "none"]);
    assert_eq!(open.code, Some(0), "{}", open.stderr);
    assert!(!open.stdout.contains("weights of the future"));
    assert!(!open.stdout.contains(" -inf"), "{}", open.stdout);
    let raw = run(&["--scale", "off"]);
    assert!(raw.stdout.contains("Times 1 ("), "{}", raw.stdout);
    let twice = run(&["--tokens", "a b a"]).stdout;
    let rows: Vec<&str> =
        twice.lines().filter(|line| line.starts_with("     a ")).take(2).collect();
    assert_eq!(rows[0], rows[1], "one word has one query");
    assert_eq!(run(&["--dtype", "f32"]).code, Some(0));
    assert_eq!(run(&["--threads", "1"]).stdout, run(&["--threads", "2"]).stdout);
}

#[test]
fn infinity_stands_among_the_scores_and_zero_among_the_weights() {
    let page = run(&["--tokens", "a b c"]).stdout;
    let (scores, weights) = page.split_once("weights = softmax").unwrap();
    assert_eq!(scores.matches("-inf ").count() + scores.matches("-inf\n").count(), 4, "{scores}");
    assert!(!weights.contains("-inf\n"), "{weights}");
    let folder = tempfile();
    let picture = run(&["--tokens", "a b c", "--svg", &folder]);
    assert_eq!(picture.code, Some(0), "{}", picture.stderr);
    let svg = std::fs::read_to_string(&folder).unwrap();
    std::fs::remove_file(&folder).unwrap();
    assert_eq!(svg.matches(">0.00<").count(), 3, "three weights of the future: {svg}");
}

/// A file name that no other run has.
fn tempfile() -> String {
    let name = format!("attention-math-{}.svg", std::process::id());
    std::env::temp_dir().join(name).to_string_lossy().into_owned()
}

#[test]
fn bad_input_exits_with_2_and_a_hint() {
    for args in [["--tokens", " "], ["--mask", "maybe"], ["--threads", "0"], ["--device", "abacus"]]
    {
        let output = run(&args);
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.stderr);
    }
    let empty = run(&["--tokens", ""]);
    let problem = "error: --tokens has 0 words, expected 1 to 24";
    assert!(empty.stderr.contains(problem), "{}", empty.stderr);
    assert!(empty.stderr.contains("hint: --tokens"), "{}", empty.stderr);
}
