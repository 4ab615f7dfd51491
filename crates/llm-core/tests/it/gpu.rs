//! Operations, decoder, LoRA and cache on an NVIDIA GPU beside the same on the CPU.
//!
//! These run only with `--features cuda` on a machine that has one: `cargo xtask gpu`.

use candle_core::{D, DType, Device, Tensor, Var};
use llm_core::cache::KvCache;
use llm_core::config::ModelConfig;
use llm_core::device;
use llm_core::kernels::adamw::Step;
use llm_core::lora::{LoraConfig, attach};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::{
    AttentionSpec, IGNORE_INDEX, Ops, RopeTable, new_state, record, squares, update,
};
use llm_core::params::{Mode, Parameters};

/// f32 on both sides. cuBLAS adds up in another order, and sums of up to 300 terms of size 1 differ in
/// the last two or three of 24 bits. TF32 is off: with it this would be 1e-3.
const F32: f64 = 2e-5;
/// bf16 against f32 from the same bf16 numbers, relative to 1 + |value|: results are rounded to 8 bits
/// (half a unit is 2e-3), gradients and attention round two or three times on their way.
const BF16: f64 = 2e-2;
/// Attention in bf16 keeps the scores q·k in bf16: one of 64 is off by up to 0.25, which at the scale
/// of a head of 128 moves a weight by 2 %, and two such errors meet in a gradient.
const BF16_ATTENTION: f64 = 6e-2;
/// A whole decoder of 3 layers in bf16: about twenty roundings.
const BF16_MODEL: f64 = 6e-2;

fn gpu() -> Device {
    let chosen = device::choose("cuda");
    chosen
        .expect("these tests need an NVIDIA GPU; run the others without `gpu::`")
        .device
}

fn numbers(dims: &[usize], salt: f64) -> Tensor {
    let count: usize = dims.iter().product();
    let values = (0..count).map(|i| (i as f64 * 1.7 + salt).sin() as f32);
    Tensor::from_vec(values.collect::<Vec<f32>>(), dims, &Device::Cpu).unwrap()
}

/// Both sides start from numbers that bf16 holds exactly.
fn exact(x: &Tensor) -> Tensor {
    x.to_dtype(DType::BF16)
        .unwrap()
        .to_dtype(DType::F32)
        .unwrap()
}

fn on_cpu(x: &Tensor) -> Vec<f32> {
    let x = x
        .to_device(&Device::Cpu)
        .unwrap()
        .to_dtype(DType::F32)
        .unwrap();
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let mut worst = (0.0f64, 0);
    let pairs = on_cpu(found).into_iter().zip(on_cpu(expected));
    for (index, (found, expected)) in pairs.enumerate() {
        let (found, expected) = (f64::from(found), f64::from(expected));
        let error = (found - expected).abs() / (1.0 + expected.abs());
        if error.is_nan() || error > worst.0 {
            worst = (error, index);
        }
    }
    let (error, at) = worst;
    assert!(
        error <= tolerance,
        "{what}: {error:e} at {at}, allowed {tolerance:e}"
    );
}

/// [`compare_within`] [`BF16`].
fn compare(name: &str, inputs: &[Tensor], f: impl Fn(Ops, &[Tensor]) -> llm_core::Result<Tensor>) {
    compare_within(BF16, name, inputs, f);
}

/// An operation of `inputs` on the CPU in f32 and on the GPU in both types: values and gradients.
fn compare_within(
    half: f64,
    name: &str,
    inputs: &[Tensor],
    f: impl Fn(Ops, &[Tensor]) -> llm_core::Result<Tensor>,
) {
    let inputs: Vec<Tensor> = inputs.iter().map(exact).collect();
    let run = |ops: Ops, device: &Device, dtype: DType| {
        let place = |x: &Tensor| {
            let x = x.to_dtype(dtype).unwrap().to_device(device).unwrap();
            Var::from_tensor(&x).unwrap()
        };
        let vars: Vec<Var> = inputs.iter().map(place).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let (y, tape) = record(|| f(ops, &tensors));
        let y = y.unwrap();
        let gradients = tape.backward(&y).unwrap();
        let slopes = vars.iter().map(|var| gradients.get(var).cloned());
        (y, slopes.collect::<Vec<_>>())
    };
    let (expected, slopes) = run(Ops::Fused, &Device::Cpu, DType::F32);
    for (dtype, tolerance) in [(DType::F32, F32), (DType::BF16, half)] {
        let device = gpu();
        let (found, found_slopes) = run(Ops::for_device(&device), &device, dtype);
        assert_close(
            &found,
            &expected,
            tolerance,
            &format!("{name} in {dtype:?}"),
        );
        for (index, (found, expected)) in found_slopes.iter().zip(&slopes).enumerate() {
            let what = format!("gradient {index} of {name} in {dtype:?}");
            match (found, expected) {
                (Some(found), Some(expected)) => assert_close(found, expected, tolerance, &what),
                (None, None) => {}
                _ => panic!("{what}: only one side has it"),
            }
        }
    }
}

