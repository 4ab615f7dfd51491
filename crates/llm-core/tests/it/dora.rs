//! Adapters whose rows have lengths of their own (DoRA): the projection, its gradients, merging.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use llm_core::config::ModelConfig;
use llm_core::lora::{self, LoraConfig};
use llm_core::model::{Decoder, count};
use llm_core::nn::{Dora, Linear, LoraLinear, Pass};
use llm_core::ops::{Ops, record};
use llm_core::params::Mode;

use crate::cases::{assert_close, largest, largest_difference};
use crate::formula;

/// Relative to the largest gradient; central differences of a function that is linear in each of A,
/// B and the magnitudes err by rounding alone.
const NUMERIC: f64 = 1e-8;
const STEP: f64 = 1e-4;
/// Roundings of f64 in another order.
const ROUNDING: f64 = 1e-13;
/// As SPEC H02 has it: runtime against merged, and a weight after merge and unmerge.
const MERGED: f64 = 1e-5;
const UNMERGED: f64 = 1e-6;
const SCALE: f64 = 1.5;
const DROPOUT: f64 = 0.4;
const SEED: u64 = 21;
/// Rows, I, O, R.
const SIZES: [usize; 4] = [3, 7, 5, 2];

const QWEN2: &str = r#"{"model_type": "qwen2", "vocab_size": 40, "hidden_size": 12,
    "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3,
    "num_key_value_heads": 1, "max_position_embeddings": 32, "tie_word_embeddings": true,
    "initializer_range": 0.3}"#;
const GPT2: &str = r#"{"model_type": "gpt2", "vocab_size": 40, "n_embd": 12, "n_layer": 2,
    "n_head": 3, "n_positions": 32, "initializer_range": 0.3}"#;

/// A projection with everything that trains: A, B, magnitudes.
struct Trained {
    lora: LoraLinear,
    parts: [Var; 3],
    x: Var,
}

fn trained() -> Trained {
    let [rows, i, o, r] = SIZES;
    let numbers = |name: &str, shape: &[usize]| {
        let wide = formula::weight(SEED, name, shape).to_dtype(DType::F64);
        Var::from_tensor(&wide.unwrap()).unwrap()
    };
    let weight = numbers("w.weight", &[o, i]).as_detached_tensor();
    let bias = numbers("w.bias", &[o]).as_detached_tensor();
    let base = Linear::new(weight, Some(bias));
    let parts = [
        numbers("lora_A.weight", &[r, i]),
        numbers("lora_B.weight", &[o, r]),
        numbers("lora_magnitude_vector", &[o]),
    ];
    let magnitude = parts[2].as_tensor().clone();
    let lora = LoraLinear {
        dora: Some(Dora::new(&base, magnitude).unwrap()),
        base,
        a: parts[0].as_tensor().clone(),
        b: parts[1].as_tensor().clone(),
        scale: SCALE,
        dropout: DROPOUT,
    };
    let x = numbers("x", &[rows, i]);
    Trained { lora, parts, x }
}

/// The numbers of a tensor in f64.
fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// `Σ c ⊙ y` with `y = (x̃ W + s x̃ Aᵀ Bᵀ) ⊙ m / n + b + (x − x̃) W` for lengths n that stay.
fn written_out(one: &Trained, dropped: &Tensor, norms: &Tensor) -> f64 {
    let [a, b, m] = one.parts.each_ref().map(|var| var.as_detached_tensor());
    let (w, x) = (
        one.lora.base.weight().t().unwrap(),
        one.x.as_detached_tensor(),
    );
    let wide = |t: &Tensor| t.contiguous().unwrap();
    let narrow = dropped.matmul(&wide(&a.t().unwrap())).unwrap();
    let update = (narrow.matmul(&wide(&b.t().unwrap())).unwrap() * SCALE).unwrap();
    let both = (dropped.matmul(&wide(&w)).unwrap() + update).unwrap();
    let y = both.broadcast_mul(&(m / norms).unwrap()).unwrap();
    let bias = formula::weight(SEED, "w.bias", &[SIZES[2]]);
    let y = y
        .broadcast_add(&bias.to_dtype(DType::F64).unwrap())
        .unwrap();
    let rest = (x - dropped).unwrap().matmul(&wide(&w)).unwrap();
    let y = (y + rest).unwrap();
    let sum = (&y * factors(&y)).unwrap().sum_all().unwrap();
    sum.to_scalar().unwrap()
}

