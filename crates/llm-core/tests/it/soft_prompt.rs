//! Vectors before a text, several continuations at once, and a frozen copy beside a policy.

use candle_core::{DType, Device, Tensor};
use llm_core::config::ModelConfig;
use llm_core::generate::{Continuation, GenerateConfig, generate, generate_group};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::Mode;
use llm_core::sample::SamplerConfig;
use llm_core::soft_prompt;

use crate::cases::{self, F32_LOGITS, F64_LOGITS};
use crate::formula;

const PROMPT: [u32; 4] = [3, 1, 4, 1];
const SEEDS: [u64; 5] = [11, 12, 13, 14, 15];
const STOP: [u32; 6] = [5, 9, 14, 20, 25, 28];

const QWEN3: &str = r#"{"model_type": "qwen3", "vocab_size": 32, "hidden_size": 16,
    "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 24,
    "initializer_range": 0.2}"#;
const GPT2: &str = r#"{"model_type": "gpt2", "vocab_size": 32, "n_embd": 16, "n_layer": 2,
    "n_head": 4, "n_positions": 24, "initializer_range": 0.2}"#;

fn model(config: &str, mode: Mode) -> Decoder {
    let config = ModelConfig::from_json(config).unwrap();
    Decoder::init(&config, 7, mode, DType::F32).unwrap().0
}

fn logits(model: &Decoder, ids: &[u32]) -> Vec<Vec<f32>> {
    let ids = Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0);
    let logits = model.forward(&ids.unwrap(), &Pass::eval(Ops::Fused));
    logits.unwrap().squeeze(0).unwrap().to_vec2().unwrap()
}

fn settings(max_new_tokens: usize, seed: u64) -> GenerateConfig {
    GenerateConfig {
        max_new_tokens,
        stop_tokens: STOP.to_vec(),
        sampler: SamplerConfig {
            temperature: 1.0,
            seed,
            ..SamplerConfig::default()
        },
    }
}

#[test]
fn a_prompt_of_embeddings_is_the_text_of_its_tokens() {
    for config in [QWEN3, GPT2] {
        let mut model = model(config, Mode::Frozen);
        let before = [7u32, 30, 2];
        let text = [1u32, 5, 9, 31, 0];
        let whole = logits(&model, &[&before[..], &text[..]].concat());
        let tensors = model.named_tensors().unwrap();
        let mut names = ["model.embed_tokens.weight", "transformer.wte.weight"].into_iter();
        let table = names.find_map(|name| tensors.get(name)).unwrap();
        let ids = Tensor::new(&before[..], &Device::Cpu).unwrap();
        soft_prompt::put(&mut model, &table.index_select(&ids, 0).unwrap()).unwrap();
        assert_eq!((model.virtual_tokens(), model.context()), (3, 21));
        assert_eq!(logits(&model, &text), whole[3..], "not the same bits");
        soft_prompt::detach(&mut model);
        assert_ne!(logits(&model, &text), whole[3..]);
    }
}

#[test]
fn generation_reads_the_prompt_once_and_keeps_inside_the_context() {
    let mut model = model(QWEN3, Mode::Frozen);
    soft_prompt::attach(&mut model, 6, 3).unwrap();
    let greedy = GenerateConfig {
        max_new_tokens: 100,
        ..GenerateConfig::default()
    };
    let tokens = generate(&model, &PROMPT, &greedy).unwrap();
    let tokens: Vec<u32> = tokens.collect::<Result<_, _>>().unwrap();
    assert_eq!(PROMPT.len() + tokens.len(), model.context());
    // Without a cache each step reads the whole text again.
    let mut all = PROMPT.to_vec();
    for &token in &tokens {
        let last = logits(&model, &all).pop().unwrap();
        let best = (0..last.len()).max_by(|&a, &b| last[a].total_cmp(&last[b]));
        assert_eq!(best, Some(token as usize));
        all.push(token);
    }
    let error = generate(&model, &[1; 18], &greedy).unwrap_err().to_string();
    assert!(error.contains("context of 18"), "{error}");
}

