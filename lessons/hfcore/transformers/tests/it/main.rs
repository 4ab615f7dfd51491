//! The lesson keeps its promises on models of several families.
//!
//! `cfg(test)` tells clippy that everything here is a test.
#![cfg(test)]

use std::path::{Path, PathBuf};

use lessons_hfcore::bundled::write_random;
use llm_core::config::ModelConfig;
use llm_show::golden::{Golden, Output, Run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_01_transformers");
/// Sizes that suit the bundled tokenizer, whose ids go up to 4,095.
const SIZES: &str = r#""vocab_size": 4096, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 128, "initializer_range": 0.3"#;

fn base() -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../output_models/deeper-base");
    PathBuf::from(root).canonicalize().unwrap().display().to_string()
}

fn run(args: &[&str]) -> Output {
    Run::new(PROGRAM).args(args.iter().copied()).output().unwrap()
}

/// The bundled model of two million parameters.
fn on_base(args: &[&str]) -> Output {
    let base = base();
    run(&[&["--quick", "--model", base.as_str()][..], args].concat())
}

#[test]
fn help_is_as_a_person_last_saw_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/01_transformers.help.txt");
    Golden { path, tolerance: 0.0 }.compare(&run(&["--help"]).stdout).unwrap();
}

#[test]
fn the_bundled_model_passes_every_check() {
    let first = on_base(&["--check", "144"]);
    assert_eq!(first.code, Some(0), "{}\n{}", first.stderr, first.stdout);
    assert!(!first.stdout.contains("FAIL"), "{}", first.stdout);
    for part in ["1,968,320", "model.embed_tokens.weight", "largest difference of a logit", "PASS"]
    {
        assert!(first.stdout.contains(part), "{part}: {}", first.stdout);
    }
    assert!(first.stderr.contains("peak memory"), "{}", first.stderr);
    assert_eq!(on_base(&["--check", "144"]).stdout, first.stdout, "the same twice");
    let plain = on_base(&["--plain"]);
    assert!(plain.stdout.is_ascii(), "{}", plain.stdout);
    let wide = |line: &&str| llm_show::look::width(line) > 80;
    assert_eq!(first.stdout.lines().find(wide), None);
}

#[test]
fn other_prompts_are_taken_and_bad_ones_named() {
    let other = on_base(&["--prompt", "Once upon a time there was", "--top", "10"]);
    assert_eq!(other.code, Some(0), "{}", other.stderr);
    let special = on_base(&["--prompt", "<|im_end|> 123", "--max-new-tokens", "3"]);
    assert_eq!(special.code, Some(0), "{}", special.stderr);
    for args in [&["--prompt", ""][..], &["--prompt", &"word ".repeat(2_000)], &["--top", "0"]] {
        let output = on_base(args);
        assert_eq!(output.code, Some(2), "{}", output.stderr);
    }
    let missing = run(&["--model", "no/such"]);
    assert_eq!(missing.code, Some(2), "{}", missing.stderr);
    assert!(missing.stderr.contains("hint:"), "{}", missing.stderr);
}

#[test]
fn random_models_agree_and_other_families_say_why_not() {
    let root = tempfile::tempdir().unwrap();
    for (family, own, part) in [
        (
            "qwen3",
            r#""head_dim": 16, "tie_word_embeddings": false"#,
            "largest difference of a logit",
        ),
        (
            "qwen3",
            r#""head_dim": 8, "rope_theta": 1000000.0, "tie_word_embeddings": true"#,
            "largest",
        ),
        ("llama", r#""tie_word_embeddings": true"#, "another family"),
    ] {
        let config = format!(r#"{{"model_type": "{family}", {SIZES}, {own}}}"#);
        let config = ModelConfig::from_json(&config).unwrap();
        let folder = root.path().join(format!("{family}-{}", config.head_dim));
        write_random(&config, 5, &folder).unwrap();
        let output = run(&["--quick", "--model", &folder.display().to_string()]);
        assert_eq!(output.code, Some(0), "{family}: {}\n{}", output.stderr, output.stdout);
        assert!(output.stdout.contains(part), "{family}: {}", output.stdout);
    }
}
