//! What `deeper train` leaves for those who watch, `deeper diagnose`, `deeper report`, planted faults.

use serde_json::{Value, json};

use crate::train::Folder;

const LATEST: &str = "runs/latest";

#[test]
fn a_sound_run_leaves_events_and_a_report_and_is_healthy() {
    let folder = Folder::new();
    let row = |i: usize| {
        let prompt = format!("<script>{i}</script>");
        format!("{}\n", json!({"prompt": prompt, "completion": "the mat"}))
    };
    folder.write("rows.jsonl", &(0..12).map(row).collect::<String>());
    let run = folder.train(["--answers", "1", "--max-new-tokens", "1", "--dashboard"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("no dashboard: ") && run.stderr.contains("tok/s"));
    let logs: Vec<_> = std::fs::read_dir(folder.path(LATEST).join("logs"))
        .unwrap()
        .collect();
    assert_eq!(logs.len(), 1);
    let diagnosis = folder.deeper(["diagnose", LATEST]);
    assert_eq!(diagnosis.code, Some(0), "{}", diagnosis.stdout);
    assert!(
        diagnosis.stdout.contains("no fault found"),
        "{}",
        diagnosis.stdout
    );

    let path = folder.path(LATEST).join("report.html");
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(
        !page.contains("<script") && page.contains("&lt;script&gt;"),
        "{page}"
    );
    for part in [
        "<svg",
        "Learning rate",
        "model_config: shape.json",
        "No fault found",
        "sha256",
    ] {
        assert!(page.contains(part), "{part}");
    }
    std::fs::remove_file(&path).unwrap();
    let again = folder.deeper(["report", LATEST]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(again.stdout.trim().ends_with("report.html"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), page);
    let none = folder.deeper(["report", "."]);
    assert_eq!(none.code, Some(2));
    assert!(
        none.stderr.contains("no folder of a run"),
        "{}",
        none.stderr
    );
}

#[test]
fn a_planted_fault_stops_the_run_and_the_diagnosis_names_it() {
    let folder = Folder::new();
    let run = folder.train(["--sabotage", "eos-unsupervised", "--answers", "0"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stderr.contains("error: check `eos-unsupervised`"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("hint: ") && run.stderr.contains("deeper diagnose"));
    let diagnosis = folder.deeper(["diagnose", LATEST]);
    assert_eq!(diagnosis.code, Some(1));
    assert!(
        diagnosis.stdout.contains("fault     eos-unsupervised"),
        "{}",
        diagnosis.stdout
    );
    assert!(
        diagnosis
            .stdout
            .lines()
            .all(|line| line.chars().count() <= 80)
    );
    let json = folder.deeper(["diagnose", LATEST, "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["findings"][0]["fault"], "eos-unsupervised");
    assert_eq!(json["healthy"], false);
    let page = std::fs::read_to_string(folder.path(LATEST).join("report.html")).unwrap();
    assert!(page.contains("eos-unsupervised"));

    let passed = folder.train([
        "--sabotage",
        "eos-unsupervised",
        "--allow",
        "eos-unsupervised",
        "--answers",
        "0",
    ]);
    assert_eq!(passed.code, Some(0), "{}", passed.stderr);
    assert!(
        passed.stderr.contains("is planted in this run"),
        "{}",
        passed.stderr
    );
    assert_eq!(folder.deeper(["diagnose", LATEST]).code, Some(1));
}

#[test]
fn warnings_are_said_while_a_run_trains() {
    let folder = Folder::new();
    let run = folder.train(["--sabotage", "lr-too-low", "--answers", "0", "epochs=20"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr.contains(": the loss went from "),
        "{}",
        run.stderr
    );
    let diagnosis = folder.deeper(["diagnose", LATEST]);
    assert!(
        diagnosis.stdout.contains("fault     lr-too-low"),
        "{}",
        diagnosis.stdout
    );
}

#[test]
fn mistaken_names_are_refused() {
    let folder = Folder::new();
    for flags in [["--sabotage", "nan"], ["--allow", "everything"]] {
        let run = folder.train(flags);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains("possible values"), "{}", run.stderr);
    }
    let unknown = folder.train(["--sabotage", "unknown-key"]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.stderr.contains("unknown key `learning_rte`"),
        "{}",
        unknown.stderr
    );
    assert!(!folder.path("runs").exists());
}
