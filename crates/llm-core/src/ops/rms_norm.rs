//! Root-mean-square norm.

use std::marker::PhantomData;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor};

use super::slices::{
    check_eps, float_type, gradient, last_axis, output, saved, values, with_values,
};
use super::tape;
use crate::Result;
use crate::dims::expect_shape;
use crate::kernels::norm::{Norm, RowStats};
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};

const NAME: &str = "rms_norm";

struct RmsNorm<E> {
    eps: f64,
    stats: OnceLock<Vec<RowStats>>,
    element: PhantomData<E>,
}

impl<E: Real> RmsNorm<E> {
    fn norm<'a>(&self, weight: &'a [E]) -> Norm<'a, E> {
        Norm::root_mean_square(weight, self.eps)
    }
}

impl<E: Real> CustomOp2 for RmsNorm<E> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let _span = span(NAME, || Cost::touch::<E>(2 * x_layout.shape().elem_count()));
        let (x, weight) = (
            values::<E>(x, x_layout)?,
            values::<E>(weight, weight_layout)?,
        );
        let (y, stats) = self.norm(&weight).forward(&x);
        let _ = self.stats.set(stats);
        Ok(output(y, x_layout.shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let _span = span("rms_norm backward", || Cost::touch::<E>(3 * x.elem_count()));
        let stats = saved(&self.stats, NAME)?;
        let gradients = with_values([x, weight, dy], |[x, weight, dy]| {
            Ok(self.norm(weight).backward(x, stats, dy))
        })?;
        Ok((
            gradient(gradients.x, x)?,
            gradient(gradients.weight, weight)?,
        ))
    }
}

pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    check_eps(NAME, eps)?;
    expect_shape("rms_norm weight", weight, &[last_axis("rms_norm x", x)?])?;
    match float_type(NAME, &[x, weight])? {
        DType::F32 => apply::<f32>(x, weight, eps),
        _ => apply::<f64>(x, weight, eps),
    }
}

fn apply<E: Real>(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let op = RmsNorm::<E> {
        eps,
        stats: OnceLock::new(),
        element: PhantomData,
    };
    Ok(tape::apply2(x, weight, op)?)
}
