//! From rows to a tuned, asked and measured model: lessons 03 to 06 one after another, in a folder of
//! their own.

use std::path::{Path, PathBuf};

use llm_show::golden::{Output, Run};
use llm_train::monitor::record::Record;

use crate::base;
use crate::server::Server;

const FULL: &str = env!("CARGO_BIN_EXE_03_dataset_plus_finetune_full");
const LORA: &str = env!("CARGO_BIN_EXE_04_dataset_plus_finetune_lora");
const ASK: &str = env!("CARGO_BIN_EXE_05_finetuned_model_inference");
const EVALS: &str = env!("CARGO_BIN_EXE_06_evals");

fn run(place: &Path, program: &str, args: &[&str]) -> Output {
    let base = base();
    let run = Run::new(program).folder(place).args(["--quick", "--model", &base]);
    run.args(args.iter().copied()).output().unwrap()
}

/// As [`run`], with the exit code 0.
fn good(place: &Path, program: &str, args: &[&str]) -> Output {
    let output = run(place, program, args);
    assert_eq!(output.code, Some(0), "{program}: {}\n{}", output.stderr, output.stdout);
    output
}

/// The folder of the one run whose name ends in `name`.
fn run_of(place: &Path, name: &str) -> PathBuf {
    let runs = std::fs::read_dir(place.join("output_models/runs")).unwrap();
    let paths = runs.map(|entry| entry.unwrap().path());
    let found: Vec<_> = paths.filter(|path| path.display().to_string().ends_with(name)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

#[test]
fn a_model_is_tuned_asked_and_measured() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path();
    for (program, lesson) in [(ASK, "03_dataset"), (EVALS, "03_dataset")] {
        let early = run(place, program, &[]);
        assert_eq!(early.code, Some(2), "{}", early.stderr);
        let hint = format!("hint: cargo run --release --bin {lesson}");
        assert!(early.stderr.contains(&hint), "{}", early.stderr);
    }

    let full = good(place, FULL, &["--steps", "40", "--plain"]);
    assert!(full.stdout.is_ascii(), "{}", full.stdout);
    assert!(full.stderr.contains("peak memory"), "{}", full.stderr);
    let folder = run_of(place, "lesson-full");
    let record = Record::read(&folder).unwrap();
    assert!(record.failure.is_none() && !record.rows.is_empty());
    let events = std::fs::read_dir(folder.join("logs")).unwrap().count();
    assert_eq!(events, 1, "an event file for TensorBoard");
    assert!(folder.join("model/model.safetensors").is_file());

    let lora = good(place, LORA, &["--steps", "40"]);
    assert!(lora.stdout.contains("0.383"), "{}", lora.stdout);
    let adapter = run_of(place, "lesson-lora").join("model");
    assert!(adapter.join("adapter_model.safetensors").is_file());

    let asked = good(place, ASK, &["--rows", "4"]);
    let table = std::fs::read_to_string(place.join("output_models/answers.csv")).unwrap();
    assert_eq!(table.lines().next(), Some("question,expected,base,full,lora"));
    assert_eq!(table.lines().count(), 5, "{table}");
    assert_eq!(good(place, ASK, &["--rows", "4"]).stdout, asked.stdout, "the same twice");
    let typed = good(place, ASK, &["--ask", "What, \"exactly\", does the heart do?"]);
    assert!(typed.stdout.contains("heart"), "{}", typed.stdout);

    let server = Server::start(|_| (200, crate::judge::reply("Both.\nVerdict: TIE")));
    let evals = Run::new(EVALS).folder(place).args(["--model", &base(), "--rows", "30", "--judge"]);
    let evals = evals.env("OPENAI_BASE_URL", &server.url()).env("OPENAI_MODEL", "referee");
    let evals = evals.env("OPENAI_API_KEY", "sk-secret").output().unwrap();
    assert_eq!(evals.code, Some(0), "{}\n{}", evals.stderr, evals.stdout);
    for part in ["exact_match", "bits_per_byte", "LoRA", "share of wins by referee"] {
        assert!(evals.stdout.contains(part), "{part}: {}", evals.stdout);
    }
    assert!(!format!("{}{}", evals.stdout, evals.stderr).contains("sk-secret"));
    let asked = server.requests();
    assert!(asked.iter().all(|request| request.contains("Bearer sk-secret")), "{asked:?}");
}

#[test]
fn other_adapters_train_too() {
    for kind in ["dora", "rslora"] {
        let root = tempfile::tempdir().unwrap();
        let option = format!("--use-{kind}");
        let output = good(root.path(), LORA, &[&option, "--r", "2", "--steps", "2"]);
        assert!(output.stdout.contains("Too few steps"), "{}", output.stdout);
        let config = run_of(root.path(), "lesson-lora").join("model/adapter_config.json");
        let config = std::fs::read_to_string(config).unwrap();
        for (key, on) in [("use_dora", kind == "dora"), ("use_rslora", kind == "rslora")] {
            assert!(config.contains(&format!("\"{key}\": {on}")), "{config}");
        }
    }
}

#[test]
fn what_is_not_there_is_named() {
    let root = tempfile::tempdir().unwrap();
    for (program, args, code, part) in [
        (FULL, &["--data", "none.jsonl"][..], 2..=3, "none.jsonl"),
        (LORA, &["--steps", "0"], 2..=2, "--steps"),
        (LORA, &["--lr=-1"], 2..=2, "lr"),
        (ASK, &["--full", "nowhere", "--adapter", "nowhere"], 2..=3, "nowhere"),
        (EVALS, &["--rows", "1"], 2..=2, "--rows"),
        (EVALS, &["--judge"], 2..=2, "OPENAI_BASE_URL is not set"),
    ] {
        let run = Run::new(program).folder(root.path()).args(["--model", &base(), "--quick"]);
        let run = run.args(args.iter().copied()).env("OPENAI_BASE_URL", "");
        let output = run.output().unwrap();
        let got = output.code.unwrap_or(-1);
        assert!(code.contains(&got), "{args:?}: {got}: {}", output.stderr);
        assert!(output.stderr.contains(part), "{args:?}: {}", output.stderr);
    }
}
