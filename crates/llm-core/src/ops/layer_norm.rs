//! Layer norm.

use std::marker::PhantomData;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor};

use super::slices::{
    check_eps, float_type, gradient, last_axis, output, saved, values, with_values,
};
use super::tape;
use crate::Result;
use crate::dims::expect_shape;
use crate::kernels::norm::{Norm, RowStats};
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};

const NAME: &str = "layer_norm";

struct LayerNorm<E> {
    eps: f64,
    stats: OnceLock<Vec<RowStats>>,
    element: PhantomData<E>,
}

impl<E: Real> LayerNorm<E> {
    fn norm<'a>(&self, weight: &'a [E], bias: &'a [E]) -> Norm<'a, E> {
        Norm {
            weight,
            bias: Some(bias),
            eps: self.eps,
            centred: true,
        }
    }
}

impl<E: Real> CustomOp3 for LayerNorm<E> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let _span = span(NAME, || Cost::touch::<E>(2 * x_layout.shape().elem_count()));
        let x = values::<E>(x, x_layout)?;
        let (weight, bias) = (
            values::<E>(weight, weight_layout)?,
            values::<E>(bias, bias_layout)?,
        );
        let (y, stats) = self.norm(&weight, &bias).forward(&x);
        let _ = self.stats.set(stats);
        Ok(output(y, x_layout.shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let _span = span("layer_norm backward", || {
            Cost::touch::<E>(3 * x.elem_count())
        });
        let stats = saved(&self.stats, NAME)?;
        let gradients = with_values([x, weight, bias, dy], |[x, weight, bias, dy]| {
            Ok(self.norm(weight, bias).backward(x, stats, dy))
        })?;
        Ok((
            gradient(gradients.x, x)?,
            gradient(gradients.weight, weight)?,
            gradient(gradients.bias, bias)?,
        ))
    }
}

pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    check_eps(NAME, eps)?;
    let c = last_axis("layer_norm x", x)?;
    expect_shape("layer_norm weight", weight, &[c])?;
    expect_shape("layer_norm bias", bias, &[c])?;
    match float_type(NAME, &[x, weight, bias])? {
        DType::F32 => apply::<f32>(x, weight, bias, eps),
        _ => apply::<f64>(x, weight, bias, eps),
    }
}

fn apply<E: Real>(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let op = LayerNorm::<E> {
        eps,
        stats: OnceLock::new(),
        element: PhantomData,
    };
    Ok(tape::apply3(x, weight, bias, op)?)
}
