//! `deeper bench` from outside: its tables and its JSON on shapes that take no time.

use llm_show::golden::{Output, Run};
use serde_json::Value;

fn bench<'a>(args: impl IntoIterator<Item = &'a str>) -> Output {
    let args = ["bench"].into_iter().chain(args);
    Run::new(env!("CARGO_BIN_EXE_deeper"))
        .args(args)
        .output()
        .unwrap()
}

fn json(what: &str) -> Value {
    let arguments = [
        what,
        "--size",
        "tiny",
        "--runs",
        "3",
        "--threads",
        "1",
        "--profile",
        "--json",
    ];
    let output = bench(arguments);
    assert_eq!(output.code, Some(0), "{output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

#[test]
fn json_has_a_rate_and_a_profile_that_adds_up() {
    for (what, rows) in [("train", 1), ("lora", 1), ("attention", 2), ("decode", 1)] {
        let value = json(what);
        assert_eq!(value["bench"], what);
        assert_eq!(value["threads"], 1);
        assert!(value["peak_gflops"].as_f64().unwrap() > 0.0);
        let found = value["rows"].as_array().unwrap();
        assert_eq!(found.len(), rows, "{value}");
        for row in found {
            for key in [
                "median_ms",
                "minimum_ms",
                "tokens_per_second",
                "gflops",
                "share_of_peak",
            ] {
                assert!(row[key].as_f64().unwrap() > 0.0, "{what} {key}: {row}");
            }
            let profile = row["profile"].as_array().unwrap();
            let sum = |key: &str| {
                profile
                    .iter()
                    .map(|part| part[key].as_u64().unwrap())
                    .sum::<u64>()
            };
            assert_eq!(sum("flops"), row["flops"].as_u64().unwrap(), "{what}");
            assert!(sum("bytes") > 0 && sum("allocations") > 0, "{row}");
        }
    }
}

#[test]
fn a_table_names_the_shape_and_the_profile_its_operations() {
    let output = bench([
        "train",
        "--size",
        "tiny",
        "--runs",
        "1",
        "--plain",
        "--profile",
    ]);
    assert_eq!(output.code, Some(0), "{output:?}");
    for word in [
        "L=2/C=16/T=8/B=2",
        "of peak",
        "linear backward",
        "adamw",
        "clip",
        "total",
    ] {
        assert!(output.stdout.contains(word), "{word}: {}", output.stdout);
    }
    assert!(output.stderr.contains("peak"), "{}", output.stderr);
}

#[test]
fn a_trace_holds_every_operation_inside_its_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let file = path.to_str().unwrap();
    let arguments = [
        "train", "--size", "tiny", "--runs", "1", "--json", "--trace", file,
    ];
    let output = bench(arguments);
    assert_eq!(output.code, Some(0), "{output:?}");
    let trace: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let table: Value = serde_json::from_str(&output.stdout).unwrap();
    let calls = table["rows"][0]["profile"].as_array().unwrap().iter();
    let calls: u64 = calls.map(|row| row["calls"].as_u64().unwrap()).sum();
    let all = trace["traceEvents"].as_array().unwrap();
    let spans: Vec<&Value> = all.iter().filter(|event| event["ph"] == "X").collect();
    assert_eq!(spans.len() as u64, calls);
    let end = |span: &Value| span["ts"].as_f64().unwrap() + span["dur"].as_f64().unwrap();
    let step = spans.iter().find(|span| span["name"] == "step").unwrap();
    // Times are rounded to the last digits of a double.
    let inside = |span: &&&Value| {
        span["ts"].as_f64() >= step["ts"].as_f64() && end(span) <= end(step) + 1e-3
    };
    assert!(
        spans.iter().filter(inside).count() + 1 >= spans.len(),
        "{trace}"
    );
}

#[test]
fn flags_of_another_bench_are_refused() {
    assert_eq!(bench(["train", "--bf16"]).code, Some(2));
    let output = bench(["train", "--context", "5"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("decode"), "{}", output.stderr);
    let output = bench(["decode", "--size", "tiny", "--context", "0", "--runs", "1"]);
    assert_eq!(output.code, Some(0), "{output:?}");
}
