//! The tiktoken lesson keeps its promises, and its vocabularies are those of Python's tiktoken.
//!
//! `cfg(test)` tells clippy that everything here is a test.
#![cfg(test)]

use std::path::Path;

use lessons_tiktoken::Vocabulary;
use llm_core::rng::{Purpose, stream};
use llm_show::golden::{Promises, Run};
use rand::Rng;
use serde_json::Value;

/// Four printed decimals, of which rounding may change the last.
const PRINTED: f64 = 2e-4;
const PROGRAM: &str = env!("CARGO_BIN_EXE_tiktoken_demo");

fn here(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn rows() -> Vec<Value> {
    let text = std::fs::read_to_string(here("fixtures/ids.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn ids(row: &Value, key: &str) -> Vec<u32> {
    serde_json::from_value(row[key].clone()).unwrap()
}

#[test]
fn tiktoken_demo_keeps_its_promises() {
    let promises = Promises {
        program: PROGRAM,
        name: "tiktoken_demo",
        folder: &here("golden"),
        args: &[],
        tolerance: PRINTED,
        answer: Some("3"),
    };
    promises.check().unwrap();
}

#[test]
fn the_reference_sentence_has_its_ids() {
    let ids = Vocabulary::cl100k().ids("Large language models predict the next token.").unwrap();
    assert_eq!(ids, [35353, 4221, 4211, 7168, 279, 1828, 4037, 13]);
}

/// Written by tools/oracle/bpe_lesson.py with tiktoken 0.14.0; r50k_base was also compared with
/// GPT-2's files under Hugging Face tokenizers there.
#[test]
fn ids_are_those_of_python_tiktoken() {
    let all = [
        ("r50k_base", Vocabulary::r50k()),
        ("cl100k_base", Vocabulary::cl100k()),
        ("o200k_base", Vocabulary::o200k()),
    ];
    let rows = rows();
    assert!(rows.len() > 150);
    for row in &rows {
        let text = row["text"].as_str().unwrap();
        for (key, vocabulary) in &all {
            assert_eq!(vocabulary.ids(text).unwrap(), ids(row, key), "{key}: {text:?}");
            let special = format!("{key}_special");
            let found = vocabulary.ids_with_special(text).unwrap();
            assert_eq!(found, ids(row, &special), "{special}: {text:?}");
            assert_eq!(vocabulary.pieces(text).unwrap().concat(), text.as_bytes());
        }
    }
}

#[test]
fn our_encoder_runs_their_lists() {
    let r50k = Vocabulary::r50k().in_our_encoder(50_256, "gpt2").unwrap();
    let cl100k = Vocabulary::cl100k().in_our_encoder(100_256, "cl100k").unwrap();
    for row in &rows() {
        let text = row["text"].as_str().unwrap();
        assert_eq!(r50k.encode(text).unwrap(), ids(row, "r50k_base"), "r50k: {text:?}");
        assert_eq!(cl100k.encode(text).unwrap(), ids(row, "cl100k_base"), "cl100k: {text:?}");
    }
    let mut rng = stream(3, Purpose::Data);
    let letters: Vec<char> = "the cat's 1234 \n\t ab, été 東京 \u{a0}🙂\r\nX_".chars().collect();
    let theirs = Vocabulary::cl100k();
    for _ in 0..2_000 {
        let length = rng.random_range(0..30);
        let pick = |_| match rng.random_range(0..20) {
            0 => rng.random::<char>(),
            _ => letters[rng.random_range(0..letters.len())],
        };
        let text: String = (0..length).map(pick).collect();
        assert_eq!(cl100k.encode(&text).unwrap(), theirs.ids(&text).unwrap(), "{text:?}");
    }
    let error = Vocabulary::r50k().in_our_encoder(60_000, "gpt2").err().unwrap();
    assert!(format!("{error:#}").contains("60000 tokens"), "{error:#}");
}

#[test]
fn a_users_special_token_stays_text() {
    let all = [
        Vocabulary::ours().unwrap(),
        Vocabulary::r50k(),
        Vocabulary::cl100k(),
        Vocabulary::o200k(),
    ];
    let ends = [2_045, 50_256, 100_257, 199_999];
    for (vocabulary, end) in all.iter().zip(ends) {
        let text = "a<|endoftext|>b";
        assert!(!vocabulary.ids(text).unwrap().contains(&end), "{}", vocabulary.name);
        assert!(vocabulary.ids_with_special(text).unwrap().contains(&end), "{}", vocabulary.name);
        assert!(vocabulary.bytes(u32::MAX).is_err());
    }
}

#[test]
fn any_text_is_taken_and_an_empty_one_explained() {
    for text in ["-1", "<|endoftext|>", "\u{1b}[31mred", "e\u{301}\u{200d}", "नमस्ते", " "]
    {
        let output = Run::new(PROGRAM).args(["--text", text]).output().unwrap();
        assert_eq!(output.code, Some(0), "{text:?}: {}", output.stderr);
        assert!(!output.stdout.contains('\u{1b}'), "{text:?} reached the terminal");
    }
    let long = "x".repeat(2_001);
    for text in ["", &long] {
        let output = Run::new(PROGRAM).args(["--text", text]).output().unwrap();
        assert_eq!(output.code, Some(2));
        assert!(output.stderr.contains("expected 1 to 2,000"), "{}", output.stderr);
        assert!(output.stderr.contains("hint:"), "{}", output.stderr);
    }
}
