//! The tools beside the lessons.

use llm_show::golden::Run;

use crate::base;

#[test]
fn the_table_measures_each_way_in_its_own_process() {
    let root = tempfile::tempdir().unwrap();
    let run = Run::new(env!("CARGO_BIN_EXE_finetune_table")).folder(root.path());
    let run = run.args(["--model", &base(), "--quick", "--steps", "3", "--methods", "full,lora"]);
    let output = run.output().unwrap();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    for part in ["full", "lora", "100.000 %", "exact match", "tok/s"] {
        assert!(output.stdout.contains(part), "{part}: {}", output.stdout);
    }
    if cfg!(target_os = "linux") {
        assert!(output.stdout.contains("MiB"), "{}", output.stdout);
    }
}

#[test]
fn a_way_that_is_none_and_a_run_that_fails_are_named() {
    let root = tempfile::tempdir().unwrap();
    let table = |args: &[&str]| {
        let run = Run::new(env!("CARGO_BIN_EXE_finetune_table")).folder(root.path());
        run.args(args.iter().copied()).output().unwrap()
    };
    let unknown = table(&["--methods", "full,magic"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("magic") && unknown.stderr.contains("hint:"));
    let missing = table(&["--model", "no/such", "--methods", "lora"]);
    assert_eq!(missing.code, Some(2), "{}", missing.stderr);
    assert!(missing.stderr.contains("process for lora failed"), "{}", missing.stderr);
}

#[test]
fn lora_finetune_leaves_what_a_training_run_leaves() {
    let root = tempfile::tempdir().unwrap();
    let run = Run::new(env!("CARGO_BIN_EXE_lora_finetune")).folder(root.path());
    let output = run.args(["--steps", "2", "--quick", "--use-dora", "--r", "2"]).output().unwrap();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let latest = root.path().join("output_models/runs/latest");
    for name in ["logs", "system.jsonl", "warnings.jsonl", "checks.json", "metrics.json"] {
        assert!(latest.join(name).exists(), "{name}");
    }
    assert!(output.stderr.contains("deeper report"), "{}", output.stderr);
}

#[test]
fn only_published_shapes_of_a_bearable_size_are_written() {
    let root = tempfile::tempdir().unwrap();
    for (config, part) in [("qwen9", "qwen3-0.6b"), ("llama-2-70b", "at most")] {
        let run = Run::new(env!("CARGO_BIN_EXE_random_model")).folder(root.path());
        let output = run.args(["--config", config, "--out", "out"]).output().unwrap();
        assert_eq!(output.code, Some(2), "{}", output.stderr);
        assert!(output.stderr.contains(part), "{}", output.stderr);
        assert!(!root.path().join("out").exists());
    }
}
