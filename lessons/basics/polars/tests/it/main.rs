//! The frames against pandas, the three formats, and the lesson's promises.
//!
//! `cfg(test)` tells clippy that everything here is a test.
#![cfg(test)]

use std::path::Path;

use lessons_basics_polars::{
    Format, PROMPTS_CSV, at_least, distinct, group_mean, mean, numbers, prompts, repeated, shared,
    sources, split,
};
use llm_show::golden::{Output, Promises, Run};
use polars::prelude::*;
use serde_json::{Value, json};

/// Four printed decimals, of which rounding may change the last.
const PRINTED: f64 = 2e-4;
/// A handful of f64 added in another order.
const PANDAS: f64 = 1e-15;

/// What `tools/oracle/frames.py` wrote.
fn pandas() -> Value {
    serde_json::from_str(include_str!("../fixtures/frames.json")).unwrap()
}

/// A frame as a list of rows, in the types of JSON.
fn rows(frame: &DataFrame) -> Value {
    let row = |index| {
        let cells = frame.columns().iter().map(|column| match column.get(index).unwrap() {
            AnyValue::Null => Value::Null,
            AnyValue::Int64(n) => json!(n),
            AnyValue::UInt32(n) => json!(n),
            AnyValue::Float64(x) => json!(x),
            text => json!(text.get_str().unwrap()),
        });
        cells.collect::<Vec<_>>()
    };
    (0..frame.height()).map(row).collect()
}

fn ids(frame: &DataFrame) -> Value {
    frame.column("id").unwrap().i64().unwrap().iter().flatten().collect()
}

fn near(what: &str, ours: f64, theirs: &Value) {
    let theirs = theirs.as_f64().unwrap();
    let apart = (ours - theirs).abs();
    assert!(apart <= PANDAS, "{what}: |Δ| = {apart:e} of {theirs} (tolerance {PANDAS:e})");
}

#[test]
fn the_frame_and_its_gaps_are_those_of_pandas() {
    let (frame, pandas) = (prompts().unwrap(), pandas());
    assert_eq!(
        frame.get_column_names().iter().map(|name| name.as_str()).collect::<Value>(),
        pandas["columns"]
    );
    assert_eq!(rows(&frame), pandas["rows"]);
    for column in frame.columns() {
        assert_eq!(json!(column.null_count()), pandas["null_count"][column.name().as_str()]);
    }
    near("mean score", mean(&frame, "score").unwrap(), &pandas["mean_score"]);
    let scores = numbers(&frame, "score").unwrap();
    let with_zeros = scores.iter().sum::<f64>() / frame.height() as f64;
    near("with zeros in the gaps", with_zeros, &pandas["mean_score_with_zeros"]);
    let words = numbers(&frame, "words").unwrap();
    let [low, high] = [f64::min, f64::max].map(|f| words.iter().copied().reduce(f).unwrap());
    assert_eq!(json!([low, mean(&frame, "words").unwrap(), high]), pandas["words"]);
    assert!(mean(&frame, "prompt").unwrap().is_nan(), "texts have no mean");
    assert_eq!(scores.len(), 7);
}

#[test]
fn the_filter_keeps_the_rows_of_pandas() {
    let (frame, pandas) = (prompts().unwrap(), pandas());
    let kept = at_least(&frame, "words", 8).unwrap();
    assert_eq!(ids(&kept), pandas["filter_words_8"]);
    assert_eq!(at_least(&frame, "words", 100).unwrap().height(), 0);
    assert!(at_least(&frame, "score", 1).is_err(), "a column of fractions");
    assert!(at_least(&frame, "nothing", 1).is_err());
}

#[test]
fn group_means_are_those_of_pandas() {
    let (frame, pandas) = (prompts().unwrap(), pandas());
    let ours = group_mean(&frame, "source", "score").unwrap();
    let theirs = pandas["group_mean"].as_array().unwrap();
    assert_eq!(ours.height(), theirs.len());
    for (ours, theirs) in rows(&ours).as_array().unwrap().iter().zip(theirs) {
        assert_eq!(ours.as_array().unwrap()[..3], theirs.as_array().unwrap()[..3]);
        match ours[3].as_f64() {
            Some(mean) => near(&ours[0].to_string(), mean, &theirs[3]),
            None => assert!(theirs[3].is_null(), "{ours} against {theirs}"),
        }
    }
    let unique = distinct(&frame, "prompt").unwrap();
    assert_eq!(ids(&unique), pandas["unique_prompts"]);
    let forum = numbers(&group_mean(&unique, "source", "score").unwrap(), "mean").unwrap()[2];
    near("forum without copies", forum, &pandas["group_mean_of_unique_forum"]);
}

