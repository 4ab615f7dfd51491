//! A factor for each column, `y = x ⊙ (m / n) + b`: how DoRA sets the lengths of a weight's rows.
//!
//! x is `[N, O]`, m trains, n is a constant and b is frozen. With `g = m / n` the gradients are
//! `dx = dy ⊙ g` and `dm = Σ_rows (dy ⊙ x) / n`.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor};

use super::slices::{float_type, gradient, last_axis, output, values, with_values};
use super::tape;
use crate::Result;
use crate::dims::expect_shape;
use crate::kernels::columns::{multiplied, products};
use crate::kernels::linear::column_sums;
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};

const NAME: &str = "column_scale";

/// The same with an operation for each step.
pub(super) fn composed(
    x: &Tensor,
    magnitude: &Tensor,
    norms: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let y = x.broadcast_mul(&(magnitude / norms.detach())?)?;
    Ok(match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    })
}

pub(super) fn fused(
    x: &Tensor,
    magnitude: &Tensor,
    norms: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let columns = [last_axis("column_scale x", x)?];
    expect_shape("column_scale magnitude", magnitude, &columns)?;
    expect_shape("column_scale norms", norms, &columns)?;
    if let Some(bias) = bias {
        expect_shape("column_scale bias", bias, &columns)?;
    }
    let dtype = float_type(NAME, &[x, magnitude, norms, bias.unwrap_or(x)])?;
    Ok(match dtype {
        DType::F32 => tape::apply2(x, magnitude, Op::<f32>::new(norms, bias)?)?,
        _ => tape::apply2(x, magnitude, Op::<f64>::new(norms, bias)?)?,
    })
}

struct Op<E> {
    /// n `[O]`
    norms: Vec<E>,
    /// b `[O]`
    bias: Option<Vec<E>>,
}

impl<E: Real> Op<E> {
    fn new(norms: &Tensor, bias: Option<&Tensor>) -> candle_core::Result<Self> {
        Ok(Self {
            norms: norms.to_vec1()?,
            bias: bias.map(Tensor::to_vec1).transpose()?,
        })
    }

    /// g
    fn factors(&self, magnitude: &[E]) -> Vec<E> {
        let pairs = magnitude.iter().zip(&self.norms);
        pairs.map(|(&m, &n)| m / n).collect()
    }
}

impl<E: Real> CustomOp2 for Op<E> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        magnitude: &CpuStorage,
        magnitude_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let _span = span(NAME, || Cost::touch::<E>(2 * x_layout.shape().elem_count()));
        let x = values::<E>(x, x_layout)?;
        let factors = self.factors(&values::<E>(magnitude, magnitude_layout)?);
        let y = multiplied::<E>(&x, &factors, self.bias.as_deref());
        Ok(output(y, x_layout.shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        magnitude: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let _span = span("column_scale backward", || {
            Cost::touch::<E>(5 * x.elem_count())
        });
        with_values([x, magnitude, dy], |[x_values, m_values, dy]| {
            let dx = match x.track_op() {
                true => gradient(multiplied(dy, &self.factors(m_values), None), x)?,
                false => None,
            };
            let dm = match magnitude.track_op() {
                true => {
                    let sums = column_sums(&products(x_values, dy), self.norms.len());
                    let pairs = sums.iter().zip(&self.norms);
                    gradient(pairs.map(|(&sum, &n)| sum / n).collect(), magnitude)?
                }
                false => None,
            };
            Ok((dx, dm))
        })
    }
}
