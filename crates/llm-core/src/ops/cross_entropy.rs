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

struct CrossEntropy<E> {
    /// Per row of logits; `None` is ignored.
    targets: Vec<Option<usize>>,
    scale: f64,
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
        let (sum, rows) = kernel::forward(&values::<E>(logits, layout)?, v, &self.targets);
        let _ = self.rows.set(rows);
        Ok(output(
            vec![E::from_f64(sum * self.scale)],
            &Shape::from(()),
        ))
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
        let (_n, v) = logits.dims2()?;
        let rows = saved(&self.rows, NAME)?;
        let factor = self.scale * upstream.to_scalar::<E>()?.to_f64();
        let dlogits = with_values([logits], |[logits]| {
            Ok(kernel::backward(logits, v, &self.targets, rows, factor))
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
    match float_type(NAME, &[logits])? {
        DType::F32 => apply::<f32>(logits, targets, scale),
        _ => apply::<f64>(logits, targets, scale),
    }
}

fn apply<E: Real>(logits: &Tensor, targets: &[i64], scale: f64) -> Result<Tensor> {
    let targets = targets
        .iter()
        .map(|&target| usize::try_from(target).ok())
        .collect();
    Ok(tape::apply1(
        logits,
        CrossEntropy::<E> {
            targets,
            scale,
            rows: OnceLock::new(),
        },
    )?)
}
