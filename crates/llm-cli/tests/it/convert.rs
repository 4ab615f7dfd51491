//! `deeper convert` from outside, and Parquet files as training data.

use std::path::{Path, PathBuf};

use llm_show::golden::{Output, Run};

fn deeper(folder: &Path, args: &[&str]) -> Output {
    Run::new(env!("CARGO_BIN_EXE_deeper"))
        .folder(folder)
        .args(args.iter().copied())
        .output()
        .unwrap()
}

fn parquet() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../llm-parquet/tests/fixtures");
    tests.join("zstd.parquet")
}

#[test]
fn a_parquet_file_becomes_rows_and_a_list_of_what_was_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let input = parquet().display().to_string();
    let args = [
        "convert", "parquet", "--input", &input, "--out", "x.jsonl", "--plain",
    ];
    let out = deeper(folder.path(), &args);
    assert_eq!(out.code, Some(0), "{}", out.stderr);
    assert!(
        out.stdout
            .starts_with("7 records read, 5 rows written, 2 dropped\n"),
        "{}",
        out.stdout
    );
    for part in ["`completion` is empty", "`completion` is null", "first at"] {
        assert!(out.stdout.contains(part), "{part}: {}", out.stdout);
    }
    assert!(
        out.stdout.lines().all(|line| line.len() <= 80),
        "{}",
        out.stdout
    );
    let rows = std::fs::read_to_string(folder.path().join("x.jsonl")).unwrap();
    assert_eq!(
        rows.lines().next(),
        Some(r#"{"prompt":"question 0","completion":"plain"}"#)
    );
    assert!(rows.contains("größe") && rows.contains("日本"));
    let again = deeper(folder.path(), &args);
    assert_eq!(again.code, Some(2));
    assert!(again.stderr.contains("x.jsonl: exists already") && again.stderr.contains("--force"));
    let forced = deeper(folder.path(), &[&args[..], &["--force"]].concat());
    assert_eq!(forced.stdout, out.stdout);
}

#[test]
fn mistakes_have_a_code_and_name_the_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.csv"), "prompt,completion\na,b\nc\n").unwrap();
    std::fs::write(folder.path().join("x.json"), "[{\"instruction\": 1}]").unwrap();
    for (form, input, code, part) in [
        ("csv", "x.csv", 2, "x.csv:3: has 1 columns"),
        ("alpaca", "x.json", 2, "x.json:1: `instruction` is a number"),
        ("chatgpt", "x.json", 2, "x.json:1: has no object `mapping`"),
        ("parquet", "x.csv", 2, "x.csv: is not a Parquet file"),
        ("sharegpt", "nowhere.json", 3, "nowhere.json"),
    ] {
        let out = deeper(
            folder.path(),
            &["convert", form, "--input", input, "--out", "y.jsonl"],
        );
        assert_eq!(out.code, Some(code), "{form}: {}", out.stderr);
        assert!(out.stderr.contains(part), "{form}: {}", out.stderr);
        assert_eq!(out.stdout, "");
        assert!(!folder.path().join("y.jsonl").exists());
    }
    let out = deeper(
        folder.path(),
        &[
            "convert", "alpaca", "--input", "x.json", "--out", "y", "--prompt", "q",
        ],
    );
    assert_eq!(out.code, Some(2));
    assert!(
        out.stderr.contains("are for csv and parquet"),
        "{}",
        out.stderr
    );
}
