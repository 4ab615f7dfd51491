//! Counts, bytes and operations by formula, against the model itself and against published figures.

use candle_core::{DType, Tensor};
use llm_core::config::ModelConfig;
use llm_core::lora::{LoraConfig, attach};
use llm_core::model::memory::{Storage, Training, kv_bytes, kv_bytes_per_token, weight_bytes};
use llm_core::model::{Decoder, count, flops, memory, tensor_shapes};
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::Mode;
use llm_core::profile::record;

fn config(json: &str) -> ModelConfig {
    ModelConfig::from_json(json).unwrap()
}

fn gpt2() -> ModelConfig {
    config(
        r#"{"model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024, "n_embd": 768,
            "n_layer": 12, "n_head": 12}"#,
    )
}

fn llama_like(family: &str, sizes: [usize; 6], tied: bool) -> ModelConfig {
    let [v, c, f, l, h, k] = sizes;
    config(&format!(
        r#"{{"model_type": "{family}", "vocab_size": {v}, "hidden_size": {c},
            "intermediate_size": {f}, "num_hidden_layers": {l}, "num_attention_heads": {h},
            "num_key_value_heads": {k}, "max_position_embeddings": 40960,
            "tie_word_embeddings": {tied}}}"#
    ))
}

fn qwen3() -> ModelConfig {
    llama_like("qwen3", [151_936, 1024, 3072, 28, 16, 8], true)
}

fn llama3() -> ModelConfig {
    llama_like("llama", [128_256, 4096, 14_336, 32, 32, 8], false)
}

fn qwen25() -> ModelConfig {
    llama_like("qwen2", [151_936, 896, 4864, 24, 14, 2], true)
}

fn tinyllama() -> ModelConfig {
    llama_like("llama", [32_000, 2048, 5632, 22, 32, 4], false)
}

fn llama_7b() -> ModelConfig {
    llama_like("llama", [32_000, 4096, 11_008, 32, 32, 32], false)
}

/// The published counts.
#[test]
fn totals_are_those_of_the_published_models() {
    let cases = [
        ("GPT-2", gpt2(), 124_439_808),
        ("Qwen3-0.6B", qwen3(), 596_049_920),
        ("Llama-3.1-8B", llama3(), 8_030_261_248),
        ("TinyLlama-1.1B", tinyllama(), 1_100_048_384),
        ("Qwen2.5-0.5B", qwen25(), 494_032_768),
        ("LLaMA-7B", llama_7b(), 6_738_415_616),
    ];
    for (name, config, expected) in cases {
        assert_eq!(count::total(&config), expected, "{name}");
    }
}

/// Five families, with every switch that adds a vector: the formula and the tensors of the model
/// are written independently.
#[test]
fn parts_add_up_to_the_tensors_of_the_model() {
    let small = |family, tied| llama_like(family, [97, 24, 40, 3, 6, 2], tied);
    let biased = config(
        r#"{"model_type": "llama", "vocab_size": 97, "hidden_size": 24, "intermediate_size": 40,
            "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 3,
            "head_dim": 10, "max_position_embeddings": 64, "attention_bias": true,
            "mlp_bias": true}"#,
    );
    let wide = config(
        r#"{"model_type": "gpt2", "vocab_size": 97, "n_positions": 64, "n_embd": 24, "n_layer": 3,
            "n_head": 6, "n_inner": 50}"#,
    );
    let mut configs = vec![biased, wide, gpt2(), qwen3(), qwen25(), llama3()];
    for family in ["llama", "mistral", "qwen2", "qwen3"] {
        configs.extend([small(family, true), small(family, false)]);
    }
    for config in configs {
        let shapes = tensor_shapes(&config).unwrap();
        let tensors: usize = shapes.iter().map(|tensor| tensor.count()).sum();
        let parts = count::parts(&config);
        assert_eq!(
            count::total(&config),
            tensors as u64,
            "{config:?}\n{parts:?}"
        );
        let matrices = shapes.iter().filter(|tensor| {
            let block = tensor.name.contains(".h.") || tensor.name.contains(".layers.");
            block && tensor.shape.len() == 2
        });
        let matrices: usize = matrices.map(|tensor| tensor.count()).sum();
        assert_eq!(count::block_weights(&config), matrices as u64, "{config:?}");
    }
}