#[test]
fn operations_and_their_gradients_are_those_of_the_cpu() {
    for c in [8, 64, 300] {
        let inputs = [numbers(&[3, 5, c], 0.0), numbers(&[c], 1.0)];
        compare("rms_norm", &inputs, |ops, x| {
            ops.rms_norm(&x[0], &x[1], 1e-5)
        });
    }
    let table = RopeTable::new(40, &[1.0, 0.5, 0.1, 0.01]);
    let heads = [numbers(&[2, 6, 3, 8], 0.0)];
    compare("rope", &heads, |ops, x| ops.rope(&x[0], &table, 7));
    let positions: Vec<u32> = (0..12).map(|i| (i * 5) % 40).collect();
    compare("rope_at", &heads, |ops, x| {
        ops.rope_at(&x[0], &table, &positions)
    });
    let inputs = [numbers(&[4, 33], 0.0), numbers(&[4, 33], 2.0)];
    compare("swiglu", &inputs, |ops, x| ops.swiglu(&x[0], &x[1]));
    compare("dropout", &inputs[..1], |ops, x| {
        ops.dropout(&x[0], 0.4, 11)
    });
    compare("sum of parts", &[numbers(&[4, 6], 3.0)], |ops, x| {
        let halves = [ops.narrow(&x[0], 1, 0, 3)?, ops.narrow(&x[0], 1, 3, 3)?];
        ops.add(
            &ops.scale(&halves[0], 0.5)?,
            &ops.add(&halves[1], &halves[0])?,
        )
    });
    let inputs = [
        numbers(&[2, 5, 16], 0.0),
        numbers(&[24, 16], 1.0),
        numbers(&[24], 2.0),
    ];
    compare("linear", &inputs, |ops, x| {
        ops.linear(&x[0], &x[1], Some(&x[2]))
    });
    let frozen = exact(&inputs[1]);
    compare("frozen linear", &inputs[..1], |ops, x| {
        let weight = frozen.to_dtype(x[0].dtype())?.to_device(x[0].device())?;
        ops.linear(&x[0], &weight, None)
    });
}

#[test]
fn losses_are_those_of_the_cpu_from_few_to_many_logits() {
    for v in [7, 1000, 32_768] {
        let targets = [3, IGNORE_INDEX, v as i64 - 1, 0];
        let logits = [numbers(&[4, v], 0.5)];
        compare("cross_entropy", &logits, |ops, x| {
            ops.cross_entropy(&x[0], &targets, 0.25)
        });
    }
    let inputs = [numbers(&[9, 12], 0.0)];
    let ids = Tensor::new(&[[1u32, 8, 1, 0]], &Device::Cpu).unwrap();
    compare("embedding", &inputs, |ops, x| {
        ops.embedding(&x[0], &ids.to_device(x[0].device())?)
    });
}