fn factors(y: &Tensor) -> Tensor {
    let factors = formula::unit(SEED, "factors", y.elem_count());
    Tensor::from_vec(factors, y.shape(), &Device::Cpu).unwrap()
}

/// The lengths of the rows of `W + s B A`.
fn norms(one: &Trained) -> Tensor {
    let rows = (one.lora.base.weight() + one.lora.delta().unwrap()).unwrap();
    rows.sqr().unwrap().sum(1).unwrap().sqrt().unwrap()
}

#[test]
fn gradients_are_those_with_the_lengths_held() {
    for (what, seed) in [("without dropout", None), ("with dropout", Some(5))] {
        let one = trained();
        let norms = norms(&one);
        let pass = |ops| seed.map_or(Pass::eval(ops), |seed| Pass::train(ops, seed));
        let dropped = || {
            let x = one.x.as_detached_tensor();
            pass(Ops::Composed).dropout(&x, DROPOUT).unwrap()
        };
        for ops in [Ops::Fused, Ops::Composed] {
            let (loss, tape) = record(|| {
                let y = one.lora.forward(&one.x, &pass(ops)).unwrap();
                (&y * factors(&y)).unwrap().sum_all().unwrap()
            });
            let expected = written_out(&one, &dropped(), &norms);
            let gap = (loss.to_scalar::<f64>().unwrap() - expected).abs();
            assert!(gap <= ROUNDING * 100.0, "{what} {ops:?}: {gap:e}");
            let gradients = tape.backward(&loss).unwrap();
            let trains = one.parts.iter().chain([&one.x]);
            for (index, var) in trains.enumerate() {
                let found = gradients.get(var).unwrap();
                let original = values(var);
                let slope = |place: usize| {
                    let at = |value: f64| {
                        let mut moved = original.clone();
                        moved[place] = value;
                        let moved = Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap();
                        var.set(&moved).unwrap();
                        written_out(&one, &dropped(), &norms)
                    };
                    let middle = original[place];
                    let slope = (at(middle + STEP) - at(middle - STEP)) / (2.0 * STEP);
                    at(middle);
                    slope
                };
                let slopes: Vec<f64> = (0..original.len()).map(slope).collect();
                let slopes = Tensor::from_vec(slopes, var.shape(), &Device::Cpu).unwrap();
                let what = format!("{what} {ops:?} part {index}");
                assert_close(&what, found, &slopes, NUMERIC * largest(&slopes));
            }
        }
    }
}

#[test]
fn its_operations_are_recorded() {
    let one = trained();
    for pass in [Pass::eval(Ops::Fused), Pass::train(Ops::Fused, 5)] {
        let (loss, tape) = record(|| {
            let y = one.lora.forward(&one.x, &pass).unwrap();
            Ops::Fused.cross_entropy(&y, &[0, 4, 2], 1.0).unwrap()
        });
        assert!(tape.is_complete(&loss), "{pass:?}");
        let expected = loss.backward().unwrap();
        let found = tape.backward(&loss).unwrap();
        for var in one.parts.iter().chain([&one.x]) {
            let (found, expected) = (found.get(var).unwrap(), expected.get(var).unwrap());
            assert_close("recorded", found, expected, ROUNDING);
        }
    }
}

#[test]
fn a_row_has_its_bits_alone_and_in_a_batch() {
    let one = trained();
    let pass = Pass::eval(Ops::Fused);
    let all = one
        .lora
        .forward(&one.x.as_detached_tensor(), &pass)
        .unwrap();
    for row in 0..SIZES[0] {
        let x = one.x.as_detached_tensor().narrow(0, row, 1).unwrap();
        let alone = one.lora.forward(&x, &pass).unwrap();
        assert_eq!(values(&alone), values(&all.narrow(0, row, 1).unwrap()));
    }
    // A transposed input lies in memory in another order.
    let x = one
        .x
        .as_detached_tensor()
        .t()
        .unwrap()
        .contiguous()
        .unwrap();
    let strided = one.lora.forward(&x.t().unwrap(), &pass).unwrap();
    assert_eq!(values(&strided), values(&all));
}

