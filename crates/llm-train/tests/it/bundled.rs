//! The bundled data are what data/README.md says: hashes, no leak, the split rule.

use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data")
}

struct Row {
    prompt: String,
    completion: String,
    relation: String,
    kind: String,
}

fn rows(file: &str) -> Vec<Row> {
    let text = std::fs::read_to_string(folder().join(file)).unwrap();
    let field = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap().to_owned();
    text.lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            Row {
                prompt: field(&value, "prompt"),
                completion: field(&value, "completion"),
                relation: field(&value, "relation"),
                kind: field(&value, "kind"),
            }
        })
        .collect()
}

/// The prompt as the leak check compares it. All prompts are ASCII (asserted), where NFKC is the identity.
fn key(prompt: &str) -> String {
    assert!(prompt.is_ascii(), "not ASCII: {prompt}");
    prompt
        .to_lowercase()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn hashes_stand_in_the_readme() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    for file in [
        "base/train.txt",
        "base/heldout.txt",
        "medical/train.jsonl",
        "medical/heldout.jsonl",
    ] {
        let digest = Sha256::digest(std::fs::read(folder().join(file)).unwrap());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{file}`")))
            .unwrap();
        assert!(
            row.contains(&digest),
            "{file} has sha256 {digest}, the table says {row}"
        );
    }
}

#[test]
fn no_prompt_stands_twice_or_in_both_files() {
    let mut seen = BTreeMap::new();
    for file in ["medical/train.jsonl", "medical/heldout.jsonl"] {
        for row in rows(file) {
            let before = seen.insert(key(&row.prompt), file);
            assert_eq!(before, None, "{:?} stands in {file} and before", row.prompt);
        }
    }
}

#[test]
fn held_out_questions_ask_for_trained_facts() {
    let (train, held) = (rows("medical/train.jsonl"), rows("medical/heldout.jsonl"));
    let trained: BTreeSet<_> = train
        .iter()
        .map(|row| (&row.relation, &row.completion))
        .collect();
    for row in &held {
        assert!(
            trained.contains(&(&row.relation, &row.completion)),
            "never trained: {}",
            row.prompt
        );
    }
    let count = |kind: &str| held.iter().filter(|row| row.kind == kind).count();
    assert_eq!(count("combination") + count("wording"), held.len());
    assert!(
        count("combination") >= 100 && count("wording") >= 100,
        "too few for an interval"
    );
}

#[test]
fn the_base_text_asks_no_medical_question() {
    // Answer words such as "the liver" do stand in the base text, with made-up subjects.
    let text = std::fs::read_to_string(folder().join("base/train.txt"))
        .unwrap()
        .to_lowercase();
    let prompts: BTreeSet<String> = rows("medical/train.jsonl")
        .iter()
        .chain(&rows("medical/heldout.jsonl"))
        .map(|row| row.prompt.to_lowercase())
        .collect();
    let asked: Vec<_> = text
        .lines()
        .filter(|line| prompts.contains(line.trim_end_matches("<|im_end|>")))
        .collect();
    assert!(asked.is_empty(), "{asked:?}");
    for word in [
        "vitamin",
        "cardiologist",
        "insulin",
        "femur",
        "hypertension",
        "hepatitis",
        "thermometer",
        "derma",
    ] {
        assert!(!text.contains(word), "{word:?} stands in base/train.txt");
    }
}