/// The trainable counts that PEFT reports.
#[test]
fn adapters_have_the_sizes_that_peft_reports() {
    let all = [
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    ];
    let cases: [(ModelConfig, u64, &[&str], u64, f64); 8] = [
        (qwen3(), 16, &["q_proj", "v_proj"], 2_293_760, 0.3834),
        (qwen3(), 16, &all[..3], 3_211_264, 0.5359),
        (qwen3(), 16, &all[..4], 4_587_520, 0.7638),
        (qwen3(), 16, &all, 10_092_544, 1.6650),
        (qwen25(), 16, &all, 8_798_208, 1.7497),
        (tinyllama(), 16, &all[..4], 4_505_600, 0.4079),
        (llama3(), 64, &all, 167_772_160, 2.0465),
        (llama_7b(), 16, &all, 39_976_960, 0.5898),
    ];
    for (config, r, targets, expected, percent) in cases {
        let trainable = count::lora(&config, r, targets).unwrap();
        assert_eq!(trainable, expected, "r {r} on {targets:?}");
        let share = trainable as f64 / (count::total(&config) + trainable) as f64;
        assert!(
            (100.0 * share - percent).abs() < 0.5e-4,
            "{share} is not {percent} %"
        );
    }
    let error = count::lora(&gpt2(), 16, &["q_proj"])
        .unwrap_err()
        .to_string();
    assert!(error.contains("c_attn, c_fc, c_proj"), "{error}");
}

/// The same count from an adapter that is really attached.
#[test]
fn an_attached_adapter_has_the_counted_size() {
    let small = llama_like("qwen2", [31, 24, 40, 2, 6, 2], true);
    let gpt2 = config(
        r#"{"model_type": "gpt2", "vocab_size": 31, "n_positions": 64, "n_embd": 24, "n_layer": 2,
            "n_head": 6, "n_inner": 50}"#,
    );
    let cases = [
        (small, ["k_proj", "down_proj"]),
        (gpt2, ["c_attn", "c_proj"]),
    ];
    for (config, targets) in cases {
        let (mut model, _) = Decoder::init(&config, 7, Mode::Frozen, DType::F32).unwrap();
        let lora = LoraConfig {
            r: 3,
            lora_alpha: 6.0,
            lora_dropout: 0.0,
            target_modules: targets.map(String::from).to_vec(),
            use_rslora: false,
            use_dora: false,
        };
        let adapter = attach(&mut model, &lora, 1).unwrap();
        let attached: usize = adapter.iter().map(|(_, var)| var.elem_count()).sum();
        assert_eq!(count::lora(&config, 3, &targets).unwrap(), attached as u64);
    }
}

#[test]
fn the_kv_cache_counts_key_value_heads_and_windows() {
    assert_eq!(kv_bytes_per_token(&qwen3(), 2), 114_688);
    assert_eq!(kv_bytes_per_token(&llama3(), 2), 131_072);
    assert_eq!(kv_bytes(&qwen3(), 2, 40_960, 1), 4_697_620_480);
    // The formula with the model's width and its key-value heads, as it is often copied.
    let copied =
        |c: &ModelConfig| 2 * c.num_hidden_layers * c.hidden_size * c.num_key_value_heads * 2;
    assert_eq!((copied(&qwen3()), copied(&llama3())), (917_504, 4_194_304));
    assert_eq!(917_504 / kv_bytes_per_token(&qwen3(), 2), 8);
    assert_eq!(4_194_304 / kv_bytes_per_token(&llama3(), 2), 32);

    let mut windowed = qwen3();
    for window in windowed.layer_windows.iter_mut().take(14) {
        *window = Some(1024);
    }
    let (full, half) = (
        kv_bytes(&qwen3(), 2, 4096, 3),
        kv_bytes(&windowed, 2, 4096, 3),
    );
    assert_eq!(half * 8, full * 5, "half of the layers keep a quarter");
}

