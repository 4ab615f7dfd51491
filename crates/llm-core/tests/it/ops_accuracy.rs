//! Gradients against finite differences, fused against composed, every instruction set against
//! f64.

use candle_core::{DType, Tensor};
use llm_core::kernels::simd::{Isa, with_isa};
use llm_core::ops::Ops;

use crate::ops::{assert_close, cases, values};

/// Step of the central difference: its error falls with the square of the step, rounding grows
/// with the inverse.
const STEP: f64 = 1e-5;
/// Truncation and rounding of the differences leave about 1e-9.
const GRADIENT_TOLERANCE: f64 = 1e-7;
/// Two f64 routes to the same number, sums of up to 140 terms.
const COMPOSED_TOLERANCE: f64 = 1e-12;
/// A few units in the last place of f32 (6e-8).
const F32_TOLERANCE: f64 = 1e-6;
/// Elements of a large argument that are moved one at a time.
const SAMPLES: usize = 80;
/// A gradient that vanished would be smaller than this.
const VISIBLE: f64 = 1e-3;

#[test]
fn gradients_are_those_of_finite_differences() {
    for case in cases() {
        let arguments = case.arguments(DType::F64);
        let analytic = case.results(Ops::Fused, DType::F64);
        for (i, argument) in arguments.iter().enumerate() {
            let flat = values(argument);
            let loss = |index: usize, step: f64| {
                let mut moved = flat.clone();
                moved[index] += step;
                let mut arguments = arguments.clone();
                arguments[i] =
                    Tensor::from_vec(moved, argument.shape(), argument.device()).unwrap();
                case.loss(Ops::Fused, &arguments)
                    .to_scalar::<f64>()
                    .unwrap()
            };
            let sampled: Vec<usize> = (0..flat.len()).step_by(flat.len() / SAMPLES + 1).collect();
            let numeric: Vec<f64> = sampled
                .iter()
                .map(|&index| (loss(index, STEP) - loss(index, -STEP)) / (2.0 * STEP))
                .collect();
            let largest = numeric.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
            // A single key has weight 1 whatever q and k are.
            let constant = case.shapes[0] == [1, 1, 1, 3] && i < 2;
            let own_key = case.name.contains("window: Some(1)") && i < 2;
            assert!(
                largest > VISIBLE || constant || own_key,
                "{} {i}: {largest}",
                case.name
            );
            let what = format!("{} gradient {i}", case.name);
            let analytic: Vec<f64> = sampled
                .iter()
                .map(|&index| analytic[i + 1][index])
                .collect();
            if constant || own_key {
                assert!(
                    analytic.iter().all(|g| g.abs() < GRADIENT_TOLERANCE),
                    "{what}"
                );
            } else {
                let error = assert_close(&what, &analytic, &numeric, GRADIENT_TOLERANCE);
                println!("{what}: {error:.2e}");
            }
        }
    }
}

#[test]
fn fused_equals_composed_in_f64() {
    for case in cases() {
        let fused = case.results(Ops::Fused, DType::F64);
        let composed = case.results(Ops::Composed, DType::F64);
        for (i, (a, b)) in fused.iter().zip(&composed).enumerate() {
            // Gradients that cancel to zero keep rounding errors of terms of size 1.
            if b.iter().all(|b| b.abs() < COMPOSED_TOLERANCE) {
                assert!(
                    a.iter().all(|a| a.abs() < COMPOSED_TOLERANCE),
                    "{} {i}",
                    case.name
                );
            } else {
                assert_close(
                    &format!("{} result {i}", case.name),
                    a,
                    b,
                    COMPOSED_TOLERANCE,
                );
            }
        }
    }
}

#[test]
fn every_instruction_set_is_near_f64() {
    for case in cases() {
        let reference = case.results(Ops::Fused, DType::F64);
        for isa in Isa::available() {
            let results = with_isa(isa, || case.results(Ops::Fused, DType::F32));
            for (i, (a, b)) in results.iter().zip(&reference).enumerate() {
                if b.iter().all(|b| b.abs() < COMPOSED_TOLERANCE) {
                    assert!(
                        a.iter().all(|a| a.abs() < F32_TOLERANCE),
                        "{} {i}",
                        case.name
                    );
                    continue;
                }
                let what = format!("{isa:?} {} result {i}", case.name);
                let error = assert_close(&what, a, b, F32_TOLERANCE);
                println!("{what}: {error:.2e}");
            }
        }
    }
}
