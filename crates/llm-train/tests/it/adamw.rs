//! 200 steps of our step, clip, schedule, accumulation and AdamW against PyTorch's.
//!
//! `tools/oracle/adamw.py` describes the problem and wrote the fixture.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use llm_core::ops::{IGNORE_INDEX, Ops};
use llm_core::params::Parameters;
use llm_train::optimizer::{AdamW, AdamWConfig, decays};
use llm_train::schedule::{Schedule, ScheduleKind};
use llm_train::step::Stepper;

const STEPS: usize = 200;
const MICRO_ROWS: [usize; 4] = [3, 5, 2, 7];
const SHAPES: [(&str, &[usize]); 4] = [
    ("a.weight", &[4, 3]),
    ("b.bias", &[4]),
    ("c.gain", &[4]),
    ("d.weight", &[3, 4]),
];
/// The bound: the same double operations in the same order, but for sums inside products.
const F64_RELATIVE: f64 = 1e-9;
/// The bound for single precision, where a step rounds at 6e-8 and errors compound.
const F32_RELATIVE: f64 = 1e-4;

pub(crate) fn fixture(name: &str) -> BTreeMap<String, Tensor> {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    candle_core::safetensors::load(path, &Device::Cpu)
        .unwrap()
        .into_iter()
        .collect()
}

fn stepper(dtype: DType) -> Stepper {
    let mut parameters = Parameters::default();
    for (k, (name, shape)) in SHAPES.iter().enumerate() {
        let count: usize = shape.iter().product();
        let values: Vec<f64> = (0..count)
            .map(|i| (1.7 * i as f64 + k as f64).sin())
            .collect();
        let value = Tensor::from_vec(values, *shape, &Device::Cpu).unwrap();
        parameters.insert(
            *name,
            Var::from_tensor(&value.to_dtype(dtype).unwrap()).unwrap(),
        );
    }
    let config = AdamWConfig {
        beta2: 0.95,
        weight_decay: 0.1,
        ..AdamWConfig::default()
    };
    let optimizer = AdamW::new(&parameters, config, |name, shape| {
        decays(name, shape, false)
    })
    .unwrap();
    let schedule = Schedule {
        kind: ScheduleKind::Cosine,
        max_lr: 3e-2,
        min_lr: 3e-3,
        warmup_steps: 20,
        total_steps: STEPS as u64,
    };
    Stepper {
        parameters,
        optimizer,
        schedule,
        max_grad_norm: Some(0.12),
        scaler: None,
    }
}

fn micro_batch(step: usize, micro: usize, dtype: DType) -> (Tensor, Vec<i64>) {
    let rows = MICRO_ROWS[micro];
    let at = |r: usize, c: usize| {
        (0.7 * r as f64 + 1.3 * c as f64 + 0.37 * step as f64 + 2.1 * micro as f64).sin()
    };
    let x: Vec<f64> = (0..rows)
        .flat_map(|r| (0..3).map(move |c| at(r, c)))
        .collect();
    let target = |r: usize| match (r + step + micro) % 4 {
        3 => IGNORE_INDEX,
        _ => ((r * 7 + step + 2 * micro) % 3) as i64,
    };
    let x = Tensor::from_vec(x, (rows, 3), &Device::Cpu)
        .unwrap()
        .to_dtype(dtype)
        .unwrap();
    (x, (0..rows).map(target).collect())
}

/// The network's loss on one micro-batch.
fn loss(p: &Parameters, x: &Tensor, targets: &[i64], scale: f64) -> Tensor {
    let ops = Ops::Fused;
    let hidden = ops.linear(
        x,
        p.get("a.weight").unwrap(),
        Some(p.get("b.bias").unwrap()),
    );
    let hidden = hidden
        .unwrap()
        .tanh()
        .unwrap()
        .broadcast_mul(p.get("c.gain").unwrap())
        .unwrap();
    let logits = ops
        .linear(&hidden, p.get("d.weight").unwrap(), None)
        .unwrap();
    ops.cross_entropy(&logits, targets, scale).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor
        .flatten_all()
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap()
        .to_vec1()
        .unwrap()
}

fn flat(parameters: &Parameters) -> Vec<(String, Vec<f64>)> {
    parameters
        .iter()
        .map(|(name, var)| (name.to_owned(), values(var)))
        .collect()
}

fn check(what: &str, got: &[f64], want: &[f64], tolerance: f64) -> f64 {
    let largest = want.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    let (at, gap) = got
        .iter()
        .zip(want)
        .map(|(g, w)| (g - w).abs() / largest)
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap();
    assert!(
        gap <= tolerance,
        "{what}: relative difference {gap:e} at {at}, tolerance {tolerance:e}"
    );
    gap
}

