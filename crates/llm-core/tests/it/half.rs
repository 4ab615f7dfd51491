//! Models in bf16 on the CPU: the results of the widened weights, and of rounded products.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use llm_core::cache::KvCache;
use llm_core::config::ModelConfig;
use llm_core::lora::{self, LoraConfig};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::{Ops, Products, record};
use llm_core::params::Mode;

use crate::formula;

const SEED: u64 = 5;
const B: usize = 2;
const T: usize = 9;
/// Fused and composed products of f32 differ by the order of their sums.
const F32: f64 = 1e-5;
/// A bf16 has eight significant bits; a few roundings of activations add up.
const ROUNDED: f64 = 5e-2;
/// Where weights are rounded as well, both sides of every product are off by as much.
const BOTH_ROUNDED: f64 = 2.0 * ROUNDED;

fn config(family: &str) -> ModelConfig {
    let sizes = match family {
        "gpt2" => r#""n_embd": 12, "n_layer": 2, "n_head": 3, "n_positions": 40, "n_inner": 20"#,
        _ => {
            r#""hidden_size": 10, "intermediate_size": 14, "num_hidden_layers": 2,
               "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6,
               "max_position_embeddings": 40, "rms_norm_eps": 1e-5"#
        }
    };
    let json = format!(r#"{{"model_type": "{family}", "vocab_size": 17, {sizes}}}"#);
    ModelConfig::from_json(&json).unwrap()
}

/// The same bf16 values, kept in `dtype`.
fn decoder(family: &str, dtype: DType) -> Decoder {
    let config = config(family);
    let (fresh, _) = Decoder::init(&config, SEED, Mode::Frozen, DType::F32).unwrap();
    let mut tensors = fresh.named_tensors().unwrap();
    for (name, tensor) in &mut tensors {
        let values = formula::weight(SEED, name, tensor.dims());
        *tensor = values.to_dtype(DType::BF16).unwrap();
    }
    let loaded = Decoder::load(&config, tensors, Mode::Frozen, dtype, &Device::Cpu);
    loaded.unwrap().0
}

fn ids() -> Tensor {
    let ids: Vec<u32> = (0..B * T).map(|i| (i * i * 3 + i) as u32 % 17).collect();
    Tensor::from_vec(ids, (B, T), &Device::Cpu).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// The largest difference over the largest value.
fn apart(a: &Tensor, b: &Tensor) -> f64 {
    let largest = |t: &Tensor| {
        let t = t.abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        f64::from(t.to_scalar::<f32>().unwrap())
    };
    largest(&(a - b).unwrap()) / largest(b)
}

/// Adapters with values of their own on every projection, and the gradients of a loss.
fn gradients(model: &mut Decoder, products: Products, ops: Ops) -> BTreeMap<String, Tensor> {
    let targets = model.projections_mut().map(|(name, _)| name).collect();
    let settings = LoraConfig {
        r: 3,
        lora_alpha: 6.0,
        lora_dropout: 0.2,
        target_modules: targets,
        use_rslora: false,
        use_dora: false,
    };
    let parameters = lora::attach(model, &settings, SEED).unwrap();
    for (name, var) in parameters.iter() {
        let values = formula::weight(SEED, name, var.dims());
        var.set(&values.to_dtype(DType::F32).unwrap()).unwrap();
    }
    model.set_products(products);
    let targets: Vec<i64> = (0..B * T).map(|i| (i % 17) as i64).collect();
    let pass = Pass::train(ops, 3);
    let (loss, tape) = record(|| model.next_token_loss(&ids(), &targets, 0.1, &pass));
    let store = tape.backward(&loss.unwrap()).unwrap();
    let gradient = |(name, var): (&str, &candle_core::Var)| {
        (name.to_owned(), store.get(var).expect(name).clone())
    };
    let found = parameters.iter().map(gradient).collect();
    lora::detach(model);
    found
}

#[test]
fn a_bf16_model_has_the_bits_of_the_widened_one() {
    for family in ["qwen3", "gpt2"] {
        let (mut half, mut wide) = (decoder(family, DType::BF16), decoder(family, DType::F32));
        assert_eq!(half.dtype(), DType::F32);
        let pass = Pass::eval(Ops::Fused);
        let logits = half.forward(&ids(), &pass).unwrap();
        assert_eq!(logits.dtype(), DType::F32);
        assert_eq!(
            bits(&logits),
            bits(&wide.forward(&ids(), &pass).unwrap()),
            "{family}"
        );
        let slow = half.forward(&ids(), &Pass::eval(Ops::Composed)).unwrap();
        assert!(apart(&logits, &slow) < F32, "{family}");
        let found = gradients(&mut half, Products::Exact, Ops::Fused);
        for (name, expected) in gradients(&mut wide, Products::Exact, Ops::Fused) {
            assert_eq!(bits(&found[&name]), bits(&expected), "{name}");
        }
    }
}

#[test]
fn matrices_stay_bf16_and_the_rest_is_f32() {
    let model = decoder("qwen3", DType::BF16);
    for (name, tensor) in model.named_tensors().unwrap() {
        let expected = if tensor.rank() == 2 {
            DType::BF16
        } else {
            DType::F32
        };
        assert_eq!(tensor.dtype(), expected, "{name}");
    }
}

#[test]
fn one_token_at_a_time_reads_panels_with_the_same_bits() {
    for products in [Products::Exact, Products::Rounded] {
        let mut model = decoder("qwen3", DType::BF16);
        model.set_products(products);
        let pass = Pass::eval(Ops::Fused);
        let whole = model.forward(&ids(), &pass).unwrap();
        let mut cache = KvCache::new(model.config(), B, T, model.dtype(), &Device::Cpu).unwrap();
        for t in 0..T {
            let token = ids().narrow(1, t, 1).unwrap();
            let hidden = model.hidden(&token, Some(&mut cache), &pass).unwrap();
            let logits = model.logits(&hidden, &pass).unwrap();
            let expected = whole.narrow(1, t, 1).unwrap();
            assert_eq!(bits(&logits), bits(&expected), "{products:?}, token {t}");
        }
    }
}

#[test]
fn rounded_products_are_near_and_only_where_weights_are_bf16() {
    let exact = gradients(
        &mut decoder("qwen3", DType::F32),
        Products::Exact,
        Ops::Composed,
    );
    let same = gradients(
        &mut decoder("qwen3", DType::F32),
        Products::Rounded,
        Ops::Fused,
    );
    let near = gradients(
        &mut decoder("qwen3", DType::BF16),
        Products::Rounded,
        Ops::Fused,
    );
    let mut changed = false;
    for (name, expected) in exact {
        assert!(apart(&same[&name], &expected) < F32, "{name}");
        let distance = apart(&near[&name], &expected);
        assert!(distance < ROUNDED, "{name}: {distance}");
        changed |= distance > F32;
    }
    assert!(changed, "nothing was rounded");
}

/// The loss of a model whose weights all train, in f32, and their gradients.
fn trained(products: Products) -> (f64, BTreeMap<String, Tensor>) {
    let config = config("qwen3");
    let (fresh, _) = Decoder::init(&config, SEED, Mode::Frozen, DType::F32).unwrap();
    let mut tensors = fresh.named_tensors().unwrap();
    for (name, tensor) in &mut tensors {
        let values = formula::weight(SEED, name, tensor.dims());
        *tensor = values.to_dtype(DType::F32).unwrap();
    }
    let loaded = Decoder::load(&config, tensors, Mode::Trainable, DType::F32, &Device::Cpu);
    let (mut model, parameters) = loaded.unwrap();
    model.set_products(products);
    let targets: Vec<i64> = (0..B * T).map(|i| (i % 17) as i64).collect();
    let pass = Pass::train(Ops::Fused, 3);
    let (loss, tape) = record(|| model.next_token_loss(&ids(), &targets, 0.1, &pass));
    let loss = loss.unwrap();
    let store = tape.backward(&loss).unwrap();
    let gradient = |(name, var): (&str, &candle_core::Var)| {
        (name.to_owned(), store.get(var).expect(name).clone())
    };
    let loss = f64::from(loss.to_scalar::<f32>().unwrap());
    (loss, parameters.iter().map(gradient).collect())
}

#[test]
fn trained_weights_stay_f32_under_rounded_products() {
    let (exact_loss, exact) = trained(Products::Exact);
    let (loss, rounded) = trained(Products::Rounded);
    assert!((loss / exact_loss - 1.0).abs() < ROUNDED && loss != exact_loss);
    for (name, expected) in exact {
        let found = &rounded[&name];
        assert_eq!(found.dtype(), DType::F32, "{name}");
        let distance = apart(found, &expected);
        assert!(distance < BOTH_ROUNDED, "{name}: {distance}");
    }
}

#[test]
fn merging_rounds_to_the_weights_type() {
    let mut model = decoder("qwen3", DType::BF16);
    let settings = LoraConfig {
        r: 2,
        lora_alpha: 2.0,
        lora_dropout: 0.0,
        target_modules: vec!["q_proj".into()],
        use_rslora: false,
        use_dora: false,
    };
    let parameters = lora::attach(&mut model, &settings, SEED).unwrap();
    for (name, var) in parameters.iter() {
        let values = formula::weight(SEED, name, var.dims());
        var.set(&values.to_dtype(DType::F32).unwrap()).unwrap();
    }
    let pass = Pass::eval(Ops::Fused);
    let with_adapter = model.forward(&ids(), &pass).unwrap().detach();
    let merged = lora::merge(&mut model).unwrap();
    let (_name, first) = model.projections_mut().next().unwrap();
    assert_eq!(first.base().weight().dtype(), DType::BF16);
    assert!(apart(&model.forward(&ids(), &pass).unwrap(), &with_adapter) < ROUNDED);
    lora::unmerge(&mut model, merged).unwrap();
    assert!(apart(&model.forward(&ids(), &pass).unwrap(), &with_adapter) < ROUNDED);
}
