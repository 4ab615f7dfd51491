//! Folders that cannot be used say what is wrong with them.

use std::fs;
use std::path::Path;

use llm_bertscore::{BertScore, Options};

use crate::scores::fixtures;

/// A copy of the BERT folder, changed.
fn changed(change: impl FnOnce(&Path)) -> String {
    let root = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(fixtures().join("bert").join(name), root.path().join(name)).unwrap();
    }
    change(root.path());
    match BertScore::open(root.path(), &Options::default()) {
        Ok(_) => "opened".into(),
        Err(error) => error.to_string(),
    }
}

fn replace(name: &str, old: &str, new: &str) -> String {
    changed(|folder| {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        assert!(text.contains(old), "{name} has no {old}");
        fs::write(folder.join(name), text.replacen(old, new, 1)).unwrap();
    })
}

#[test]
fn an_untouched_copy_opens() {
    assert_eq!(changed(|_| ()), "opened");
}

#[test]
fn what_is_missing_is_named() {
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let problem = changed(|folder| fs::remove_file(folder.join(name)).unwrap());
        assert!(problem.contains(name) && problem.contains("not found"), "{problem}");
    }
    // Without its settings a tokenizer has the usual names of begin and end.
    let problem = changed(|folder| fs::remove_file(folder.join("tokenizer_config.json")).unwrap());
    assert_eq!(problem, "opened");
}

#[test]
fn contradictions_are_named() {
    let cases = [
        ("config.json", "\"hidden_size\": 32", "\"hidden_size\": 16", "expected [400, 16]"),
        ("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "layer.2."),
        ("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 999999999", "layer.2."),
        ("config.json", "\"bert\"", "\"gpt2\"", "model_type"),
        ("config.json", "\"vocab_size\": 400", "\"vocab_size\": 300", "vocab_size"),
        ("tokenizer_config.json", "[CLS]", "[BEGIN]", "cls_token"),
        ("tokenizer_config.json", "\"model_max_length\": 128", "\"model_max_length\": 2", "3 or more"),
        ("tokenizer_config.json", "{", "[", "is not JSON"),
    ];
    for (name, old, new, word) in cases {
        let problem = replace(name, old, new);
        assert!(problem.contains(word), "{new}: {problem}");
        assert!(!problem.contains('\n'), "{problem}");
    }
}

#[test]
fn weights_in_a_pickle_are_refused() {
    let problem = changed(|folder| {
        fs::rename(folder.join("model.safetensors"), folder.join("pytorch_model.bin")).unwrap();
    });
    assert!(problem.contains("pickle"), "{problem}");
}

#[test]
fn damaged_weights_are_refused() {
    let problem = changed(|folder| {
        let path = folder.join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        // The last number becomes NaN.
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(path, bytes).unwrap();
    });
    assert!(problem.contains("expected finite numbers"), "{problem}");
}

#[test]
fn more_layers_than_there_are_is_an_error() {
    let options = Options {
        layers: Some(3),
        ..Options::default()
    };
    let error = BertScore::open(&fixtures().join("bert"), &options).err();
    let error = error.map(|error| (error.to_string(), error.exit_code()));
    let (problem, code) = error.unwrap();
    assert!(problem.ends_with("has 2 layers, but 3 are asked for"), "{problem}");
    assert_eq!(code, 2);
}
