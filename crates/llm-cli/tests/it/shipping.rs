//! After training: merge, export, inspect, publish, from outside.

use std::path::Path;

use llm_show::golden::{Golden, Output, Run};
use llm_store::ModelFolder;
use llm_store::gguf::{GgufFile, Quant};
use llm_store::safetensors::Dtype;
use serde_json::Value;

use crate::deeper::{Fixture, assert_failure};

#[track_caller]
fn fine(output: &Output) -> &str {
    assert_eq!(output.code, Some(0), "{output:?}");
    &output.stdout
}

/// Nothing is wider than a terminal of 80 columns.
#[track_caller]
fn assert_narrow(text: &str) {
    for line in text.lines() {
        assert!(
            line.chars().count() <= 80,
            "{} columns: {line}",
            line.chars().count()
        );
    }
}

fn merge(fixture: &Fixture) -> Output {
    fixture.deeper([
        "merge",
        "--model",
        "model",
        "--adapter",
        "adapter",
        "--out",
        "merged",
    ])
}

#[test]
fn a_merged_model_writes_what_the_adapter_writes() {
    let fixture = Fixture::new();
    let output = merge(&fixture);
    assert_narrow(fine(&output));
    assert!(output.stdout.contains("with an update") && output.stdout.contains("merged"));
    let write = |more: &[&str]| {
        let model = ["generate", "--prompt", "the cat", "--max-new-tokens", "12"];
        let output = fixture.deeper(model.into_iter().chain(more.iter().copied()));
        fine(&output).to_owned()
    };
    let adapted = write(&["--model", "model", "--adapter", "adapter"]);
    assert_eq!(write(&["--model", "merged"]), adapted);
    assert_failure(&merge(&fixture), 2, &["merged: exists already", "hint:"]);
    let missing = [
        "merge",
        "--model",
        "model",
        "--adapter",
        "nothing",
        "--out",
        "m",
    ];
    assert_failure(
        &fixture.deeper(missing),
        2,
        &["adapter_config.json", "hint:"],
    );
    assert!(!fixture.path("m").exists());
}

#[test]
fn every_type_is_exported_and_inspected() {
    let fixture = Fixture::new();
    for quant in Quant::all() {
        let (name, file) = (quant.name(), format!("{}.gguf", quant.name()));
        let output = fixture.deeper([
            "export", "gguf", "--model", "model", "--quant", name, "--out", &file, "--name", "tiny",
        ]);
        assert_narrow(fine(&output));
        assert!(output.stdout.contains(&file), "{output:?}");
        let header = GgufFile::open(&fixture.path(&file)).unwrap();
        let output = fixture.deeper(["inspect", "--file", &file]);
        let page = fine(&output);
        assert!(
            page.contains("GGUF version 3") && page.contains("general.architecture"),
            "{page}"
        );
        let tensors = format!("{} tensors", header.header().tensors.len());
        assert!(
            page.contains("blk.1.ffn_down.weight") && page.contains(&tensors),
            "{page}"
        );
        let metadata = page.split("tensor  ").next().unwrap();
        assert_narrow(metadata);
        let plain = fixture.deeper(["inspect", "--file", &file, "--plain"]);
        assert!(!fine(&plain).contains(['·', '…', '─']), "{}", plain.stdout);
    }
    // Rows of 16 have no blocks: the page says so
    let output = fixture.deeper([
        "export",
        "gguf",
        "--model",
        "model",
        "--quant",
        "q8_0",
        "--out",
        "Q8_0.gguf",
        "--overwrite",
    ]);
    assert!(fine(&output).contains("F16 in place of Q8_0"), "{output:?}");
}

#[test]
fn a_folder_in_another_type_opens() {
    let fixture = Fixture::new();
    let export = |dtype: &str| {
        fixture.deeper([
            "export", "hf", "--model", "model", "--dtype", dtype, "--out", "half",
        ])
    };
    fine(&export("bf16"));
    let half = ModelFolder::open(&fixture.path("half")).unwrap();
    assert!(half.infos().all(|(_, info)| info.dtype == Dtype::BF16));
    fine(&fixture.deeper(["inspect", "--model", "half"]));
    assert_failure(&export("f32"), 2, &["half", "hint:"]);
    assert_failure(&export("q8"), 2, &["q8"]);
}

