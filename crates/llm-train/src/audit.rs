//! The gradient audit: does every tensor get the gradient that it should?
//!
//! Libraries of fused operations lose gradients without an error: a forward-only kernel cuts the
//! graph, a detached tensor ends it, and a tied weight can get one of its two gradients while
//! looking well. So before a run trains anything, its loss is computed twice on one small batch,
//! with [`Ops::Fused`] (or whatever the run uses) and with [`Ops::Composed`], whose gradients are
//! complete, and every trainable tensor is compared: a gradient is there, has the tensor's shape,
//! is finite, is not all zero, and equals the slow one.
//!
//! A LoRA adapter starts with B = 0, where the gradient of A is zero whatever the code does. The
//! audit therefore gives all-zero tensors seeded values while it looks, and puts the zeros back.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use llm_core::ops::Ops;
use llm_core::params::Parameters;
use llm_core::rng::{Purpose, normal, stream};

use crate::{Error, Result};

/// Largest difference over the largest slow gradient, f32: sums over a batch in another order
/// round differently by some hundred units in the last place, and a lost term is of order 1.
pub const TOLERANCE_F32: f64 = 1e-3;
/// As [`TOLERANCE_F32`], f64.
pub const TOLERANCE_F64: f64 = 1e-9;
/// As [`TOLERANCE_F32`], for 16-bit types, which round at 4e-3.
pub const TOLERANCE_HALF: f64 = 1e-1;
/// A gradient below this share of the largest one of all tensors is rounding and is not compared
/// (a key bias, for one, has an exact gradient of zero: softmax does not see it).
const NEGLIGIBLE: f64 = 1e-6;
/// Standard deviation of the values that stand in for zeros.
const STAND_IN: f64 = 0.02;

/// What the audit measured.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditReport {
    /// Tensors compared.
    pub tensors: usize,
    /// The largest difference over the largest slow gradient of its tensor.
    pub worst: f64,
    /// The tensor that had it.
    pub worst_name: String,
    /// The tolerance it was held to.
    pub tolerance: f64,
}

/// Compares the gradients of `loss(ops)` with those of `loss(Ops::Composed)` for `parameters`.
///
/// `loss` must be deterministic: no dropout. The parameters are what they were when this returns.
///
/// # Errors
/// The first tensor that fails, named with what is wrong; or what `loss` reports.
pub fn audit(
    parameters: &Parameters,
    ops: Ops,
    seed: u64,
    loss: impl FnMut(Ops) -> Result<Tensor>,
) -> Result<AuditReport> {
    audit_within(parameters, ops, seed, None, loss)
}

/// As [`audit`] with a tolerance that is not that of the parameters' type.
///
/// # Errors
/// As [`audit`].
pub fn audit_within(
    parameters: &Parameters,
    ops: Ops,
    seed: u64,
    tolerance: Option<f64>,
    mut loss: impl FnMut(Ops) -> Result<Tensor>,
) -> Result<AuditReport> {
    if parameters.is_empty() {
        return Err(Error::input("gradient audit", "there is nothing to train"));
    }
    let (fast, slow) = with_stand_ins(parameters, seed, || {
        let fast = gradients(parameters, loss(ops))?;
        Ok((fast, gradients(parameters, loss(Ops::Composed))?))
    })?;
    compare(parameters, &fast, &slow, tolerance)
}

/// Does `work` while tensors that are all zero hold seeded values, and puts the zeros back.
///
/// # Errors
/// Those of `work`.
pub(crate) fn with_stand_ins<T>(
    parameters: &Parameters,
    seed: u64,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let zeros = fill_zeros(parameters, seed)?;
    let result = work();
    // Put the zeros back before any error leaves.
    for (name, zero) in &zeros {
        if let Some(var) = parameters.get(name) {
            var.set(zero)?;
        }
    }
    result
}

/// Gives tensors that are all zero seeded values; returns the zeros.
fn fill_zeros(parameters: &Parameters, seed: u64) -> Result<BTreeMap<String, Tensor>> {
    let mut rng = stream(seed, Purpose::Demo);
    let mut zeros = BTreeMap::new();
    for (name, var) in parameters.iter() {
        if largest(var)? == 0.0 {
            zeros.insert(name.to_owned(), var.as_tensor().zeros_like()?.detach());
            let value = normal(&mut rng, STAND_IN, var.dims(), var.dtype())?;
            var.set(&value.to_device(var.device())?)?;
        }
    }
    Ok(zeros)
}

fn gradients(parameters: &Parameters, loss: Result<Tensor>) -> Result<BTreeMap<String, Tensor>> {
    let mut store = loss?.backward()?;
    let mut found = BTreeMap::new();
    for (name, var) in parameters.iter() {
        if let Some(gradient) = store.remove(var) {
            found.insert(name.to_owned(), gradient.detach());
        }
    }
    Ok(found)
}

fn compare(
    parameters: &Parameters,
    fast: &BTreeMap<String, Tensor>,
    slow: &BTreeMap<String, Tensor>,
    asked: Option<f64>,
) -> Result<AuditReport> {
    let fail = |name: &str, problem: String| Error::Audit {
        name: name.into(),
        problem,
    };
    let mut overall = 0.0f64;
    for gradient in slow.values() {
        overall = overall.max(largest(gradient)?);
    }
    let mut report = AuditReport {
        tensors: parameters.len(),
        worst: 0.0,
        worst_name: String::new(),
        tolerance: 0.0,
    };
    for (name, var) in parameters.iter() {
        let Some(got) = fast.get(name) else {
            return Err(fail(name, "gets no gradient".into()));
        };
        if got.dims() != var.dims() {
            let problem = format!(
                "gets a gradient of shape {:?}, expected {:?}",
                got.dims(),
                var.dims()
            );
            return Err(fail(name, problem));
        }
        let size = largest(got)?;
        if !size.is_finite() {
            return Err(fail(name, format!("gets a gradient with {size}")));
        }
        let Some(want) = slow.get(name) else {
            return Err(fail(name, "gets no gradient from the slow model".into()));
        };
        let scale = largest(want)?;
        if scale == 0.0 && size == 0.0 {
            return Err(fail(
                name,
                "gets a gradient of zeros: the loss does not depend on it".into(),
            ));
        }
        let gap = largest(&(got.to_dtype(DType::F64)? - want.to_dtype(DType::F64)?)?)?;
        let relative = gap / scale.max(overall * NEGLIGIBLE);
        let tolerance = asked.unwrap_or(tolerance(var.dtype()));
        if relative.is_nan() || relative > tolerance {
            let problem = format!(
                "gets a gradient that differs from the slow model's by {relative:.1e} of its \
                 largest value, tolerance {tolerance:.0e}"
            );
            return Err(fail(name, problem));
        }
        report.tolerance = report.tolerance.max(tolerance);
        if relative >= report.worst {
            report.worst = relative;
            report.worst_name = name.to_owned();
        }
    }
    Ok(report)
}

fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => TOLERANCE_F64,
        DType::F32 => TOLERANCE_F32,
        _ => TOLERANCE_HALF,
    }
}

/// The largest magnitude, NaN if there is one.
fn largest(tensor: &Tensor) -> Result<f64> {
    let values = tensor
        .flatten_all()?
        .to_dtype(DType::F64)?
        .to_vec1::<f64>()?;
    let larger = |a: f64, b: f64| {
        if a.is_nan() || b.abs() <= a {
            a
        } else {
            b.abs()
        }
    };
    Ok(values.into_iter().fold(0.0, larger))
}
