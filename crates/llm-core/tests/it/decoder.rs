//! Configs, the decoder and adapters: what loads, what does not, and what an adapter changes.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use llm_core::Error;
use llm_core::config::{Family, ModelConfig};
use llm_core::generate::{GenerateConfig, generate};
use llm_core::lora::{self, LoraConfig};
use llm_core::model::{Decoder, tensor_shapes};
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::Mode;

/// One addition and one product of R = 4 terms in f32 on weights of about 0.1.
const MERGE_TOLERANCE: f32 = 1e-5;
/// One addition and one subtraction in f32 on weights of about 0.1.
const UNMERGE_TOLERANCE: f32 = 1e-7;

const LLAMA: &str = r#"{"model_type": "llama", "vocab_size": 32, "hidden_size": 16,
    "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.2}"#;
const GPT2: &str = r#"{"model_type": "gpt2", "vocab_size": 32, "n_embd": 16, "n_layer": 2,
    "n_head": 4, "n_positions": 64, "initializer_range": 0.2}"#;

fn with(base: &str, key: &str, value: &str) -> Result<ModelConfig, Error> {
    let mut map: serde_json::Map<String, serde_json::Value> = serde_json::from_str(base).unwrap();
    map.insert(key.into(), serde_json::from_str(value).unwrap());
    ModelConfig::from_json(&serde_json::to_string(&map).unwrap())
}

fn model(config: &str) -> Decoder {
    let config = ModelConfig::from_json(config).unwrap();
    Decoder::init(&config, 7, Mode::Frozen, DType::F32)
        .unwrap()
        .0
}

fn logits(model: &Decoder) -> Tensor {
    let ids = Tensor::new(&[[1u32, 5, 9, 31, 0, 2]], &Device::Cpu).unwrap();
    model.forward(&ids, &Pass::eval(Ops::Fused)).unwrap()
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    (a - b)
        .unwrap()
        .abs()
        .unwrap()
        .flatten_all()
        .unwrap()
        .max(0)
        .unwrap()
        .to_scalar()
        .unwrap()
}

fn lora_config(targets: &[&str]) -> LoraConfig {
    let target_modules = targets.iter().map(|t| t.to_string()).collect();
    LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: 0.0,
        target_modules,
        use_rslora: false,
        use_dora: false,
    }
}

/// Fills B with numbers, so that the adapter does something.
fn disturb(parameters: &llm_core::params::Parameters) {
    for (name, var) in parameters
        .iter()
        .filter(|(name, _)| name.contains("lora_B"))
    {
        let mut rng = llm_core::rng::stream(name.len() as u64, llm_core::rng::Purpose::Demo);
        var.set(&llm_core::rng::normal(&mut rng, 0.2, var.dims(), DType::F32).unwrap())
            .unwrap();
    }
}

#[test]
fn published_configs_count_their_published_parameters() {
    let count = |config: &ModelConfig| -> usize {
        tensor_shapes(config)
            .unwrap()
            .iter()
            .map(|row| row.count())
            .sum()
    };
    let qwen3 = r#"{"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024,
        "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40960,
        "tie_word_embeddings": true}"#;
    assert_eq!(count(&ModelConfig::from_json(qwen3).unwrap()), 596_049_920);
    let llama = r#"{"model_type": "llama", "vocab_size": 128256, "hidden_size": 4096,
        "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "max_position_embeddings": 131072}"#;
    assert_eq!(
        count(&ModelConfig::from_json(llama).unwrap()),
        8_030_261_248
    );
    let qwen2 = r#"{"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896,
        "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
        "num_key_value_heads": 2, "max_position_embeddings": 32768,
        "tie_word_embeddings": true}"#;
    assert_eq!(count(&ModelConfig::from_json(qwen2).unwrap()), 494_032_768);
}