#[test]
fn mistakes_of_an_export_are_named() {
    let fixture = Fixture::new();
    let export = |quant: &str, out: &str| {
        fixture.deeper([
            "export", "gguf", "--model", "model", "--quant", quant, "--out", out,
        ])
    };
    fine(&export("F16", "a.gguf"));
    assert_failure(
        &export("F16", "a.gguf"),
        2,
        &["a.gguf: exists already", "hint:"],
    );
    assert_failure(&export("Q3_K", "b.gguf"), 2, &["Q3_K", "Q4_K_M"]);
    assert_failure(&export("F16", "no/such/b.gguf"), 3, &["no/such"]);
    let whole = std::fs::read(fixture.path("a.gguf")).unwrap();
    std::fs::write(fixture.path("cut.gguf"), &whole[..whole.len() - 100]).unwrap();
    let cut = fixture.deeper(["inspect", "--file", "cut.gguf"]);
    assert_failure(&cut, 2, &["cut.gguf", "truncated", "hint:"]);
    std::fs::write(
        fixture.path("model/tokenizer.json"),
        r#"{"model": {"type": "WordPiece"}}"#,
    )
    .unwrap();
    assert_failure(
        &export("F16", "b.gguf"),
        2,
        &["tokenizer.json", "WordPiece", "hint:"],
    );
    assert!(!fixture.path("b.gguf").exists());
}

/// `deeper publish` without the variables of the person who runs the tests.
fn publish(fixture: &Fixture, more: &[&str]) -> Output {
    let words = ["publish", "--folder", "merged", "--repo", "me/my-model"];
    let mut run = Run::new(env!("CARGO_BIN_EXE_deeper")).folder(fixture.path(""));
    for (name, value) in [
        ("HF_TOKEN", ""),
        ("HF_TOKEN_PATH", "none"),
        ("HF_HUB_OFFLINE", "1"),
    ] {
        run = run.env(name, value);
    }
    run.args(words.into_iter().chain(more.iter().copied()))
        .output()
        .unwrap()
}

#[test]
fn a_dry_run_lists_files_sizes_and_hashes_and_needs_a_licence() {
    let fixture = Fixture::new();
    fine(&merge(&fixture));
    let card = fixture.path("merged/README.md");
    assert_failure(
        &publish(&fixture, &["--dry-run"]),
        2,
        &["README.md", "licence", "--license"],
    );
    let bad = publish(&fixture, &["--dry-run", "--license", "All Rights"]);
    assert_failure(&bad, 2, &["All Rights", "hint:"]);
    assert!(!card.exists());

    let output = publish(
        &fixture,
        &["--dry-run", "--license", "mit", "--base-model", "org/base"],
    );
    assert_narrow(fine(&output));
    let text = std::fs::read_to_string(&card).unwrap();
    assert!(
        text.contains("license: mit\nbase_model: org/base\n"),
        "{text}"
    );
    let output = publish(&fixture, &["--dry-run", "--json"]);
    let value: Value = serde_json::from_str(fine(&output)).unwrap();
    assert_eq!(value["license"], "mit");
    let files = value["files"].as_array().unwrap();
    let weights = files
        .iter()
        .find(|file| file["name"] == "model.safetensors")
        .unwrap();
    let path = fixture.path("merged/model.safetensors");
    let hash = llm_store::hash::sha256_file(&path).unwrap();
    assert_eq!(weights["sha256"], hash);
    assert_eq!(weights["size"], std::fs::metadata(&path).unwrap().len());
    assert!(files.iter().any(|file| file["name"] == "manifest.json"));
    let nowhere = ["publish", "--folder", "merged", "--repo", "me", "--dry-run"];
    assert_failure(
        &fixture.deeper(nowhere),
        2,
        &["--repo `me`", "org/name", "hint:"],
    );
    let other = publish(&fixture, &["--dry-run", "--license", "gpl-3.0"]);
    assert_failure(&other, 2, &["gpl-3.0", "mit", "hint:"]);
}

#[test]
fn nothing_is_sent_without_a_token_and_no_token_is_shown() {
    let fixture = Fixture::new();
    fine(&merge(&fixture));
    std::fs::write(fixture.path("merged/README.md"), "---\nlicense: mit\n---\n").unwrap();
    assert_failure(
        &publish(&fixture, &[]),
        2,
        &["no token", "HF_TOKEN", "hint:"],
    );
    let secret = "hf_abcdefghijklmnopqrstuvwxyz";
    std::fs::write(fixture.path("token"), secret).unwrap();
    // Offline, or in a build that cannot upload
    let output = publish(&fixture, &["--token-file", "token"]);
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.stderr.contains("HF_HUB_OFFLINE"), "{output:?}");
    assert!(!format!("{output:?}").contains(secret));
    // The token's file inside the folder would be published
    std::fs::write(fixture.path("merged/notes.txt"), secret).unwrap();
    let output = publish(&fixture, &["--dry-run"]);
    assert_failure(&output, 2, &["notes.txt", "token", "hint:"]);
    assert!(!format!("{output:?}").contains(secret));
}

#[test]
fn help_is_the_golden_one() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    for verb in ["merge", "export", "export gguf", "export hf", "publish"] {
        let run = Run::new(env!("CARGO_BIN_EXE_deeper"));
        let output = run
            .args(verb.split(' ').chain(["--help"]))
            .output()
            .unwrap();
        let golden = Golden {
            path: folder.join(format!("{}.help.txt", verb.replace(' ', "."))),
            tolerance: 0.0,
        };
        golden.compare(fine(&output)).unwrap();
    }
}
