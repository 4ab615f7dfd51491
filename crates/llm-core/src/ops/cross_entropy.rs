//! Cross-entropy over the vocabulary with an ignored label.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor};

use super::IGNORE_INDEX;
use super::slices::{axes, float_type, gradient, output, saved, values, with_values};
use super::tape;
use crate::kernels::cross_entropy::{self as kernel, RowSoftmax};
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};
use crate::{Error, Result};

const NAME: &str = "cross_entropy";

/// Fails on a target that is neither ignored nor an index of the last axis.
pub(super) fn check_targets(logits: &Tensor, targets: &[i64]) -> Result<()> {
    let [n, v] = axes("logits", logits, "N, V")?;
    if targets.len() != n {
        return Err(Error::input(
            "targets",
            format!("{} for {n} rows of logits", targets.len()),
        ));
    }
    let bad = |&&t: &&i64| t != IGNORE_INDEX && !(0..v as i64).contains(&t);
    match targets.iter().find(bad) {
        Some(t) => Err(Error::input(
            "target",
            format!("{t} is not in 0..{v} or {IGNORE_INDEX}"),
        )),
        None => Ok(()),
    }
}

/// How much the rows count.
enum Weights {
    /// All alike: the loss is this times the sum.
    Same(f64),
    /// Each by itself in the gradient; and the value of the loss, which the caller knows.
    Each(Vec<f64>, f64),
}

impl Weights {
    fn value(&self, losses: &[f64]) -> f64 {
        match self {
            Self::Same(scale) => losses.iter().sum::<f64>() * scale,
            Self::Each(_, value) => *value,
        }
    }

    /// The weight of each of `n` rows, times `upstream`.
    fn factors<E: Real>(&self, n: usize, upstream: f64) -> Vec<E> {
        match self {
            Self::Same(scale) => vec![E::from_f64(scale * upstream); n],
            Self::Each(weights, _) => {
                let factor = |weight: &f64| E::from_f64(weight * upstream);
                weights.iter().map(factor).collect()
            }
        }
    }
}

struct CrossEntropy<E> {
    /// Per row of logits; `None` is ignored.
    targets: Vec<Option<usize>>,
    weights: Weights,
    rows: OnceLock<Vec<RowSoftmax<E>>>,
}

impl<E: Real> CustomOp1 for CrossEntropy<E> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let _span = span(NAME, || Cost::touch::<E>(layout.shape().elem_count()));
        let (_n, v) = layout.shape().dims2()?;
        let (losses, rows) = kernel::forward(&values::<E>(logits, layout)?, v, &self.targets);
        let _ = self.rows.set(rows);
        let loss = E::from_f64(self.weights.value(&losses));
        Ok(output(vec![loss], &Shape::from(())))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        _loss: &Tensor,
        upstream: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let _span = span("cross_entropy backward", || {
            Cost::touch::<E>(2 * logits.elem_count())
        });
        let (n, v) = logits.dims2()?;
        let rows = saved(&self.rows, NAME)?;
        let upstream = upstream.to_scalar::<E>()?.to_f64();
        let factors = self.weights.factors::<E>(n, upstream);
        let dlogits = with_values::<E, _, 1>([logits], |[logits]| {
            Ok(kernel::backward(logits, v, &self.targets, rows, &factors))
        })?;
        gradient(dlogits, logits)
    }
}

pub(super) fn cross_entropy(logits: &Tensor, targets: &[i64], scale: f64) -> Result<Tensor> {
    if !scale.is_finite() {
        return Err(Error::input(
            NAME,
            format!("scale is {scale}, expected a finite number"),
        ));
    }
    apply(logits, targets, Weights::Same(scale))
}

/// A loss of value `value` whose gradient is that of `Σ −weight · log softmax(logits)[target]`.
///
/// # Shapes
/// `logits [N, V]`, checked `targets` and `weights` of length N → a scalar.
pub(super) fn weighted(
    logits: &Tensor,
    targets: &[i64],
    weights: Vec<f64>,
    value: f64,
) -> Result<Tensor> {
    apply(logits, targets, Weights::Each(weights, value))
}

/// `log softmax(logits)[target]` of each row, 0 where it is ignored; no part of the graph.
///
/// # Shapes
/// `logits [N, V]`, checked `targets` of length N → length N.
pub(super) fn log_probs(logits: &Tensor, targets: &[i64]) -> Result<Vec<f64>> {
    fn of<E: Real>(logits: &Tensor, targets: &[i64]) -> Result<Vec<f64>> {
        let (_n, v) = logits.dims2()?;
        let targets = rows_of(targets);
        let losses = with_values::<E, _, 1>([logits], |[logits]| {
            Ok(kernel::forward(logits, v, &targets).0)
        })?;
        Ok(losses.into_iter().map(|loss| 0.0 - loss).collect())
    }
    match float_type(NAME, &[logits])? {
        DType::F32 => of::<f32>(logits, targets),
        _ => of::<f64>(logits, targets),
    }
}

fn rows_of(targets: &[i64]) -> Vec<Option<usize>> {
    let row = |&target: &i64| usize::try_from(target).ok();
    targets.iter().map(row).collect()
}

fn apply(logits: &Tensor, targets: &[i64], weights: Weights) -> Result<Tensor> {
    fn of<E: Real>(
        logits: &Tensor,
        targets: Vec<Option<usize>>,
        weights: Weights,
    ) -> Result<Tensor> {
        let op = CrossEntropy::<E> {
            targets,
            weights,
            rows: OnceLock::new(),
        };
        Ok(tape::apply1(logits, op)?)
    }
    let targets = rows_of(targets);
    match float_type(NAME, &[logits])? {
        DType::F32 => of::<f32>(logits, targets, weights),
        _ => of::<f64>(logits, targets, weights),
    }
}
