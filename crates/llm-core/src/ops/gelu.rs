//! The Gaussian error linear unit.

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor};

use super::slices::{float_type, gradient, output, values, with_values};
use super::tape;
use crate::Result;
use crate::kernels::activation::Activation;
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};

const NAME: &str = "gelu";

/// Which formula of GELU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeluKind {
    /// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`: GPT-2's `gelu_new`.
    Tanh,
    /// `x Φ(x)` with the error function: `gelu`.
    Erf,
}

impl GeluKind {
    fn activation(self) -> Activation {
        match self {
            Self::Tanh => Activation::GeluTanh,
            Self::Erf => Activation::GeluErf,
        }
    }
}

struct Gelu<E> {
    kind: GeluKind,
    element: PhantomData<E>,
}

impl<E: Real> CustomOp1 for Gelu<E> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let _span = span(NAME, || Cost::touch::<E>(2 * layout.shape().elem_count()));
        let y = self.kind.activation().forward(&values::<E>(x, layout)?);
        Ok(output(y, layout.shape()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let _span = span("gelu backward", || Cost::touch::<E>(3 * x.elem_count()));
        let dx = with_values([x, dy], |[x, dy]| {
            Ok(self.kind.activation().backward::<E>(x, dy))
        })?;
        gradient(dx, x)
    }
}

pub(super) fn gelu(x: &Tensor, kind: GeluKind) -> Result<Tensor> {
    Ok(match float_type(NAME, &[x])? {
        DType::F32 => tape::apply1(
            x,
            Gelu::<f32> {
                kind,
                element: PhantomData,
            },
        )?,
        _ => tape::apply1(
            x,
            Gelu::<f64> {
                kind,
                element: PhantomData,
            },
        )?,
    })
}