#[test]
fn a_row_of_zeros_stays_one() {
    let weight = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    let base = Linear::new(weight, None);
    let zeros = |shape: (usize, usize)| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let magnitude = Tensor::new(&[0.0f32, 2.0], &Device::Cpu).unwrap();
    let lora = LoraLinear {
        dora: Some(Dora::new(&base, magnitude).unwrap()),
        base,
        a: zeros((1, 3)),
        b: zeros((2, 1)),
        scale: 1.0,
        dropout: 0.0,
    };
    let x = Tensor::ones((4, 3), DType::F32, &Device::Cpu).unwrap();
    let y = lora.forward(&x, &Pass::eval(Ops::Fused)).unwrap();
    assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [0.0; 8]);
    assert_eq!(largest(&lora.merged_weight().unwrap()), 0.0);
}

fn settings(targets: &[&str]) -> LoraConfig {
    LoraConfig {
        r: 3,
        lora_alpha: 6.0,
        lora_dropout: 0.0,
        target_modules: targets.iter().map(|name| (*name).to_owned()).collect(),
        use_rslora: false,
        use_dora: true,
    }
}

fn model(config: &str) -> Decoder {
    let config = ModelConfig::from_json(config).unwrap();
    Decoder::init(&config, 7, Mode::Frozen, DType::F32)
        .unwrap()
        .0
}

fn logits(model: &Decoder, ops: Ops) -> Tensor {
    let ids = Tensor::new(&[[1u32, 5, 9, 31, 0, 2]], &Device::Cpu).unwrap();
    model.forward(&ids, &Pass::eval(ops)).unwrap()
}

#[test]
fn a_fresh_adapter_changes_no_bit_and_a_trained_one_merges() {
    for (config, targets) in [
        (QWEN2, &["q_proj", "v_proj", "down_proj"][..]),
        (GPT2, &["c_attn", "c_proj"]),
    ] {
        let mut model = model(config);
        let base = logits(&model, Ops::Fused);
        let parameters = lora::attach(&mut model, &settings(targets), 3).unwrap();
        assert_eq!(
            largest_difference(&logits(&model, Ops::Fused), &base).0,
            0.0
        );
        let names: Vec<&str> = parameters.iter().map(|(name, _)| name).collect();
        let ends = ["lora_A.weight", "lora_B.weight", "lora_magnitude_vector"];
        assert!(
            names
                .iter()
                .all(|name| ends.iter().any(|end| name.ends_with(end)))
        );
        let filled: BTreeMap<String, Tensor> = parameters
            .iter()
            .map(|(name, var)| (name.to_owned(), formula::weight(SEED, name, var.dims())))
            .collect();
        parameters.assign(&filled).unwrap();
        let adapted = logits(&model, Ops::Fused);
        assert!(largest_difference(&adapted, &base).0 > 0.1);
        assert_close("composed", &logits(&model, Ops::Composed), &adapted, MERGED);

        let weights = model.named_tensors().unwrap();
        let merged = lora::merge(&mut model).unwrap();
        assert_close("merged", &logits(&model, Ops::Fused), &adapted, MERGED);
        lora::unmerge(&mut model, merged).unwrap();
        for (name, tensor) in model.named_tensors().unwrap() {
            assert_close(&name, &tensor, &weights[&name], UNMERGED);
        }
        assert_close("again", &logits(&model, Ops::Fused), &adapted, MERGED);
        lora::detach(&mut model);
        assert_close("detached", &logits(&model, Ops::Fused), &base, MERGED);
    }
}

#[test]
fn it_costs_one_number_more_for_each_row() {
    let targets = ["q_proj", "k_proj", "v_proj"];
    let mut model = model(QWEN2);
    let config = model.config().clone();
    let parameters = lora::attach(&mut model, &settings(&targets), 0).unwrap();
    let plain = count::lora(&config, 3, &targets).unwrap() as usize;
    let rows: usize = count::projections(&config)
        .iter()
        .filter(|projection| targets.contains(&projection.name))
        .map(|projection| projection.outputs as usize)
        .sum();
    assert_eq!(parameters.count(), plain + config.num_hidden_layers * rows);
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let tensor = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let (x, right, wrong) = (tensor(&[2, 3]), tensor(&[3]), tensor(&[4]));
    for (magnitude, norms, bias, part) in [
        (&wrong, &right, None, "magnitude"),
        (&right, &wrong, None, "norms"),
        (&right, &right, Some(&wrong), "bias"),
    ] {
        let result = Ops::Fused.scale_columns(&x, magnitude, norms, bias);
        let error = result.unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("[4]"), "{error}");
    }
    let wide = right.to_dtype(DType::F64).unwrap();
    assert!(Ops::Fused.scale_columns(&x, &wide, &right, None).is_err());
}