fn against_pytorch(dtype: DType, key: &str, tolerance: f64) {
    let reference = fixture("adamw.safetensors");
    let rows: Vec<Vec<f64>> = reference[&format!("{key}.parameters")]
        .to_dtype(DType::F64)
        .unwrap()
        .to_vec2()
        .unwrap();
    let column = |name: &str| values(&reference[&format!("{key}.{name}")]);
    let (losses, norms, rates) = (column("loss"), column("grad_norm"), column("lr"));
    let mut stepper = stepper(dtype);
    let mut worst = 0.0f64;
    for step in 0..STEPS {
        let batches: Vec<_> = (0..4)
            .map(|micro| micro_batch(step, micro, dtype))
            .collect();
        let count: usize = batches
            .iter()
            .flat_map(|(_, t)| t)
            .filter(|&&t| t != IGNORE_INDEX)
            .count();
        let parameters = stepper.parameters.clone();
        let report = stepper
            .step(4, |i| {
                Ok(loss(
                    &parameters,
                    &batches[i].0,
                    &batches[i].1,
                    1.0 / count as f64,
                ))
            })
            .unwrap();
        check(
            &format!("{key} step {step} loss"),
            &[report.loss],
            &losses[step..=step],
            tolerance,
        );
        check(
            &format!("{key} step {step} norm"),
            &[report.grad_norm],
            &norms[step..=step],
            tolerance,
        );
        check(
            &format!("{key} step {step} lr"),
            &[report.lr],
            &rates[step..=step],
            1e-15,
        );
        let mut start = 0;
        for (name, got) in flat(&stepper.parameters) {
            let want = &rows[step][start..start + got.len()];
            let gap = check(&format!("{key} step {step} {name}"), &got, want, tolerance);
            worst = worst.max(gap);
            start += got.len();
        }
    }
    println!("{key}: largest relative difference over {STEPS} steps {worst:e}");
}

#[test]
fn two_hundred_steps_equal_pytorch_in_f64() {
    against_pytorch(DType::F64, "f64", F64_RELATIVE);
}

#[test]
fn two_hundred_steps_equal_pytorch_in_f32() {
    against_pytorch(DType::F32, "f32", F32_RELATIVE);
}

#[test]
fn moments_saved_and_loaded_continue_bit_for_bit() {
    let run = |from: usize, to: usize, stepper: &mut Stepper| {
        for step in from..to {
            let parameters = stepper.parameters.clone();
            let (x, t) = micro_batch(step, 3, DType::F32);
            stepper
                .step(1, |_| Ok(loss(&parameters, &x, &t, 0.2)))
                .unwrap();
        }
    };
    let mut whole = stepper(DType::F32);
    run(0, 9, &mut whole);
    let saved: BTreeMap<String, Tensor> = whole
        .parameters
        .iter()
        .map(|(name, var)| (name.to_owned(), var.as_tensor().copy().unwrap()))
        .collect();
    let moments = whole.optimizer.state(&whole.parameters).unwrap();
    run(9, 20, &mut whole);

    let mut resumed = stepper(DType::F32);
    resumed.parameters.assign(&saved).unwrap();
    let parameters = resumed.parameters.clone();
    resumed.optimizer.load(&parameters, 9, &moments).unwrap();
    run(9, 20, &mut resumed);
    assert_eq!(flat(&whole.parameters), flat(&resumed.parameters));
}

#[test]
fn without_a_gradient_only_decay_moves_a_matrix() {
    // Decoupled: a zero gradient shrinks a decaying tensor by lr · λ and leaves the others.
    let Stepper {
        parameters,
        mut optimizer,
        ..
    } = stepper(DType::F64);
    let before = flat(&parameters);
    let zero = |var: &Var| var.as_tensor().zeros_like().unwrap();
    let gradients = parameters
        .iter()
        .map(|(name, var)| (name.to_owned(), zero(var)))
        .collect();
    optimizer.step(&parameters, &gradients, 0.5, 1.0).unwrap();
    for ((name, was), (_, is)) in before.iter().zip(flat(&parameters)) {
        let factor = if name.ends_with("weight") {
            1.0 - 0.5 * 0.1
        } else {
            1.0
        };
        let want: Vec<f64> = was.iter().map(|w| w * factor).collect();
        check(name, &is, &want, 1e-15);
    }
}

#[test]
fn a_missing_gradient_is_named_and_nothing_moves() {
    let Stepper {
        parameters,
        mut optimizer,
        ..
    } = stepper(DType::F64);
    let before = flat(&parameters);
    let one = |var: &Var| var.as_tensor().ones_like().unwrap();
    let mut gradients: BTreeMap<String, Tensor> = parameters
        .iter()
        .map(|(name, var)| (name.to_owned(), one(var)))
        .collect();
    gradients.remove("c.gain");
    let error = optimizer
        .step(&parameters, &gradients, 0.5, 1.0)
        .unwrap_err()
        .to_string();
    assert!(error.contains("c.gain"), "{error}");
    assert_eq!(before, flat(&parameters));
}
