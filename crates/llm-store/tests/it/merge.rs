//! Adapters added into their models.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use llm_core::config::ModelConfig;
use llm_core::lora::{LoraConfig, adapter_tensors, attach};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::Mode;
use llm_store::adapter::AdapterConfig;
use llm_store::{ModelFolder, SaveOptions, merge, save_model};
use serde_json::json;

use crate::support::assert_error;

/// The largest difference of a logit between adapter and merged weights in f32: one rounding a
/// weight and other orders of summation.
const TOLERANCE: f32 = 1e-5;

const QWEN: &str = r#"{"model_type": "qwen3", "vocab_size": 60, "hidden_size": 32,
    "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 32,
    "tie_word_embeddings": true, "initializer_range": 0.1}"#;

const GPT2: &str = r#"{"model_type": "gpt2", "vocab_size": 60, "n_embd": 32, "n_layer": 2,
    "n_head": 4, "n_positions": 32, "activation_function": "gelu_new", "initializer_range": 0.1}"#;

/// A model folder in `dtype`, an adapter folder, and the model with the adapter on it.
fn pair(dir: &Path, config: &str, targets: &[&str], rslora: bool, dtype: DType) -> Decoder {
    let options = (rslora, false);
    pair_with(dir, config, targets, options, dtype)
}

/// As [`pair`], with `use_rslora` and `use_dora`.
fn pair_with(
    dir: &Path,
    config: &str,
    targets: &[&str],
    (use_rslora, use_dora): (bool, bool),
    dtype: DType,
) -> Decoder {
    let config = ModelConfig::from_json(config).unwrap();
    let (model, _) = Decoder::init(&config, 11, Mode::Frozen, DType::F32).unwrap();
    let tensors = model.named_tensors().unwrap();
    let stored = |(name, tensor): (String, Tensor)| (name, tensor.to_dtype(dtype).unwrap());
    let tensors = tensors.into_iter().map(stored).collect();
    let folder = dir.join("model");
    save_model(
        &folder,
        &config.to_json(),
        &tensors,
        &SaveOptions::default(),
    )
    .unwrap();
    std::fs::write(folder.join("tokenizer.json"), "{}").unwrap();
    std::fs::write(
        folder.join("tokenizer_config.json"),
        r#"{"chat_template": "t"}"#,
    )
    .unwrap();
    std::fs::write(folder.join("generation_config.json"), r#"{"top_k": 3}"#).unwrap();

    let lora = LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: 0.0,
        target_modules: targets.iter().map(|name| name.to_string()).collect(),
        use_rslora,
        use_dora,
    };
    let (mut model, _) = Decoder::load(
        &config,
        tensors_of(&folder),
        Mode::Frozen,
        DType::F32,
        &Device::Cpu,
    )
    .unwrap();
    let parameters = attach(&mut model, &lora, 1).unwrap();
    for (number, (_, var)) in parameters.iter().enumerate() {
        let count = var.elem_count();
        let wave = (0..count).map(|i| ((i * 7 + number) as f32).sin() * 0.2);
        let values =
            Tensor::from_vec(wave.collect::<Vec<_>>(), var.shape().clone(), &Device::Cpu).unwrap();
        var.set(&values).unwrap();
    }
    let adapter = AdapterConfig::of(&lora, "model", config.family);
    let tensors = adapter_tensors(&parameters, DType::F32).unwrap();
    llm_store::adapter::write(&dir.join("adapter"), &adapter, &tensors, false).unwrap();
    model
}

fn tensors_of(folder: &Path) -> std::collections::BTreeMap<String, Tensor> {
    ModelFolder::open(folder).unwrap().tensors().unwrap()
}

fn logits(model: &Decoder) -> Vec<f32> {
    let ids = Tensor::new(&[[1u32, 5, 9, 2, 40, 33, 7, 7]], &Device::Cpu).unwrap();
    let logits = model.forward(&ids, &Pass::eval(Ops::Fused)).unwrap();
    logits.flatten_all().unwrap().to_vec1().unwrap()
}

fn loaded(folder: &Path) -> Decoder {
    let open = ModelFolder::open(folder).unwrap();
    let tensors = open.tensors().unwrap();
    Decoder::load(
        &open.config,
        tensors,
        Mode::Frozen,
        DType::F32,
        &Device::Cpu,
    )
    .unwrap()
    .0
}

fn run(dir: &Path) -> llm_store::Result<(llm_store::merge::Merged, PathBuf)> {
    let base = ModelFolder::open(&dir.join("model"))?;
    let out = dir.join("merged");
    Ok((
        merge(&base, &dir.join("adapter"), &out, &mut |_, _| {})?,
        out,
    ))
}

