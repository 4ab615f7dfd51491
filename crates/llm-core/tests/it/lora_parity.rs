//! Adapters against PEFT: projections, merged weights and logits of small random models.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use llm_core::lora::{self, LoraConfig};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::{Ops, record};
use llm_core::params::Parameters;

use crate::cases::{self, Case, F32_LOGITS, F64_LOGITS};
use crate::formula;

/// A projection or merged weight in f32, relative to the largest reference value: sums of up to
/// a hundred products on both sides.
const PROJECTION: f64 = 1e-6;
/// Rows of a projection's input, as in `tools/oracle/lora.py`.
const ROWS: usize = 5;

/// The base model with the case's adapter attached and assigned under its PEFT names.
fn adapted(case: &Case, dtype: DType) -> Decoder {
    trainable(case, dtype).0
}

/// As [`adapted`], with what trains.
fn trainable(case: &Case, dtype: DType) -> (Decoder, Parameters) {
    let spec = case.lora.as_ref().unwrap();
    let config = LoraConfig {
        r: spec.r,
        lora_alpha: spec.lora_alpha,
        lora_dropout: 0.0,
        target_modules: spec.target_modules.clone(),
        use_rslora: spec.use_rslora,
        use_dora: spec.use_dora,
    };
    let mut model = case.model(dtype);
    let parameters = lora::attach(&mut model, &config, 0).unwrap();
    let mut file = BTreeMap::new();
    for (module, &[inputs, outputs]) in &case.adapted {
        for (which, shape) in [("A", [spec.r, inputs]), ("B", [outputs, spec.r])] {
            let name = format!("base_model.model.{module}.lora_{which}.weight");
            let tensor = formula::weight(case.seed, &name, &shape);
            file.insert(name, tensor);
        }
        if spec.use_dora {
            let name = format!("base_model.model.{module}.lora_magnitude_vector");
            let tensor = formula::weight(case.seed, &name, &[outputs]);
            file.insert(name, tensor);
        }
    }
    let names: Vec<&str> = parameters.iter().map(|(name, _)| name).collect();
    assert_eq!(names, file.keys().collect::<Vec<_>>(), "{}", case.name);
    parameters.assign(&file).unwrap();
    (model, parameters)
}

/// The input of a projection, as the fixture's script made it.
fn input(case: &Case, module: &str) -> Tensor {
    let [inputs, _] = case.adapted[module];
    let x = formula::unit(case.seed, &format!("input/{module}"), ROWS * inputs);
    let x = Tensor::from_vec(x, (ROWS, inputs), &Device::Cpu).unwrap();
    x.to_dtype(DType::F32).unwrap()
}

fn assert_relative(what: &str, got: &Tensor, want: &Tensor) {
    cases::assert_close(what, got, want, PROJECTION * cases::largest(want));
}

#[test]
fn logits_with_an_adapter_equal_peft() {
    let (cases, expected) = cases::read("lora");
    let kinds = [
        (DType::F32, "f32", F32_LOGITS),
        (DType::F64, "f64", F64_LOGITS),
    ];
    for case in &cases {
        for (dtype, column, tolerance) in kinds {
            let want = &expected[&format!("{}.{column}", case.name)];
            for ops in [Ops::Fused, Ops::Composed] {
                let got = case.logits(&adapted(case, dtype), ops);
                let what = format!("{} {column} {ops:?}", case.name);
                cases::assert_close(&what, &got, want, tolerance);
            }
        }
    }
}

#[test]
fn projections_with_an_adapter_equal_peft() {
    let (cases, expected) = cases::read("lora");
    for case in &cases {
        let mut model = adapted(case, DType::F32);
        let mut checked = 0;
        for (module, projection) in model.projections_mut() {
            let Some(want) = expected.get(&format!("{}.projection.{module}", case.name)) else {
                continue;
            };
            let x = input(case, &module);
            let got = projection.forward(&x, &Pass::eval(Ops::Fused)).unwrap();
            assert_relative(&format!("{} {module}", case.name), &got, want);
            checked += 1;
        }
        assert_eq!(checked, case.checked.len(), "{}", case.name);
    }
}

#[test]
fn merged_weights_equal_peft() {
    let (cases, expected) = cases::read("lora");
    for case in &cases {
        let mut model = adapted(case, DType::F32);
        let before = case.logits(&model, Ops::Fused);
        lora::merge(&mut model).unwrap();
        let tensors = model.named_tensors().unwrap();
        for module in &case.checked {
            let want = &expected[&format!("{}.merged.{module}", case.name)];
            let got = &tensors[&format!("{module}.weight")];
            assert_relative(&format!("{} {module}", case.name), got, want);
        }
        let after = case.logits(&model, Ops::Fused);
        let what = format!("{} merged", case.name);
        cases::assert_close(&what, &after, &before, F32_LOGITS);
    }
}

/// DoRA's gradients of A, B and the magnitudes, no gradient through the rows' lengths.
#[test]
fn gradients_of_dora_equal_peft() {
    let (cases, expected) = cases::read("lora");
    let mut checked = 0;
    for case in cases.iter().filter(|c| c.lora.as_ref().unwrap().use_dora) {
        for module in &case.checked {
            for ops in [Ops::Fused, Ops::Composed] {
                let (mut model, parameters) = trainable(case, DType::F32);
                let mut all = model.projections_mut();
                let (_, projection) = all.find(|(name, _)| name == module).unwrap();
                let x = input(case, module);
                let factors = formula::unit(
                    case.seed,
                    &format!("gradient/{module}"),
                    ROWS * case.adapted[module][1],
                );
                let factors: Vec<f32> = factors.into_iter().map(|x| x as f32).collect();
                let (loss, tape) = record(|| {
                    let y = projection.forward(&x, &Pass::eval(ops)).unwrap();
                    let factors = Tensor::from_vec(factors, y.shape(), &Device::Cpu).unwrap();
                    (y * factors).unwrap().sum_all().unwrap()
                });
                let gradients = tape.backward(&loss).unwrap();
                for (which, name) in [
                    ("A", "lora_A.weight"),
                    ("B", "lora_B.weight"),
                    ("m", "lora_magnitude_vector"),
                ] {
                    let name = format!("base_model.model.{module}.{name}");
                    let got = gradients.get(parameters.get(&name).unwrap()).unwrap();
                    let want = &expected[&format!("{}.gradient.{module}.{which}", case.name)];
                    assert_relative(&format!("{} {name} {ops:?}", case.name), got, want);
                    checked += 1;
                }
            }
        }
    }
    assert_eq!(checked, 4 * 2 * 2 * 3);
}

/// Another α, or the adapter left out, must not pass.
#[test]
fn a_wrong_scale_shows() {
    let (cases, expected) = cases::read("lora");
    for case in &cases {
        let want = &expected[&format!("{}.f32", case.name)];
        let mut doubled = adapted(case, DType::F32);
        for (_, projection) in doubled.projections_mut() {
            if let llm_core::nn::Proj::Lora(lora) = projection {
                lora.scale *= 2.0;
            }
        }
        for (what, model) in [
            ("no adapter", case.model(DType::F32)),
            ("double scale", doubled),
        ] {
            let (difference, _) = cases::largest_difference(&case.logits(&model, Ops::Fused), want);
            assert!(difference > 1e-3, "{} {what}: {difference:.2e}", case.name);
        }
    }
}
