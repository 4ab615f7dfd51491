//! Rotary position embedding.

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

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
        let end = offset + t;
        if end > self.positions {
            return Err(Error::input(
                "position",
                format!("{end} tokens do not fit the context of {}", self.positions),
            ));
        }
        let rows = |values: &[f64]| -> Result<Tensor> {
            let values = &values[offset * self.half..end * self.half];
            Ok(Tensor::from_slice(values, (t, self.half), &Device::Cpu)?
                .to_dtype(dtype)?
                .to_device(device)?)
        };
        Ok((rows(&self.cos)?, rows(&self.sin)?))
    }
}

pub(super) fn rope(x: &Tensor, table: &RopeTable, offset: usize) -> Result<Tensor> {
    super::composed::rope(x, table, offset)
}
