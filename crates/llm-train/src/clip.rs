//! Clipping by the norm of all gradients together.
//!
//! `norm = √Σ g²` over every element of every tensor; when it is above `max` each gradient is
//! multiplied by `max / (norm + 1e-6)`, PyTorch's rule, so that runs can be compared with it.
//! The sum is taken in f64, tensor by tensor in name order and in a fixed order inside each: the
//! same bits for any number of threads. Pascanu et al. 2013.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use llm_core::kernels::adamw;
use llm_core::profile::{Cost, span};

use crate::{Error, Result};

/// What PyTorch adds to the norm before dividing.
const EPSILON: f64 = 1e-6;

/// The norm of all gradients together.
///
/// # Errors
/// A gradient with NaN or infinity: the first such tensor in name order is named, with `step`
/// (counted from 1).
pub fn global_norm(gradients: &BTreeMap<String, Tensor>, step: u64) -> Result<f64> {
    let mut total = 0.0;
    let elements = || gradients.values().map(Tensor::elem_count).sum();
    let _span = span("clip", || Cost::touch::<f32>(elements()));
    for (name, gradient) in gradients {
        let sum = sum_of_squares(gradient)?;
        if !sum.is_finite() {
            let what = format!("the gradient of `{name}`");
            return Err(Error::NotFinite {
                step,
                what,
                value: sum.sqrt().to_string(),
            });
        }
        total += sum;
    }
    Ok(total.sqrt())
}

/// The factor that brings a gradient of `norm` to at most `max`; 1 when it is below.
pub fn factor(norm: f64, max: f64) -> f64 {
    (max / (norm + EPSILON)).min(1.0)
}

fn sum_of_squares(gradient: &Tensor) -> Result<f64> {
    let gradient = gradient.to_device(&Device::Cpu)?;
    let gradient = match gradient.dtype() {
        DType::F64 => gradient,
        _ => gradient.to_dtype(DType::F32)?,
    };
    Ok(adamw::sum_of_squares(&gradient)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradients(a: &[f32], b: &[f32]) -> BTreeMap<String, Tensor> {
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        BTreeMap::from([("a".to_owned(), tensor(a)), ("b".to_owned(), tensor(b))])
    }

    #[test]
    fn the_norm_runs_over_all_tensors() {
        assert_eq!(
            global_norm(&gradients(&[3.0, 0.0], &[4.0]), 1).unwrap(),
            5.0
        );
        assert_eq!(factor(0.5, 1.0), 1.0);
        // 1e-6 in the denominator is the whole difference from exactly 1.
        assert!((5.0 * factor(5.0, 1.0) - 1.0).abs() <= 2.1e-7);
    }

    #[test]
    fn the_first_bad_tensor_and_the_step_are_named() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = global_norm(&gradients(&[1.0, 2.0], &[1.0, bad]), 17).unwrap_err();
            assert_eq!(error.exit_code(), 4);
            let text = error.to_string();
            assert!(text.contains("step 17") && text.contains("`b`"), "{text}");
        }
    }

    #[test]
    fn large_f32_values_do_not_overflow_the_sum() {
        assert!(
            global_norm(&gradients(&[3e38], &[3e38]), 1)
                .unwrap()
                .is_finite()
        );
    }
}
