//! `deeper metrics` from outside.

use std::io::Write;
use std::process::{Command, Stdio};

use llm_show::golden::Output;
use serde_json::Value;

use crate::checkout::{Checkout, repository};

/// F1 of the fixture is computed in f32.
const CLOSE: f64 = 1e-6;
/// bert-score computes in f32.
const SIMILAR: f64 = 5e-6;

fn fixture(name: &str) -> String {
    let path = repository().join("crates").join(name);
    path.to_str().unwrap().to_owned()
}

fn pairs() -> String {
    fixture("llm-train/tests/fixtures/metrics/pairs.jsonl")
}

fn object(output: &Output) -> Value {
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.stdout.lines().count(), 1, "{output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

fn read(path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

const NAMES: [&str; 7] = ["exact_match", "f1", "jaccard", "rouge1", "rouge2", "rougeL", "bleu"];

#[test]
fn the_object_has_the_numbers_of_the_packages() {
    let found = object(&Checkout::new().deeper(["metrics", "--pairs", &pairs()]));
    let expected = &read(&fixture("llm-train/tests/fixtures/metrics/expected.json"))["corpus"];
    let keys: Vec<&String> = found.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), NAMES.len() + 1);
    assert_eq!(found["rows"], 200);
    for name in NAMES {
        let (ours, theirs) = (found[name].as_f64().unwrap(), expected[name].as_f64().unwrap());
        let gap = (ours - theirs).abs();
        assert!(gap <= CLOSE, "{name}: {ours} and {theirs}, |Δ| = {gap:e}");
    }
}

#[test]
fn rows_and_similarity_are_written_on_request() {
    let checkout = Checkout::new();
    let encoder = fixture("llm-bertscore/tests/fixtures/bert");
    let output = checkout.deeper([
        "metrics", "--pairs", &pairs(), "--bertscore", &encoder, "--per-row", "rows.jsonl",
    ]);
    let found = object(&output);
    let expected = &read(&fixture("llm-bertscore/tests/fixtures/expected.json"))["bert"];
    let expected = expected["two_layers"].as_array().unwrap();
    let names = ["bertscore_precision", "bertscore_recall", "bertscore_f1"];
    let text = checkout.read("rows.jsonl");
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 200);
    for (place, name) in names.into_iter().enumerate() {
        let theirs = |row: usize| expected[row][place].as_f64().unwrap();
        let mean = (0..200).map(theirs).sum::<f64>() / 200.0;
        assert!((found[name].as_f64().unwrap() - mean).abs() <= SIMILAR, "{name}: {found}");
        let gap = (rows[77][name].as_f64().unwrap() - theirs(77)).abs();
        assert!(gap <= SIMILAR, "{name}: {}", rows[77]);
    }
    assert_eq!(rows[2]["row"], 3);
    assert_eq!(rows[2]["prediction"], "the cat");
    assert_eq!(rows[2]["exact_match"], 1.0);
    assert!(rows[2]["sentence_bleu"].as_f64().unwrap() > 99.9);
}

#[test]
fn a_dash_reads_stdin() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_deeper"))
        .args(["metrics", "--pairs", "-", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let rows = "{\"prediction\": \"a b c d\", \"reference\": \"a b c d\"}\n";
    child.stdin.take().unwrap().write_all(rows.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["rows"], &found["exact_match"]), (&1.into(), &1.0.into()));
}

#[test]
fn mistakes_name_the_line_and_what_helps() {
    let checkout = Checkout::new();
    checkout.write("p.jsonl", "{\"prediction\": \"a\", \"reference\": \"b\"}\n{\"prediction\": 1}\n");
    checkout.write("good.jsonl", "{\"prediction\": \"a\", \"reference\": \"b\"}\n");
    let cases: [(&[&str], i32, &[&str]); 6] = [
        (&["--pairs", "p.jsonl"], 2, &["p.jsonl:2:", "hint:", "reference"]),
        (&["--pairs", "none.jsonl"], 3, &["none.jsonl"]),
        (&["--pairs", "good.jsonl", "--per-row", "./good.jsonl"], 2, &["--per-row", "hint:"]),
        (&["--pairs", "good.jsonl", "--per-row", "no/rows.jsonl"], 3, &["no/rows.jsonl"]),
        (&["--pairs", "good.jsonl", "--bertscore", "."], 2, &["config.json"]),
        (&["--pairs", "good.jsonl", "--bertscore-idf"], 2, &["--bertscore"]),
    ];
    for (args, code, words) in cases {
        let output = checkout.deeper(["metrics"].into_iter().chain(args.iter().copied()));
        assert_eq!(output.code, Some(code), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        for word in words {
            assert!(output.stderr.contains(word), "`{word}` is not in {}", output.stderr);
        }
    }
    assert!(checkout.read("good.jsonl").contains("prediction"));
}
