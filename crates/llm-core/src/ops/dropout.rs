//! Seeded dropout.

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor};

use super::slices::{float_type, gradient, output, values, with_values};
use super::tape;
use crate::kernels::dropout::scale_by_index;
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};
use crate::{Error, Result};

const NAME: &str = "dropout";

/// `0` for a dropped element, `1 / (1 − p)` for a kept one: a hash of `seed` and `index`
/// (the finalizer of SplitMix64, Steele et al. 2014) decides.
#[inline]
pub(crate) fn keep_factor(seed: u64, index: u64, p: f64) -> f64 {
    let mut z = seed ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    let unit = (z >> 11) as f64 / (1u64 << 53) as f64;
    if unit < p { 0.0 } else { 1.0 / (1.0 - p) }
}

/// Fails unless `p` is a probability below 1.
pub(super) fn check_probability(p: f64) -> Result<()> {
    if (0.0..1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::input(NAME, format!("p is {p}, expected 0 ≤ p < 1")))
}

struct Dropout<E> {
    p: f64,
    seed: u64,
    element: PhantomData<E>,
}

impl<E: Real> Dropout<E> {
    fn masked(&self, x: &[E]) -> Vec<E> {
        scale_by_index(x, |index| keep_factor(self.seed, index, self.p))
    }
}

impl<E: Real> CustomOp1 for Dropout<E> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let _span = span(NAME, || Cost::touch::<E>(2 * layout.shape().elem_count()));
        Ok(output(
            self.masked(&values::<E>(x, layout)?),
            layout.shape(),
        ))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let _span = span("dropout backward", || Cost::touch::<E>(2 * x.elem_count()));
        let dx = with_values([dy], |[dy]| Ok(self.masked(dy)))?;
        gradient(dx, x)
    }
}

pub(super) fn dropout(x: &Tensor, p: f64, seed: u64) -> Result<Tensor> {
    Ok(match float_type(NAME, &[x])? {
        DType::F32 => tape::apply1(
            x,
            Dropout::<f32> {
                p,
                seed,
                element: PhantomData,
            },
        )?,
        _ => tape::apply1(
            x,
            Dropout::<f64> {
                p,
                seed,
                element: PhantomData,
            },
        )?,
    })
}