#[test]
fn joins_are_those_of_pandas() {
    let (frame, sources, pandas) = (prompts().unwrap(), sources().unwrap(), pandas());
    let left = frame.left_join(&sources, ["source"], ["source"]).unwrap();
    assert_eq!(rows(&left), pandas["left_join"]);
    // An inner join promises no order.
    let inner = frame.inner_join(&sources, ["source"], ["source"]).unwrap();
    let inner = inner.sort(["id"], SortMultipleOptions::default()).unwrap();
    assert_eq!(rows(&inner), pandas["inner_join"]);
}

#[test]
fn every_format_gives_back_the_frame_and_csv_the_bytes() {
    let frame = prompts().unwrap();
    for format in Format::ALL {
        let back = format.read(&format.write(&frame).unwrap()).unwrap();
        assert!(back.equals_missing(&frame), "{format:?}");
        assert_eq!(back.dtypes(), frame.dtypes(), "{format:?}");
    }
    let parquet = Format::Parquet.write(&frame).unwrap();
    let csv = Format::Csv.write(&Format::Parquet.read(&parquet).unwrap()).unwrap();
    assert_eq!(String::from_utf8(csv).unwrap(), PROMPTS_CSV);
    let lines = String::from_utf8(Format::JsonLines.write(&frame).unwrap()).unwrap();
    assert_eq!(lines.lines().count(), 10);
    for (line, row) in lines.lines().zip(rows(&frame).as_array().unwrap()) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["prompt"], row[1]);
        assert_eq!(line["score"], row[4], "an unknown value is null in JSON");
    }
}

#[test]
fn csv_guesses_types_and_parquet_keeps_them() {
    let codes = df!("code" => ["007", "042"]).unwrap();
    let back = |format: Format| format.read(&format.write(&codes).unwrap()).unwrap();
    assert_eq!(back(Format::Csv).column("code").unwrap().dtype(), &DataType::Int64);
    assert!(back(Format::Parquet).equals(&codes));
    assert!(back(Format::JsonLines).equals(&codes));
    let cut = &Format::Parquet.write(&codes).unwrap()[..40];
    assert!(Format::Parquet.read(cut).is_err(), "half a file is an error");
}

#[test]
fn a_split_keeps_each_row_once_and_copies_leak() {
    let frame = prompts().unwrap();
    for every in 2..=10 {
        let [train, held] = split(&frame, every).unwrap();
        assert_eq!(held.height(), 10 / every);
        let all = train.vstack(&held).unwrap();
        assert!(all.sort(["id"], SortMultipleOptions::default()).unwrap().equals_missing(&frame));
        let [train, held] = split(&distinct(&frame, "prompt").unwrap(), every).unwrap();
        assert_eq!(shared(&train, &held, "prompt").unwrap(), 0);
    }
    let [train, held] = split(&frame, 3).unwrap();
    assert_eq!(shared(&train, &held, "prompt").unwrap(), 1, "row 6 is a copy of row 1");
    assert_eq!(repeated(&frame, 3).unwrap().height(), 80);
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_00_polars");

fn run(args: &[&str]) -> Output {
    Run::new(PROGRAM).args(args.iter().copied()).output().unwrap()
}

#[test]
fn polars_keeps_its_promises() {
    let promises = Promises {
        program: PROGRAM,
        name: "00_polars",
        folder: Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")),
        args: &[],
        tolerance: PRINTED,
        answer: Some("0.825"),
    };
    promises.check().unwrap();
}

#[test]
fn flags_change_the_groups_the_filter_and_the_split() {
    for args in [
        &["--by", "licence"][..],
        &["--by", "words", "--mean", "id"],
        &["--mean", "share"],
        &["--min-words", "0"],
        &["--min-words", "200"],
        &["--every", "2"],
        &["--every", "10"],
    ] {
        let output = run(args);
        assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
    }
    let by_licence = run(&["--by", "licence"]).stdout;
    assert!(by_licence.contains("CC-BY-4.0     3"), "{by_licence}");
    assert!(run(&["--min-words", "9"]).stdout.contains("= 2  ok"));
}

#[test]
fn a_column_that_is_not_there_or_not_of_numbers_is_named_with_those_that_are() {
    let output = run(&["--by", "author"]);
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    let expected = "error: --by is `author`, expected a column: id, prompt, source, words, score, \
                    licence, share";
    assert!(output.stderr.contains(expected), "{}", output.stderr);
    let output = run(&["--mean", "source"]);
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    let expected = "--mean is `source`, expected a column of numbers: id, words, score, share";
    assert!(output.stderr.contains(expected), "{}", output.stderr);
    assert!(output.stderr.contains("hint: --mean"), "{}", output.stderr);
    for bad in [["--every", "1"], ["--every", "11"], ["--min-words", "-1"], ["--min-words", "x"]] {
        assert_eq!(run(&bad).code, Some(2), "{bad:?}");
    }
}
