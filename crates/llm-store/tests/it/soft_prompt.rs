//! Soft prompts in PEFT's layout: what PEFT wrote, what we write, what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use llm_core::config::ModelConfig;
use llm_core::soft_prompt::NAME;
use llm_store::adapter::{SoftPrompt, Tuned, read};

use crate::support::{assert_error, named, tensor, write_tensors};

fn model() -> ModelConfig {
    ModelConfig::from_json(
        r#"{"model_type": "llama", "vocab_size": 16, "hidden_size": 8, "intermediate_size": 16,
            "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 16}"#,
    )
    .unwrap()
}

fn prompt() -> SoftPrompt {
    SoftPrompt {
        base_model_name_or_path: Some("org/base".into()),
        embeddings: tensor(NAME, &[3, 8]),
    }
}

fn values(tensor: &Tensor) -> Vec<Vec<f32>> {
    tensor.to_vec2().unwrap()
}

/// Our prompt's folder with a changed configuration.
fn edited(dir: &Path, from: &str, to: &str) -> PathBuf {
    let folder = dir.join("prompt");
    prompt().write(&folder, &model(), true).unwrap();
    let path = folder.join("adapter_config.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).unwrap();
    folder
}

#[test]
fn a_prompt_written_by_peft_loads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peft_prompt");
    let found = SoftPrompt::read(&folder).unwrap();
    assert_eq!(found.embeddings.dims(), [3, 28]);
    assert!(matches!(Tuned::read(&folder).unwrap(), Tuned::Prompt(_)));
    assert_error(
        read(&folder),
        "adapter_config.json",
        "`peft_type` is \"PROMPT_TUNING\"",
    );
    let lora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peft_list");
    assert!(matches!(Tuned::read(&lora).unwrap(), Tuned::Adapter(_)));
    assert_error(
        SoftPrompt::read(&lora),
        "adapter_config.json",
        "`peft_type` is \"LORA\"",
    );
}

#[test]
fn a_written_prompt_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("prompt");
    prompt().write(&folder, &model(), false).unwrap();
    let found = SoftPrompt::read(&folder).unwrap();
    assert_eq!(values(&found.embeddings), values(&prompt().embeddings));
    assert_eq!(Tuned::read(&folder).unwrap().base(), Some("org/base"));
    assert_error(
        prompt().write(&folder, &model(), false),
        "prompt",
        "exists already",
    );
    prompt().write(&folder, &model(), true).unwrap();
    let text = fs::read_to_string(folder.join("adapter_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["peft_type"], "PROMPT_TUNING");
    assert_eq!(
        (&config["num_virtual_tokens"], &config["token_dim"]),
        (&3.into(), &8.into())
    );
}

#[test]
fn other_sizes_kinds_and_tensors_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for (from, to, part) in [
        (
            "\"PROMPT_TUNING\"",
            "\"PREFIX_TUNING\"",
            "`peft_type` is \"PREFIX_TUNING\"",
        ),
        (
            "\"num_virtual_tokens\": 3",
            "\"num_virtual_tokens\": 0",
            "`num_virtual_tokens` is 0",
        ),
        (
            "\"num_virtual_tokens\": 3",
            "\"num_virtual_tokens\": 1e99",
            "`num_virtual_tokens`",
        ),
        ("\"token_dim\": 8", "\"token_dim\": \"8\"", "`token_dim`"),
        (
            "\"num_transformer_submodules\": 1",
            "\"num_transformer_submodules\": 2",
            "`num_transformer_submodules` is 2",
        ),
        ("\"org/base\"", "7", "`base_model_name_or_path` is 7"),
    ] {
        let folder = edited(dir.path(), from, to);
        assert_error(SoftPrompt::read(&folder), "adapter_config.json", part);
    }
    let more = edited(
        dir.path(),
        "\"num_virtual_tokens\": 3",
        "\"num_virtual_tokens\": 4",
    );
    assert_error(SoftPrompt::read(&more), "adapter_model", "expected [4, 8]");
}

#[test]
fn other_tensors_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for (tensors, part) in [
        (
            named(&[("other", &[3, 8])]),
            "expected `prompt_embeddings` alone",
        ),
        (
            named(&[(NAME, &[3, 8]), ("other", &[1])]),
            "holds 2 tensors",
        ),
        (named(&[(NAME, &[24])]), "has shape [24]"),
    ] {
        prompt()
            .write(&dir.path().join("prompt"), &model(), true)
            .unwrap();
        let path = dir.path().join("prompt/adapter_model.safetensors");
        write_tensors(&path, &tensors);
        assert_error(
            SoftPrompt::read(&dir.path().join("prompt")),
            "adapter_model",
            part,
        );
    }
    let wide = SoftPrompt {
        embeddings: Tensor::zeros((3, 9), DType::F32, &Device::Cpu).unwrap(),
        ..prompt()
    };
    let none = dir.path().join("none");
    assert_error(wide.write(&none, &model(), false), "none", "has rows of 9");
    assert!(!none.exists());
}
