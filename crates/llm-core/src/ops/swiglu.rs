//! The gated unit of Llama's feed-forward layer.

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor};

use super::slices::{float_type, gradient, output, values, with_values};
use super::tape;
use crate::Result;
use crate::dims::expect_shape;
use crate::kernels::activation;
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};

const NAME: &str = "swiglu";

struct Swiglu<E>(PhantomData<E>);

impl<E: Real> CustomOp2 for Swiglu<E> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let _span = span(NAME, || {
            Cost::touch::<E>(3 * gate_layout.shape().elem_count())
        });
        let (gate, up) = (values::<E>(gate, gate_layout)?, values::<E>(up, up_layout)?);
        Ok(output(activation::swiglu(&gate, &up), gate_layout.shape()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let _span = span("swiglu backward", || {
            Cost::touch::<E>(5 * gate.elem_count())
        });
        let (dgate, dup) = with_values([gate, up, dy], |[gate, up, dy]| {
            Ok(activation::swiglu_backward::<E>(gate, up, dy))
        })?;
        Ok((gradient(dgate, gate)?, gradient(dup, up)?))
    }
}

pub(super) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    expect_shape("swiglu up", up, gate.dims())?;
    Ok(match float_type(NAME, &[gate, up])? {
        DType::F32 => tape::apply2(gate, up, Swiglu::<f32>(PhantomData))?,
        _ => tape::apply2(gate, up, Swiglu::<f64>(PhantomData))?,
    })
}