#[test]
fn a_config_survives_writing_and_reading() {
    let scaling = r#"{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 16}"#;
    let windowed = LLAMA.replace("llama", "qwen3").replace(
        "\"vocab_size\"",
        r#""use_sliding_window": true, "sliding_window": 8, "max_window_layers": 1, "vocab_size""#,
    );
    let configs = [
        ModelConfig::from_json(GPT2).unwrap(),
        with(LLAMA, "rope_scaling", scaling).unwrap(),
        with(&LLAMA.replace("llama", "mistral"), "sliding_window", "5").unwrap(),
        with(&LLAMA.replace("llama", "qwen2"), "eos_token_id", "[3, 4]").unwrap(),
        ModelConfig::from_json(&windowed).unwrap(),
    ];
    assert_eq!(configs[4].layer_windows, [None, Some(8)]);
    for config in configs {
        assert_eq!(ModelConfig::from_json(&config.to_json()).unwrap(), config);
    }
}

#[test]
fn a_bad_config_names_its_key() {
    let cases = [
        ("num_key_value_heads", "3"),
        ("num_key_value_heads", "0"),
        ("hidden_size", "\"wide\""),
        ("hidden_size", "-16"),
        ("vocab_size", "0"),
        ("vocab_size", "99999999999999999999"),
        ("num_hidden_layers", "18446744073709551615"),
        ("head_dim", "5"),
        ("rms_norm_eps", "0"),
        ("hidden_act", "\"relu\""),
        ("eos_token_id", "32"),
        ("rope_scaling", r#"{"rope_type": "yarn", "factor": 4.0}"#),
        ("rope_scaling", r#"{"rope_type": "llama3", "factor": 4.0}"#),
        ("model_type", "\"mamba\""),
    ];
    for (key, value) in cases {
        let error = with(LLAMA, key, value).unwrap_err().to_string();
        let part = key.trim_start_matches("eos_").trim_start_matches("rms_");
        assert!(
            error.contains(part) || error.contains("factor"),
            "{key}={value}: {error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
    assert!(ModelConfig::from_json("[1]").is_err());
    assert!(ModelConfig::from_json("{").is_err());
}

#[test]
fn a_checkpoint_must_hold_exactly_the_models_tensors() {
    for config in [LLAMA, GPT2] {
        let config = ModelConfig::from_json(config).unwrap();
        let whole = model(&config.to_json()).named_tensors().unwrap();
        let load = |tensors: BTreeMap<String, Tensor>| {
            Decoder::load(&config, tensors, Mode::Frozen, DType::F32, &Device::Cpu)
        };
        let (again, _) = load(whole.clone()).unwrap();
        let before = logits(&model(&config.to_json()));
        assert_eq!(largest_difference(&logits(&again), &before), 0.0);
        let name = whole.keys().nth(3).unwrap().clone();

        let mut fewer = whole.clone();
        fewer.remove(&name);
        assert!(load(fewer).unwrap_err().to_string().contains(&name));

        let mut misshapen = whole.clone();
        misshapen.insert(
            name.clone(),
            Tensor::zeros((3, 5), DType::F32, &Device::Cpu).unwrap(),
        );
        let error = load(misshapen).unwrap_err().to_string();
        assert!(error.contains(&name) && error.contains("[3, 5]"), "{error}");

        let mut more = whole;
        more.insert(
            "model.extra.weight".into(),
            Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap(),
        );
        assert!(
            load(more)
                .unwrap_err()
                .to_string()
                .contains("model.extra.weight")
        );
    }
}

#[test]
fn ids_and_lengths_out_of_range_are_errors() {
    let model = model(LLAMA);
    let pass = Pass::eval(Ops::Fused);
    let ids = Tensor::new(&[[1u32, 32]], &Device::Cpu).unwrap();
    assert!(
        model
            .forward(&ids, &pass)
            .unwrap_err()
            .to_string()
            .contains("32")
    );
    let ids = Tensor::zeros((1, 65), DType::U32, &Device::Cpu).unwrap();
    assert!(
        model
            .forward(&ids, &pass)
            .unwrap_err()
            .to_string()
            .contains("context of 64")
    );
    let settings = GenerateConfig::default();
    assert!(generate(&model, &[], &settings).is_err());
    assert!(generate(&model, &[1; 64], &settings).is_err());
    assert!(generate(&model, &[32], &settings).is_err());
}

#[test]
fn generation_fills_the_context_and_stops_at_stop_tokens() {
    let model = model(LLAMA);
    let mut settings = GenerateConfig {
        max_new_tokens: 1000,
        ..GenerateConfig::default()
    };
    let all: Vec<u32> = generate(&model, &[1, 2], &settings)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(all.len(), 62);
    settings.stop_tokens = vec![all[5]];
    let first = all.iter().position(|token| *token == all[5]).unwrap();
    let cut: Vec<u32> = generate(&model, &[1, 2], &settings)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(cut, all[..first]);
}

#[test]
fn a_fresh_adapter_changes_nothing_and_a_trained_one_merges() {
    for (config, targets) in [
        (LLAMA, ["q_proj", "down_proj"]),
        (GPT2, ["c_attn", "mlp.c_proj"]),
    ] {
        let mut model = model(config);
        let base = logits(&model);
        let parameters = lora::attach(&mut model, &lora_config(&targets), 3).unwrap();
        assert_eq!(parameters.len(), 2 * 2 * targets.len());
        assert_eq!(
            largest_difference(&logits(&model), &base),
            0.0,
            "B = 0 must change nothing"
        );

        disturb(&parameters);
        let adapted = logits(&model);
        assert!(largest_difference(&adapted, &base) > 0.1);
        let weights = model.named_tensors().unwrap();
        let merged = lora::merge(&mut model).unwrap();
        let difference = largest_difference(&logits(&model), &adapted);
        assert!(
            difference <= MERGE_TOLERANCE,
            "merged logits differ by {difference}"
        );

        lora::unmerge(&mut model, merged).unwrap();
        for (name, tensor) in model.named_tensors().unwrap() {
            let difference = largest_difference(&tensor, &weights[&name]);
            assert!(
                difference <= UNMERGE_TOLERANCE,
                "{name} differs by {difference}"
            );
        }
        assert!(largest_difference(&logits(&model), &adapted) <= MERGE_TOLERANCE);
        lora::detach(&mut model);
        assert!(largest_difference(&logits(&model), &base) <= MERGE_TOLERANCE);
    }
}

#[test]
fn adapter_sizes_are_the_published_ones() {
    // Per layer of Qwen3-0.6B at R = 16: q 16 (1024 + 2048), k and v 16 (1024 + 1024) each.
    let config = r#"{"model_type": "qwen3", "vocab_size": 8, "hidden_size": 1024,
        "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 8,
        "tie_word_embeddings": true}"#;
    let settings = LoraConfig {
        r: 16,
        ..lora_config(&["q_proj", "k_proj", "v_proj"])
    };
    let parameters = lora::attach(&mut model(config), &settings, 0).unwrap();
    assert_eq!(parameters.count() * 28 / 2, 3_211_264);
}

#[test]
fn a_bad_adapter_setting_is_named() {
    let attach = |config: &LoraConfig| lora::attach(&mut model(LLAMA), config, 0);
    let error = attach(&lora_config(&["q_proj", "w_proj"]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("w_proj") && error.contains("down_proj"),
        "{error}"
    );
    assert!(
        attach(&LoraConfig {
            r: 0,
            ..lora_config(&["q_proj"])
        })
        .is_err()
    );
    assert!(
        attach(&LoraConfig {
            lora_dropout: 1.0,
            ..lora_config(&["q_proj"])
        })
        .is_err()
    );
    assert!(attach(&lora_config(&[])).is_err());
    let mut twice = model(LLAMA);
    lora::attach(&mut twice, &lora_config(&["q_proj"]), 0).unwrap();
    assert!(lora::attach(&mut twice, &lora_config(&["q_proj"]), 0).is_err());
}

#[test]
fn every_family_is_known_by_its_name() {
    for (family, name, architecture) in Family::ALL {
        assert_eq!(
            (family.model_type(), family.architecture()),
            (name, architecture)
        );
    }
}