#[test]
fn training_takes_sixteen_bytes_a_parameter() {
    let full = Training::full(7_000_000_000);
    assert_eq!(full.total(), 112_000_000_000);
    assert_eq!(full.moments, 56_000_000_000);
    assert_eq!(full.moments / full.weights, 4, "of bf16 weights");
    assert_eq!(
        full.moments / weight_bytes(7_000_000_000, Storage::F32),
        2,
        "of f32 weights"
    );

    let trained = count::lora(&llama_7b(), 16, &["q_proj", "v_proj"]).unwrap();
    let base = weight_bytes(count::total(&llama_7b()), Storage::Bf16);
    let lora = Training::of(base, trained);
    let saved = Training::full(count::total(&llama_7b())).total() as f64 / lora.total() as f64;
    assert!(
        count::total(&llama_7b()) / trained > 100,
        "trainable parameters fall 100 times"
    );
    assert!(
        (7.0..8.0).contains(&saved),
        "memory falls {saved} times and not 100"
    );
}

#[test]
fn four_bits_are_a_little_more_than_half_a_byte() {
    let bytes = |storage: Storage| storage.bits() / 8.0;
    assert_eq!(bytes(Storage::Nf4), 0.5625);
    assert!((Storage::Nf4Double.bits() - 4.127).abs() < 0.5e-3);
    let weights = weight_bytes(7_000_000_000, Storage::Nf4Double) as f64;
    assert!((weights / 1e9 - 3.61).abs() < 0.005, "{weights}");
    // Tables, norms and biases stay as they are.
    let whole = memory::quantized_bytes(&qwen3(), Storage::Nf4Double);
    let blocks = weight_bytes(count::block_weights(&qwen3()), Storage::Nf4Double);
    assert_eq!(
        whole - blocks,
        2 * (596_049_920 - count::block_weights(&qwen3()))
    );
}

/// A plain block by the formula, and the width-4096 example.
#[test]
fn operations_are_twice_the_weights_and_attention() {
    let (matrices, attention) = flops::plain_blocks(32, 4096, 2048);
    assert_eq!(matrices, 2 * 12 * 32 * 4096 * 4096);
    assert_eq!((matrices / 100_000_000, attention / 10_000_000), (128, 107));
    let gpt2 = gpt2();
    let token = flops::token(&gpt2, 1024);
    let (matrices, attention) = flops::plain_blocks(12, 768, 1024);
    assert_eq!(
        (token.blocks, token.attention),
        (matrices.into(), attention.into())
    );
    assert_eq!(token.head, 2 * 50_257 * 768);
    // A text is its tokens one after another.
    let text = flops::text(&gpt2, 100);
    let one_by_one: u128 = (1..=100)
        .map(|context| flops::token(&gpt2, context).total())
        .sum();
    assert_eq!(text.total(), one_by_one);
}

/// The operations that the engine counts while it runs.
#[test]
fn the_engine_counts_the_same_operations() {
    let mut windowed = llama_like("qwen3", [31, 24, 40, 2, 6, 2], false);
    windowed.layer_windows[1] = Some(5);
    let gpt2 = config(
        r#"{"model_type": "gpt2", "vocab_size": 31, "n_positions": 64, "n_embd": 24, "n_layer": 2,
            "n_head": 6, "n_inner": 50}"#,
    );
    for config in [
        llama_like("llama", [31, 24, 40, 3, 6, 3], false),
        windowed,
        gpt2,
    ] {
        let (model, _) = Decoder::init(&config, 7, Mode::Frozen, DType::F32).unwrap();
        let ids: Vec<u32> = (0..12).map(|id| id % 31).collect();
        let ids = Tensor::new(ids, model.device())
            .unwrap()
            .unsqueeze(0)
            .unwrap();
        let (logits, profile) = record(|| model.forward(&ids, &Pass::eval(Ops::Fused)));
        logits.unwrap();
        let counted = u128::from(profile.total().flops);
        let expected = flops::text(&config, 12);
        assert_eq!(counted, expected.total(), "{expected:?} of {config:?}");
    }
}
