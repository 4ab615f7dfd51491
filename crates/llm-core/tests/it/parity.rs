//! The decoder against transformers on 65 small random models of five families.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use llm_core::cache::KvCache;
use llm_core::config::Family;
use llm_core::nn::Pass;
use llm_core::ops::Ops;

use crate::cases::{self, F32_LOGITS, F64_LOGITS};

fn worst_by_family(ops: Ops, dtype: DType, column: &str, tolerance: f64) {
    let (cases, expected) = cases::read("logits");
    for case in &cases {
        let got = case.logits(&case.model(dtype), ops);
        let want = &expected[&format!("{}.{column}", case.name)];
        cases::assert_close(&format!("{} {ops:?}", case.name), &got, want, tolerance);
    }
}

#[test]
fn fused_f32_equals_transformers() {
    worst_by_family(Ops::Fused, DType::F32, "f32", F32_LOGITS);
}

#[test]
fn composed_f32_equals_transformers() {
    worst_by_family(Ops::Composed, DType::F32, "f32", F32_LOGITS);
}

#[test]
fn fused_f64_equals_transformers_in_f64() {
    worst_by_family(Ops::Fused, DType::F64, "f64", F64_LOGITS);
}

#[test]
fn composed_f64_equals_transformers_in_f64() {
    worst_by_family(Ops::Composed, DType::F64, "f64", F64_LOGITS);
}

/// Fixtures that did not reach past a window, or had one head size only, would prove little.
#[test]
fn fixtures_cover_the_settings() {
    let (cases, _) = cases::read("logits");
    let mut families: BTreeMap<&str, usize> = BTreeMap::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for case in &cases {
        let config = case.model_config();
        let t = case.ids.len();
        *families.entry(config.family.model_type()).or_default() += 1;
        let mut mark = |what: &str, yes: bool| {
            *seen.entry(what.into()).or_default() += usize::from(yes);
        };
        let group = config.num_attention_heads / config.num_key_value_heads;
        for size in [1, 2, 4] {
            mark(
                &format!("{size} query heads per key-value head"),
                group == size,
            );
        }
        mark("tied", config.tie_word_embeddings);
        mark("untied", !config.tie_word_embeddings);
        let per_head = config.hidden_size / config.num_attention_heads;
        mark("own head size", config.head_dim != per_head);
        let windowed = |window: &Option<usize>| window.is_some_and(|window| window < t);
        mark(
            "longer than the window",
            config.layer_windows.iter().any(windowed),
        );
        let mixed = config.layer_windows.iter().any(Option::is_none)
            && config.layer_windows.iter().any(Option::is_some);
        mark("layers with and without a window", mixed);
        let past = |original: usize| original < t;
        let scaled = config
            .rope_scaling
            .is_some_and(|s| past(s.original_max_position_embeddings));
        mark("longer than the original rope length", scaled);
        mark("mlp bias", config.mlp_bias && config.family != Family::Gpt2);
        mark(
            "qkv bias without output bias",
            config.qkv_bias && !config.output_bias,
        );
        mark(
            "output bias",
            config.output_bias && config.family != Family::Gpt2,
        );
    }
    assert!(cases.len() >= 60, "{} cases", cases.len());
    assert_eq!(families.len(), 5);
    assert!(families.values().all(|&count| count >= 12), "{families:?}");
    assert!(seen.values().all(|&count| count >= 3), "{seen:?}");
}

/// The bits of `tensor`.
fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// A prompt read in pieces through the cache is the prompt read at once, to the last bit.
#[test]
fn chunks_through_the_cache_equal_one_pass_bit_for_bit() {
    let pass = Pass::eval(Ops::Fused);
    for case in cases::read("logits").0 {
        let model = case.model(DType::F32);
        let whole = bits(&model.forward(&cases::row(&case.ids), &pass).unwrap());
        let capacity = case.ids.len();
        let mut cache =
            KvCache::new(model.config(), 1, capacity, DType::F32, &Device::Cpu).unwrap();
        let mut chunked = Vec::new();
        let mut rest = case.ids.as_slice();
        for size in [1, 1, 3, 7, capacity] {
            let (chunk, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            if !chunk.is_empty() {
                let hidden = model
                    .hidden(&cases::row(chunk), Some(&mut cache), &pass)
                    .unwrap();
                chunked.extend(bits(&model.logits(&hidden, &pass).unwrap()));
            }
        }
        let different = whole.iter().zip(&chunked).position(|(a, b)| a != b);
        assert_eq!(whole.len(), chunked.len());
        assert_eq!(different, None, "{}: first differing logit", case.name);
    }
}

/// A text's logits do not depend on its neighbours in a batch.
#[test]
fn a_row_of_a_batch_equals_the_row_alone_bit_for_bit() {
    let pass = Pass::eval(Ops::Fused);
    for case in cases::read("logits").0.iter().step_by(5) {
        let model = case.model(DType::F32);
        let t = case.ids.len();
        let reversed: Vec<u32> = case.ids.iter().rev().copied().collect();
        let both = [case.ids.as_slice(), &reversed, &case.ids].concat();
        let both = Tensor::from_vec(both, (3, t), &Device::Cpu).unwrap();
        let batch = bits(&model.forward(&both, &pass).unwrap());
        let row = t * model.config().vocab_size;
        for (i, ids) in [&case.ids, &reversed, &case.ids].into_iter().enumerate() {
            let alone = bits(&model.forward(&cases::row(ids), &pass).unwrap());
            let found = &batch[i * row..(i + 1) * row];
            let different = alone.iter().zip(found).position(|(a, b)| a != b);
            assert_eq!(
                different, None,
                "{} row {i}: first differing logit",
                case.name
            );
        }
    }
}
