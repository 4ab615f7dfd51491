//! The lessons of this shelf keep their promises.
//!
//! `cfg(test)` tells clippy that everything here is a test.
#![cfg(test)]

mod align;
mod flow;
mod judge;
mod server;
mod tools;

use std::path::{Path, PathBuf};

use lessons_hfcore::small::{ALL, KNOWN, known_costs};
use llm_core::config::published;
use llm_core::model::{count, memory::Training};
use llm_show::golden::{Golden, Promises, Run};
use llm_show::number;

/// Four printed decimals, of which rounding may change the last.
const PRINTED: f64 = 2e-4;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

/// The bundled model that has two million parameters: small enough for tests.
fn base() -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../output_models/deeper-base");
    PathBuf::from(root).canonicalize().unwrap().display().to_string()
}

#[test]
fn tinygpt_keeps_its_promises() {
    let promises = Promises {
        program: env!("CARGO_BIN_EXE_00_tinygpt"),
        name: "00_tinygpt",
        folder: folder(),
        args: &[],
        tolerance: PRINTED,
        answer: Some("2486"),
    };
    promises.check().unwrap();
}

#[test]
fn peft_lora_keeps_its_promises() {
    let promises = Promises {
        program: env!("CARGO_BIN_EXE_02_peft_lora"),
        name: "02_peft_lora",
        folder: folder(),
        args: &["--quick"],
        tolerance: PRINTED,
        answer: Some("147,456"),
    };
    promises.check().unwrap();
}

#[test]
fn help_is_as_a_person_last_saw_it() {
    for (program, name) in [
        (env!("CARGO_BIN_EXE_03_dataset_plus_finetune_full"), "03_dataset_plus_finetune_full"),
        (env!("CARGO_BIN_EXE_04_dataset_plus_finetune_lora"), "04_dataset_plus_finetune_lora"),
        (env!("CARGO_BIN_EXE_05_finetuned_model_inference"), "05_finetuned_model_inference"),
        (env!("CARGO_BIN_EXE_06_evals"), "06_evals"),
        (env!("CARGO_BIN_EXE_finetune_table"), "finetune_table"),
        (env!("CARGO_BIN_EXE_lora_finetune"), "lora_finetune"),
        (env!("CARGO_BIN_EXE_random_model"), "random_model"),
    ] {
        let help = Run::new(program).args(["--help"]).output().unwrap();
        assert_eq!(help.code, Some(0), "{name}: {}", help.stderr);
        let path = folder().join(format!("{name}.help.txt"));
        Golden { path, tolerance: 0.0 }.compare(&help.stdout).unwrap();
    }
}

/// The counts of PEFT's `print_trainable_parameters`.
#[test]
fn adapters_have_the_sizes_that_peft_prints() {
    let (_, right) = known_costs().unwrap();
    assert!(right, "see the table of 02_peft_lora");
    let q_v = KNOWN[0];
    assert_eq!((q_v.0, q_v.4, q_v.4 * 4), ("qwen3-0.6b", 2_293_760, 9_175_040));
}

#[test]
fn the_book_says_what_each_kind_of_fine_tuning_trains() {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/02_hfcore");
    let page = std::fs::read_to_string(book.join("kinds.md")).unwrap();
    let config = published::find("qwen3-0.6b").unwrap().unwrap();
    let all = count::total(&config);
    let lora = count::lora(&config, 16, ALL).unwrap();
    let rows: u64 = count::projections(&config).iter().map(|one| one.outputs).sum();
    let dora = lora + config.num_hidden_layers as u64 * rows;
    let prompt = 20 * config.hidden_size as u64;
    for (trained, frozen) in [(all, 0), (lora, 2 * all), (dora, 2 * all), (prompt, 2 * all)] {
        let memory = Training::of(frozen, trained).total() as f64 / 1e9;
        let row = format!("| {} | {memory:.2} GB |", number::count(trained));
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn every_seed_ends_in_the_band() {
    for seed in ["1", "2", "3"] {
        let run = Run::new(env!("CARGO_BIN_EXE_00_tinygpt")).args(["--seed", seed, "--quiet"]);
        let output = run.output().unwrap();
        assert_eq!(output.code, Some(0), "seed {seed}: {}", output.stderr);
    }
}

#[test]
fn adapters_of_any_rank_and_scale_merge() {
    for args in [["--r", "1"], ["--r", "48"], ["--alpha", "64"], ["--seed", "3"]] {
        let run = Run::new(env!("CARGO_BIN_EXE_02_peft_lora")).args(args).args(["--quick"]);
        let output = run.output().unwrap();
        assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
    }
}

#[test]
fn bad_input_is_named() {
    for (args, message) in [(["--prompt", "hex"], "'x'"), (["--epochs", "0"], "--epochs")] {
        let output = Run::new(env!("CARGO_BIN_EXE_00_tinygpt")).args(args).output().unwrap();
        assert_eq!(output.code, Some(2), "{}", output.stderr);
        assert!(output.stderr.contains(message), "{}", output.stderr);
    }
    for args in [["--r", "0"], ["--r", "49"], ["--alpha", "nan"]] {
        let output = Run::new(env!("CARGO_BIN_EXE_02_peft_lora")).args(args).output().unwrap();
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.stderr);
    }
}