#[test]
fn attention_is_that_of_the_cpu_with_and_without_gradients() {
    // t, s, heads, kv heads, d, window
    let cases = [
        (17, 17, 4, 4, 64, None),
        (33, 33, 8, 2, 128, None),
        (20, 20, 6, 3, 16, Some(7)),
        (1, 300, 8, 2, 64, None),
        (5, 70, 4, 1, 128, Some(33)),
    ];
    for (t, s, h, kv, d, window) in cases {
        let scale = 1.0 / (d as f64).sqrt();
        let spec = AttentionSpec { scale, window };
        let name = format!("attention T={t} S={s} H={h} K={kv} D={d}");
        let inputs = [
            numbers(&[2, t, h, d], 0.0),
            numbers(&[2, s, kv, d], 1.0),
            numbers(&[2, s, kv, d], 2.0),
        ];
        compare_within(BF16_ATTENTION, &name, &inputs, |ops, x| {
            ops.causal_attention(&x[0], &x[1], &x[2], &spec)
        });
        // Outside the graph few queries take a kernel of their own.
        let [q, k, v] = inputs.each_ref().map(exact);
        let expected = Ops::Fused.causal_attention(&q, &k, &v, &spec).unwrap();
        let device = gpu();
        let [q, k, v] = [q, k, v].map(|x| x.to_device(&device).unwrap());
        let found = Ops::for_device(&device)
            .causal_attention(&q, &k, &v, &spec)
            .unwrap();
        assert_close(&found, &expected, F32, &name);
    }
    let spec = AttentionSpec {
        scale: 0.25,
        window: None,
    };
    compare_within(
        BF16_ATTENTION,
        "packed attention",
        &[numbers(&[2, 9, 8 * 16], 0.0)],
        |ops, x| ops.causal_attention_packed(&x[0], 4, 2, &spec),
    );
}

#[test]
fn updates_and_norms_are_those_of_the_cpu() {
    let device = gpu();
    for dtype in [DType::F32, DType::BF16] {
        let start = exact(&numbers(&[3, 700], 1.0)).to_dtype(dtype).unwrap();
        let here = Var::from_tensor(&start).unwrap();
        let there = Var::from_tensor(&start.to_device(&device).unwrap()).unwrap();
        let (mut own, mut other) = (new_state(&here).unwrap(), new_state(&there).unwrap());
        for t in 1..=5 {
            let gradient = numbers(&[3, 700], t as f64);
            let step = Step {
                lr: 0.01,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                decay: 0.1,
                scale: 0.7,
                t,
            };
            update(&here, &gradient, &mut own, &step).unwrap();
            let gradient = gradient.to_device(&device).unwrap();
            update(&there, &gradient, &mut other, &step).unwrap();
        }
        assert_close(&other, &own, F32, "state");
        let tolerance = if dtype == DType::F32 { F32 } else { BF16 };
        assert_close(there.as_tensor(), here.as_tensor(), tolerance, "weights");
    }
    let gradients = [numbers(&[5, 1000], 0.0), numbers(&[3], 1.0)];
    let expected = squares(&gradients.each_ref()).unwrap();
    let moved = gradients.map(|x| x.to_device(&device).unwrap());
    for (found, expected) in squares(&moved.each_ref()).unwrap().iter().zip(expected) {
        let error = (found / expected - 1.0).abs();
        assert!(error <= F32, "{found} is not {expected}");
    }
}

fn config(kind: &str) -> ModelConfig {
    ModelConfig::from_json(&format!(
        r#"{{"model_type": "{kind}", "vocab_size": 96, "hidden_size": 64, "intermediate_size": 96,
            "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 16, "max_position_embeddings": 64, "tie_word_embeddings": true,
            "initializer_range": 0.1}}"#
    ))
    .unwrap()
}

/// The same model on the CPU in f32 and on the GPU.
fn both(config: &ModelConfig, mode: Mode, dtype: DType) -> [(Decoder, Parameters); 2] {
    let (model, parameters) = Decoder::init(config, 7, mode, DType::F32).unwrap();
    let rounded = |x: Tensor| if dtype == DType::BF16 { exact(&x) } else { x };
    let tensors = model.named_tensors().unwrap().into_iter();
    let tensors: std::collections::BTreeMap<_, _> =
        tensors.map(|(name, x)| (name, rounded(x))).collect();
    for (name, var) in parameters.iter() {
        var.set(&tensors[name]).unwrap();
    }
    let here = Decoder::load(config, tensors.clone(), mode, DType::F32, &Device::Cpu).unwrap();
    let there = Decoder::load(config, tensors, mode, dtype, &gpu()).unwrap();
    [here, there]
}

fn loss_and_gradients(model: &Decoder, parameters: &Parameters) -> (Tensor, Vec<Tensor>) {
    let ids: Vec<u32> = (0..24).map(|i| (i * 37 + 5) % 96).collect();
    let targets: Vec<i64> = (0..24).map(|i| (i * 37 + 42) % 96).collect();
    let ids = Tensor::from_vec(ids, (2, 12), model.device()).unwrap();
    let pass = Pass::eval(Ops::for_device(model.device()));
    let (loss, tape) = record(|| model.next_token_loss(&ids, &targets, 1.0 / 24.0, &pass));
    let loss = loss.unwrap();
    let complete = tape.is_complete(&loss);
    let gradients = tape.backward(&loss).unwrap();
    assert!(complete, "something of the step was not recorded");
    let slopes = parameters.iter().map(|(name, var)| {
        let missing = || panic!("{name} has no gradient");
        gradients.get(var).cloned().unwrap_or_else(missing)
    });
    (loss, slopes.collect())
}

