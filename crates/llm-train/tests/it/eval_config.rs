//! Evaluation files: the repository's own parse, and mistakes are named with their line.

use std::path::{Path, PathBuf};

use llm_train::config::{Settings, TrainConfig};
use llm_train::eval::{EvalConfig, Task};

fn parse(text: &str, overrides: &[&str]) -> llm_train::Result<EvalConfig> {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    EvalConfig::from_text(Path::new("eval.yaml"), text, &overrides)
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../configs")
        .join(name)
}

#[test]
fn the_baseline_differs_only_in_the_model() {
    let tuned = EvalConfig::from_path(&file("eval.yaml"), &[]).unwrap();
    let base = EvalConfig::from_path(&file("eval_baseline.yaml"), &[]).unwrap();
    assert_ne!(tuned.model_path, base.model_path);
    let same = EvalConfig {
        model_path: tuned.model_path.clone(),
        ..base
    };
    assert_eq!(same, tuned);
    assert_eq!(tuned.max_leakage, Some(0));
}

#[test]
fn every_file_of_settings_parses() {
    let suite = EvalConfig::from_path(&file("eval_suite.yaml"), &[]).unwrap();
    assert_eq!(suite.task, Task::Choices);
    let dsl = EvalConfig::from_path(&file("dsl_eval.yaml"), &[]).unwrap();
    assert!(dsl.grammar.is_some());
    let train = TrainConfig::load(&file("dsl.yaml"), &[]).unwrap();
    assert_eq!(train.validation_path, Some(dsl.dataset_path));
}

#[test]
fn resolved_settings_read_back_as_they_were() {
    let config = parse(
        "model_path: m\n",
        &["limit=3", "grammar=quayline", "top_p=0.25"],
    )
    .unwrap();
    assert_eq!(parse(&config.yaml().unwrap(), &[]).unwrap(), config);
    let defaults = parse("model_path: m\n", &[]).unwrap();
    let want = EvalConfig {
        model_path: Some("m".into()),
        ..EvalConfig::default()
    };
    assert_eq!(defaults, want);
}

#[test]
fn mistakes_are_named_with_their_line() {
    for (text, parts) in [
        (
            "model_path: a\nmax_new_token: 2\n",
            ["eval.yaml:2", "did you mean `max_new_tokens`"],
        ),
        (
            "model_path: a\nzzzzzzzz: 2\n",
            ["eval.yaml:2", "unknown key `zzzzzzzz`"],
        ),
        ("model_path: a\nseed: 1\nseed: 2\n", ["eval.yaml:3", "seed"]),
        ("model_path: a\nlimit: many\n", ["eval.yaml:2", ""]),
        ("model_path: a\nlimit: 0\n", ["eval.yaml:2", "`limit` is 0"]),
        (
            "model_path: a\ntemperature: -1\n",
            ["eval.yaml:2", "`temperature` is -1"],
        ),
        ("model_path: a\ntop_p: .nan\n", ["eval.yaml:2", ".nan"]),
        ("model_path: a\ntask: sing\n", ["eval.yaml:2", "sing"]),
        ("model_path: a\ngrammar: sql\n", ["eval.yaml:2", "sql"]),
        ("model_path: a\nmax_leakage: -1\n", ["eval.yaml:2", ""]),
        (
            "model_path: a\nshots: 5\n",
            ["eval.yaml:2", "only the task mmlu"],
        ),
        (
            "model_path: a\nsamples: 5\ntask: humaneval\n",
            ["eval.yaml:2", "`temperature` 0"],
        ),
        (
            "model_path: a\nrun_name: ../x\n",
            ["eval.yaml:2", "run_name"],
        ),
        ("seed: 1\n", ["eval.yaml", "`model_path` is not set"]),
        ("- 1\n", ["eval.yaml:1", ""]),
    ] {
        let error = parse(text, &[]).unwrap_err();
        let shown = error.to_string();
        assert!(
            parts.iter().all(|part| shown.contains(part)),
            "{text:?}: {shown}"
        );
        assert!(!shown.contains('\n'), "{shown}");
        assert_eq!(error.exit_code(), 2, "{shown}");
    }
    for (text, part) in [
        ("limit", "key=value"),
        ("limt=1", "did you mean `limit`"),
        ("limit=-1", "limit=-1"),
        ("batch_size=0", "`batch_size` is 0"),
    ] {
        let error = parse("model_path: a\n", &[text]).unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}