#[test]
fn a_merged_model_gives_the_logits_of_the_adapter() {
    let qwen = ["q_proj", "v_proj", "down_proj"];
    let gpt2 = ["c_attn", "c_proj"];
    for (config, targets, options, changed) in [
        (QWEN, &qwen[..], (false, false), 6),
        (QWEN, &qwen[..], (true, false), 6),
        (GPT2, &gpt2[..], (false, false), 6),
        (QWEN, &qwen[..], (false, true), 6),
        (GPT2, &gpt2[..], (true, true), 6),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let adapted = pair_with(dir.path(), config, targets, options, DType::F32);
        let (merged, out) = run(dir.path()).unwrap();
        assert_eq!(merged.changed, changed);
        assert_eq!(merged.scale, if options.0 { 4.0 } else { 2.0 });
        assert!(merged.largest.is_some_and(|(_, most)| most > 1e-3));
        let (runtime, merged) = (logits(&adapted), logits(&loaded(&out)));
        let base = logits(&loaded(&dir.path().join("model")));
        let apart = |a: &[f32], b: &[f32]| {
            let pairs = a.iter().zip(b).map(|(x, y)| (x - y).abs());
            pairs.fold(0.0f32, f32::max)
        };
        let (off, moved) = (apart(&runtime, &merged), apart(&runtime, &base));
        assert!(
            off <= TOLERANCE,
            "logits are {off:e} apart, at most {TOLERANCE:e}"
        );
        assert!(
            moved > 100.0 * TOLERANCE,
            "the adapter moves the logits by {moved:e} only"
        );
    }
}

#[test]
fn types_stay_and_what_stands_beside_comes_along() {
    let dir = tempfile::tempdir().unwrap();
    pair(dir.path(), QWEN, &["q_proj"], false, DType::BF16);
    let (_, out) = run(dir.path()).unwrap();
    let (before, after) = (tensors_of(&dir.path().join("model")), tensors_of(&out));
    assert_eq!(before.len(), after.len());
    for (name, tensor) in &after {
        assert_eq!(tensor.dtype(), DType::BF16, "{name}");
        let same = crate::support::bits(tensor) == crate::support::bits(&before[name]);
        assert_eq!(same, !name.ends_with("q_proj.weight"), "{name}");
    }
    for name in [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
    ] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert_eq!(read(&out), read(&dir.path().join("model")), "{name}");
    }
    let manifest = llm_store::manifest::verify(&out).unwrap();
    assert_eq!(manifest.extra["merged"], 2);
    let hash = llm_store::hash::sha256_file(&dir.path().join("model/model.safetensors")).unwrap();
    assert_eq!(manifest.extra["base"]["model.safetensors"], hash);
}

#[test]
fn nothing_is_replaced_and_nothing_half_merged() {
    let dir = tempfile::tempdir().unwrap();
    pair(dir.path(), QWEN, &["q_proj"], false, DType::F32);
    let out = dir.path().join("merged");
    std::fs::create_dir(&out).unwrap();
    assert_error(run(dir.path()), "merged", "exists already");
    std::fs::remove_dir(&out).unwrap();

    let adapter = dir.path().join("adapter");
    let whole = llm_store::adapter::read(&adapter).unwrap();
    let change = |from: &str, to: &str| {
        let mut tensors = whole.tensors.clone();
        for end in ["lora_A.weight", "lora_B.weight"] {
            let name = |module: &str| format!("base_model.model.{module}.{end}");
            let tensor = tensors.remove(&name(from)).unwrap();
            tensors.insert(name(to), tensor);
        }
        let mut config = whole.config.clone();
        config.lora.target_modules.push(to.into());
        llm_store::adapter::write(&adapter, &config, &tensors, true).unwrap();
    };
    let first = "model.layers.0.self_attn.q_proj";
    for (to, part) in [
        ("model.layers.7.self_attn.q_proj", "has no weight in"),
        ("lm_head", "the head is the embedding"),
        (
            "model.layers.0.self_attn.k_proj",
            "the model's weight is [16, 32]",
        ),
        ("model.norm", "the model's weight is [32]"),
    ] {
        change(first, to);
        let error = assert_error(run(dir.path()), to, part);
        assert_eq!(error.exit_code(), 2);
        assert!(!out.exists());
    }
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(names.len(), 2, "only the model and the adapter: {names:?}");
}

#[test]
fn a_sum_that_leaves_its_type_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    pair(dir.path(), QWEN, &["q_proj"], false, DType::F16);
    let adapter = dir.path().join("adapter");
    let whole = llm_store::adapter::read(&adapter).unwrap();
    let large = |(name, tensor): (&String, &Tensor)| (name.clone(), (tensor * 1e4).unwrap());
    let tensors = whole.tensors.iter().map(large).collect();
    llm_store::adapter::write(&adapter, &whole.config, &tensors, true).unwrap();
    assert_error(run(dir.path()), "q_proj.weight", "not finite");
    assert!(!dir.path().join("merged").exists());
    let settings =
        json!({"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"], "lora_bias": true});
    std::fs::write(adapter.join("adapter_config.json"), settings.to_string()).unwrap();
    assert_error(run(dir.path()), "adapter_config.json", "lora_bias");
}

#[test]
fn a_folder_in_shards_is_merged_shard_by_shard() {
    let dir = tempfile::tempdir().unwrap();
    let adapted = pair(dir.path(), QWEN, &["q_proj", "o_proj"], false, DType::F32);
    let model = dir.path().join("model");
    let config = std::fs::read_to_string(model.join("config.json")).unwrap();
    let options = SaveOptions {
        max_shard_bytes: 10_000,
        overwrite: true,
        ..SaveOptions::default()
    };
    save_model(&model, &config, &tensors_of(&model), &options).unwrap();
    assert!(model.join("model.safetensors.index.json").exists());
    let (_, out) = run(dir.path()).unwrap();
    let pairs = logits(&adapted).into_iter().zip(logits(&loaded(&out)));
    let off = pairs.map(|(x, y)| (x - y).abs()).fold(0.0f32, f32::max);
    assert!(
        off <= TOLERANCE,
        "logits are {off:e} apart, at most {TOLERANCE:e}"
    );
}
