//! Tasks of the closed world as an evaluation.

use std::path::{Path, PathBuf};

use llm_train::eval::{EvalConfig, Evaluation, Subject, Task};
use llm_train::synth::floor::{Sample, above_floor};
use llm_train::synth::{Domain, Split, tasks};
use serde_json::{Value, json};

const SEED: u64 = 11;

fn base() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../output_models/deeper-base")
}

fn config(folder: &Path) -> EvalConfig {
    EvalConfig {
        model_path: Some("deeper-base".into()),
        task: Task::Graded,
        dataset_path: folder.join("tasks.jsonl"),
        max_new_tokens: 8,
        device: "cpu".into(),
        output_dir: folder.join("evals"),
        ..EvalConfig::default()
    }
}

fn open(folder: &Path, lines: &str) -> llm_train::Result<Evaluation> {
    std::fs::write(folder.join("tasks.jsonl"), lines).unwrap();
    Evaluation::open(config(folder), base(), None)
}

/// Lines of generated tasks, `count` of each of two domains.
fn generated(count: usize) -> Vec<Value> {
    [Domain::Facts, Domain::Arithmetic]
        .into_iter()
        .flat_map(|domain| tasks(domain, SEED, count))
        .map(|task| task.row())
        .collect()
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

#[test]
fn an_answer_is_right_when_it_fulfils_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = generated(3);
    let evaluation = open(folder.path(), &lines(&rows)).unwrap();
    let report = evaluation.run(None, |_, _| {}).unwrap();
    assert_eq!(
        report.metrics["correct"]["value"],
        json!(0.0),
        "a model of another world"
    );
    assert_eq!(
        report.groups.values().map(|group| group.1).sum::<usize>(),
        6
    );

    // What the model said becomes what it should say, in one row of two.
    let path = evaluation.folder.path.join("predictions.jsonl");
    let said: Vec<Value> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (row, said) in rows.iter_mut().zip(&said).step_by(2) {
        row["check"] = json!({ "exact": said["prediction"] });
    }
    let evaluation = open(folder.path(), &lines(&rows)).unwrap();
    let report = evaluation.run(None, |_, _| {}).unwrap();
    assert_eq!(report.metrics["correct"]["value"], json!(0.5));
    assert_eq!(
        report.groups.values().map(|group| group.0).sum::<usize>(),
        3
    );
}

#[test]
fn a_limit_is_one_for_each_kind() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tasks.jsonl"), lines(&generated(60))).unwrap();
    let limited = EvalConfig {
        limit: Some(1),
        ..config(folder.path())
    };
    let evaluation = Evaluation::open(limited, base(), None).unwrap();
    let kinds: std::collections::BTreeSet<String> = generated(60)
        .iter()
        .map(|row| row["kind"].to_string())
        .collect();
    assert_eq!(evaluation.total(), kinds.len());
}

#[test]
fn a_line_that_is_no_task_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = generated(1)[0].clone();
    let with = |key: &str, value: Value| {
        let mut row = good.clone();
        row[key] = value;
        row.to_string()
    };
    for bad in [
        "{".to_owned(),
        "[]".to_owned(),
        with("check", json!({ "rule": 1 })),
        with("prompt", json!([])),
        with("prompt", json!("text")),
        with("domain", json!("weather")),
        with("extra", json!(1)),
    ] {
        let error = open(folder.path(), &format!("{good}\n{bad}\n")).unwrap_err();
        assert!(
            error.to_string().contains("tasks.jsonl:2"),
            "{bad}: {error}"
        );
        assert_eq!(error.exit_code(), 2);
    }
    let error = open(folder.path(), "\n").unwrap_err();
    assert!(error.to_string().contains("holds no task"), "{error}");
}

#[test]
fn no_model_is_below_the_floor() {
    let subject = Subject::open(&config(Path::new(".")), &base(), None).unwrap();
    for split in [Split::Train, Split::HeldOut] {
        let sample = Sample {
            seed: SEED,
            split,
            documents: 5,
        };
        let mut calls = 0;
        let rows = above_floor(&subject, sample, |_, _| calls += 1).unwrap();
        assert_eq!((rows.len(), calls), (7, 35));
        for row in rows {
            assert!(row.above.low > 0.0, "{row:?}");
            let sum = row.floor + row.above.value;
            assert!((sum - row.bits.value).abs() < 1e-9 * sum, "{row:?}");
            // A model that knows nothing of this world needs more than a bit a byte for it.
            assert!(row.bits_per_byte > 1.0, "{row:?}");
        }
    }
    let nothing = Sample {
        seed: SEED,
        split: Split::Train,
        documents: 0,
    };
    assert!(above_floor(&subject, nothing, |_, _| ()).is_err());
}
