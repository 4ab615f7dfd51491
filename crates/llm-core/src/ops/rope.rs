//! Rotary position embedding.

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor};

use super::slices::{axes, float_type, gradient, output, with_heads, with_values};
use super::tape;
use crate::kernels::heads::Heads;
use crate::kernels::rope::{Angles, rotate};
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};
use crate::{Error, Result};

const NAME: &str = "rope";

/// cos and sin of every position and frequency, kept in f64 and narrowed per call.
///
/// Angles are products rounded to f32, as in the implementations that published models were
/// trained with: at position 2,000 the rounding moves an angle by up to 6e-5.
#[derive(Clone, Debug)]
pub struct RopeTable {
    /// `[positions, D/2]` row-major
    cos: Vec<f64>,
    /// `[positions, D/2]` row-major
    sin: Vec<f64>,
    positions: usize,
    half: usize,
}

impl RopeTable {
    /// The table of `positions` rows for the angles `position · inverse_frequencies[i]`.
    ///
    /// # Shapes
    /// `inverse_frequencies` of length D/2.
    pub fn new(positions: usize, inverse_frequencies: &[f32]) -> Self {
        let angles = (0..positions).flat_map(|position| {
            inverse_frequencies
                .iter()
                .map(move |f| f64::from(position as f32 * f))
        });
        let (sin, cos) = angles.map(f64::sin_cos).unzip();
        Self {
            cos,
            sin,
            positions,
            half: inverse_frequencies.len(),
        }
    }

    /// The number of positions the table has rows for.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// cos and sin of the positions `offset..offset + t`.
    ///
    /// # Shapes
    /// Two tensors `[T, D/2]`.
    ///
    /// # Errors
    /// A position past the end of the table.
    pub fn rows(
        &self,
        offset: usize,
        t: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<(Tensor, Tensor)> {
        let (cos, sin) = self.slices(offset, t)?;
        let rows = |values: &[f64]| -> Result<Tensor> {
            Ok(Tensor::from_slice(values, (t, self.half), &Device::Cpu)?
                .to_dtype(dtype)?
                .to_device(device)?)
        };
        Ok((rows(cos)?, rows(sin)?))
    }

    /// cos and sin of `positions`, in f64.
    ///
    /// # Shapes
    /// Two vectors of `positions.len() · D/2` numbers.
    ///
    /// # Errors
    /// A position past the end of the table.
    pub(super) fn gather(&self, positions: &[u32]) -> Result<(Vec<f64>, Vec<f64>)> {
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for &position in positions {
            let (c, s) = self.slices(position as usize, 1)?;
            cos.extend_from_slice(c);
            sin.extend_from_slice(s);
        }
        Ok((cos, sin))
    }

    /// As [`RopeTable::rows`], in f64 where they lie.
    fn slices(&self, offset: usize, t: usize) -> Result<(&[f64], &[f64])> {
        let end = offset.saturating_add(t);
        if end > self.positions {
            return Err(Error::input(
                "position",
                format!("{end} tokens do not fit the context of {}", self.positions),
            ));
        }
        let rows = offset * self.half..end * self.half;
        Ok((&self.cos[rows.clone()], &self.sin[rows]))
    }
}

/// The angles of one pass.
pub(super) struct Rope<E> {
    /// `[T, D/2]`
    cos: Vec<E>,
    /// `[T, D/2]`
    sin: Vec<E>,
}

impl<E: Real> Rope<E> {
    pub(super) fn new((cos, sin): Turns) -> Self {
        let narrowed = |x: &[f64]| x.iter().map(|&x| E::from_f64(x)).collect();
        Self {
            cos: narrowed(cos),
            sin: narrowed(sin),
        }
    }

    pub(super) fn angles(&self) -> Angles<'_, E> {
        Angles {
            cos: &self.cos,
            sin: &self.sin,
        }
    }

    /// The same angles the other way round, for the gradient.
    pub(super) fn back(&self) -> Self {
        Self {
            cos: self.cos.clone(),
            sin: self.sin.iter().map(|&sin| -sin).collect(),
        }
    }
}

impl<E: Real> CustomOp1 for Rope<E> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let _span = span(NAME, || Cost::touch::<E>(2 * layout.shape().elem_count()));
        let y = with_heads(x, layout, |x| rotate::<E>(x, self.angles()))?;
        Ok(output(y, layout.shape()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (b, t, h, d) = x.dims4()?;
        let _span = span("rope backward", || Cost::touch::<E>(2 * x.elem_count()));
        let back = self.back();
        let dx = with_values([dy], |[dy]| {
            Ok(rotate(Heads::contiguous(dy, [b, t, h, d]), back.angles()))
        })?;
        gradient(dx, x)
    }
}

pub(super) fn rope(x: &Tensor, table: &RopeTable, offset: usize) -> Result<Tensor> {
    let [_b, t, _h, _d] = head_axes(x, table)?;
    turn(x, table.slices(offset, t)?)
}

pub(super) fn rope_at(x: &Tensor, table: &RopeTable, positions: &[u32]) -> Result<Tensor> {
    let [b, t, h, d] = head_axes(x, table)?;
    check_positions(b * t, positions)?;
    let (cos, sin) = table.gather(positions)?;
    // One long row, in which each token has angles of its own.
    let row = tape::reshape(x, (1, b * t, h, d))?;
    Ok(tape::reshape(&turn(&row, (&cos, &sin))?, (b, t, h, d))?)
}

/// Fails unless there is a position for each of `tokens`.
pub(super) fn check_positions(tokens: usize, positions: &[u32]) -> Result<()> {
    if positions.len() == tokens {
        return Ok(());
    }
    let problem = format!("{} positions for {tokens} tokens", positions.len());
    Err(Error::input(NAME, problem))
}

/// Cosines and sines of one pass, each `[T, D/2]`.
pub(super) type Turns<'a> = (&'a [f64], &'a [f64]);

/// D, and the angles of the tokens of `x [B, T, H, D]`.
pub(super) fn angles<'a>(
    x: &Tensor,
    table: &'a RopeTable,
    offset: usize,
) -> Result<(usize, Turns<'a>)> {
    let [_b, t, _h, d] = head_axes(x, table)?;
    Ok((d, table.slices(offset, t)?))
}

/// B, T, H and D.
fn head_axes(x: &Tensor, table: &RopeTable) -> Result<[usize; 4]> {
    let axes @ [_b, _t, _h, d] = axes("rope x", x, "B, T, H, D")?;
    if d != 2 * table.half {
        let expected = 2 * table.half;
        return Err(Error::input(
            NAME,
            format!("head size is {d}, the table's is {expected}"),
        ));
    }
    Ok(axes)
}

fn turn(x: &Tensor, angles: Turns) -> Result<Tensor> {
    Ok(match float_type(NAME, &[x])? {
        DType::F32 => tape::apply1(x, Rope::<f32>::new(angles))?,
        _ => tape::apply1(x, Rope::<f64>::new(angles))?,
    })
}
