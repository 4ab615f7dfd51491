//! Gradient checkpointing by block: the same bits, less memory.

use std::process::Command;

use candle_core::{DType, Device, Tensor};
use llm_core::config::ModelConfig;
use llm_core::lora::{self, LoraConfig};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::{Ops, record};
use llm_core::params::{Mode, Parameters};

const SEED: u64 = 5;

fn ids(b: usize, t: usize, v: usize) -> (Tensor, Vec<i64>) {
    let ids: Vec<u32> = (0..b * t).map(|i| ((i * i * 3 + i) % v) as u32).collect();
    let targets = (0..b * t).map(|i| (i % v) as i64).collect();
    (
        Tensor::from_vec(ids, (b, t), &Device::Cpu).unwrap(),
        targets,
    )
}

/// Loss and gradients as bits, with two micro-batches' worth of masks from one pass.
fn run(model: &Decoder, parameters: &Parameters, again: bool) -> (u32, Vec<Vec<u32>>) {
    let (ids, targets) = ids(2, 7, 17);
    let pass = Pass::train(Ops::Fused, 3).recomputing(again);
    let (loss, tape) = record(|| {
        let first = model.next_token_loss(&ids, &targets, 0.1, &pass)?;
        Ops::Fused.add(&first, &model.next_token_loss(&ids, &targets, 0.2, &pass)?)
    });
    let loss = loss.unwrap();
    assert!(tape.is_complete(&loss));
    let store = tape.backward(&loss).unwrap();
    let bits = |tensor: &Tensor| -> Vec<u32> {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.into_iter().map(f32::to_bits).collect()
    };
    let gradients = parameters
        .iter()
        .map(|(name, var)| bits(store.get(var).expect(name)));
    (bits(&loss)[0], gradients.collect())
}

#[test]
fn gradients_have_the_same_bits_with_dropout_in_full_and_lora_training() {
    let gpt2 = r#"{"model_type": "gpt2", "vocab_size": 17, "n_embd": 12, "n_layer": 3, "n_head": 3,
        "n_positions": 40, "resid_pdrop": 0.2, "embd_pdrop": 0.1}"#;
    let qwen3 = r#"{"model_type": "qwen3", "vocab_size": 17, "hidden_size": 10,
        "intermediate_size": 14, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 6, "max_position_embeddings": 40,
        "tie_word_embeddings": true}"#;
    for (json, adapts) in [(gpt2, false), (qwen3, false), (qwen3, true)] {
        let config = ModelConfig::from_json(json).unwrap();
        let mode = if adapts {
            Mode::Frozen
        } else {
            Mode::Trainable
        };
        let (mut model, mut parameters) = Decoder::init(&config, SEED, mode, DType::F32).unwrap();
        if adapts {
            let settings = LoraConfig {
                r: 3,
                lora_alpha: 6.0,
                lora_dropout: 0.2,
                target_modules: vec!["q_proj".into(), "down_proj".into()],
                use_rslora: false,
                use_dora: false,
            };
            parameters = lora::attach(&mut model, &settings, SEED).unwrap();
        }
        let (kept, again) = (
            run(&model, &parameters, false),
            run(&model, &parameters, true),
        );
        assert_eq!(kept, again, "{json}");
    }
}

/// The peak of this process in KiB after a step of a model of many layers; printed for the test
/// below, which asks for it with an environment variable.
#[test]
fn peak_of_this_process() {
    let Ok(again) = std::env::var("LLM_TEST_RECOMPUTES") else {
        return;
    };
    let config = ModelConfig::from_json(
        r#"{"model_type": "qwen3", "vocab_size": 64, "hidden_size": 64, "intermediate_size": 192,
            "num_hidden_layers": 16, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 16, "max_position_embeddings": 256}"#,
    );
    let (model, _) = Decoder::init(&config.unwrap(), SEED, Mode::Trainable, DType::F32).unwrap();
    let (ids, targets) = ids(4, 256, 64);
    let pass = Pass::train(Ops::Fused, 3).recomputing(again == "yes");
    let (loss, tape) = record(|| model.next_token_loss(&ids, &targets, 0.1, &pass));
    tape.backward(&loss.unwrap()).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    println!("peak: {}", line.split_whitespace().nth(1).unwrap());
}

#[cfg(target_os = "linux")]
#[test]
fn the_peak_of_memory_falls() {
    let [kept, again] = ["no", "yes"].map(|recomputes| {
        let out = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "checkpointing::peak_of_this_process",
                "--nocapture",
            ])
            .env("LLM_TEST_RECOMPUTES", recomputes)
            .output()
            .unwrap();
        let out = String::from_utf8(out.stdout).unwrap();
        let start = out
            .find("peak: ")
            .unwrap_or_else(|| panic!("no peak: {out}"));
        let number = out[start + 6..].lines().next().unwrap();
        number.parse::<u64>().unwrap()
    });
    // Sixteen layers of about 4 MiB are kept, or one.
    assert!(
        again + 32 * 1024 < kept,
        "{kept} KiB, recomputing {again} KiB"
    );
}