#[test]
fn a_decoder_has_the_loss_and_gradients_of_the_cpu() {
    for kind in ["llama", "qwen3"] {
        for (dtype, tolerance) in [(DType::F32, F32), (DType::BF16, BF16_MODEL)] {
            let [here, there] = both(&config(kind), Mode::Trainable, dtype);
            let (expected, slopes) = loss_and_gradients(&here.0, &here.1);
            let (found, found_slopes) = loss_and_gradients(&there.0, &there.1);
            assert_close(
                &found,
                &expected,
                tolerance,
                &format!("loss of {kind} in {dtype:?}"),
            );
            for (found, expected) in found_slopes.iter().zip(&slopes) {
                assert_close(found, expected, tolerance, &format!("{kind} in {dtype:?}"));
            }
        }
    }
}

#[test]
fn adapters_have_the_gradients_of_the_cpu() {
    let lora = LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: 0.0,
        target_modules: ["q_proj", "v_proj", "down_proj"].map(String::from).to_vec(),
        use_rslora: false,
        use_dora: false,
    };
    for (dtype, tolerance) in [(DType::F32, F32), (DType::BF16, BF16_MODEL)] {
        let slopes = both(&config("qwen3"), Mode::Frozen, dtype).map(|(mut model, _)| {
            let parameters = attach(&mut model, &lora, 3).unwrap();
            for (index, (_, var)) in parameters.iter().enumerate() {
                let values = (exact(&numbers(var.dims(), index as f64)) * 0.1).unwrap();
                let values = exact(&values).to_dtype(var.dtype()).unwrap();
                var.set(&values.to_device(var.device()).unwrap()).unwrap();
            }
            loss_and_gradients(&model, &parameters).1
        });
        let [expected, found] = slopes;
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(
                found,
                expected,
                tolerance,
                &format!("adapters in {dtype:?}"),
            );
        }
    }
}

#[test]
fn decoding_from_the_cache_gives_what_reading_the_whole_text_gives() {
    for (dtype, tolerance) in [(DType::F32, F32), (DType::BF16, BF16_MODEL)] {
        let [here, there] = both(&config("qwen3"), Mode::Frozen, dtype);
        let ids: Vec<u32> = (0..30).map(|i| (i * 29 + 3) % 96).collect();
        let whole = Tensor::from_slice(&ids, (1, 30), &Device::Cpu).unwrap();
        let expected = here.0.forward(&whole, &Pass::eval(Ops::Fused)).unwrap();
        let (model, device) = (&there.0, there.0.device());
        let pass = Pass::eval(Ops::for_device(device));
        let mut cache = KvCache::new(model.config(), 1, 30, model.dtype(), device).unwrap();
        let mut rows = Vec::new();
        // A prefill, then few tokens, then one at a time.
        for part in [
            &ids[..20],
            &ids[20..25],
            &ids[25..26],
            &ids[26..27],
            &ids[27..30],
        ] {
            let part = Tensor::from_slice(part, (1, part.len()), device).unwrap();
            let hidden = model.hidden(&part, Some(&mut cache), &pass).unwrap();
            rows.push(model.logits(&hidden, &pass).unwrap());
        }
        let found = Tensor::cat(&rows, D::Minus2).unwrap();
        assert_close(
            &found,
            &expected,
            tolerance,
            &format!("cached logits in {dtype:?}"),
        );
    }
}

#[test]
fn two_runs_of_one_step_have_the_same_bits() {
    let config = config("qwen3");
    let [first, second] = [0, 1].map(|_| {
        let [_, (model, parameters)] = both(&config, Mode::Trainable, DType::BF16);
        let (loss, slopes) = loss_and_gradients(&model, &parameters);
        let all = std::iter::once(&loss).chain(&slopes);
        all.flat_map(on_cpu).map(f32::to_bits).collect::<Vec<_>>()
    });
    assert!(first == second, "two runs differ");
}