#[test]
fn a_group_is_its_members_one_by_one() {
    for prompt in [0, 3] {
        let mut model = model(QWEN3, Mode::Frozen);
        if prompt > 0 {
            soft_prompt::attach(&mut model, prompt, 3).unwrap();
        }
        let group = generate_group(&model, &PROMPT, &settings(12, 0), &SEEDS).unwrap();
        assert!(group.iter().any(|row| row.finished));
        assert!(group.windows(2).any(|pair| pair[0] != pair[1]));
        for (row, seed) in group.iter().zip(SEEDS) {
            let alone = generate(&model, &PROMPT, &settings(12, seed)).unwrap();
            let alone: Vec<u32> = alone.collect::<Result<_, _>>().unwrap();
            let shown = row.tokens.len() - usize::from(row.finished);
            assert_eq!(row.tokens[..shown], alone, "seed {seed}");
            let stops = row.tokens[shown..].iter().all(|id| STOP.contains(id));
            assert!(stops && (row.finished || shown == 12), "{row:?}");
        }
    }
    let model = model(QWEN3, Mode::Frozen);
    let none = generate_group(&model, &PROMPT, &settings(0, 0), &SEEDS).unwrap();
    assert_eq!(none, vec![Continuation::default(); 5]);
    assert!(generate_group(&model, &[], &settings(3, 0), &SEEDS).is_err());
    assert!(generate_group(&model, &[32], &settings(3, 0), &SEEDS).is_err());
}

#[test]
fn a_frozen_copy_stays_when_the_policy_moves() {
    let text = [1u32, 5, 9, 31, 0];
    let config = ModelConfig::from_json(GPT2).unwrap();
    let (policy, parameters) = Decoder::init(&config, 7, Mode::Trainable, DType::F32).unwrap();
    let reference = policy.frozen().unwrap();
    let before = logits(&policy, &text);
    assert_eq!(logits(&reference, &text), before);
    for (_, var) in parameters.iter() {
        var.set(&(var.as_detached_tensor() * 1.5).unwrap()).unwrap();
    }
    assert_ne!(logits(&policy, &text), before);
    assert_eq!(logits(&reference, &text), before, "the copy has moved");
}

#[test]
fn prompts_that_leave_no_room_or_have_another_width_are_errors() {
    let mut model = model(QWEN3, Mode::Frozen);
    for count in [0, 24, 1 << 40] {
        let error = soft_prompt::attach(&mut model, count, 3).unwrap_err();
        assert!(error.to_string().contains("expected 1 to 23"), "{error}");
    }
    for shape in [&[2usize, 17][..], &[16], &[1, 2, 16]] {
        let prompt = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let error = soft_prompt::put(&mut model, &prompt).unwrap_err();
        assert!(error.to_string().contains("prompt_embeddings"), "{error}");
    }
    assert_eq!(model.virtual_tokens(), 0);
}

/// `tools/oracle/peft_prompt.py` describes the models and wrote the fixture.
#[test]
fn logits_behind_a_prompt_equal_peft() {
    let (cases, expected) = cases::read("prompt");
    assert!(cases.len() >= 6);
    for case in &cases {
        let count = &expected[&format!("{}.virtual_tokens", case.name)];
        let count = count.to_vec1::<i64>().unwrap()[0] as usize;
        for (dtype, column, tolerance) in [
            (DType::F32, "f32", F32_LOGITS),
            (DType::F64, "f64", F64_LOGITS),
        ] {
            let mut model = case.model(dtype);
            let shape = [count, model.config().hidden_size];
            let prompt = formula::weight(case.seed, soft_prompt::NAME, &shape);
            soft_prompt::put(&mut model, &prompt).unwrap();
            let want = &expected[&format!("{}.{column}", case.name)];
            for ops in [Ops::Fused, Ops::Composed] {
                let what = format!("{} {column} {ops:?}", case.name);
                cases::assert_close(&what, &case.logits(&model, ops), want, tolerance);
            }
        }
    }
}
