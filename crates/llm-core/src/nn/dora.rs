//! Weight-decomposed adapters (DoRA, Liu et al. 2024): direction and length of a weight's rows apart.
//!
//! ```text
//! W' = m / n ⊙ (W + s · B A),    n = the length of each row of W + s · B A
//! ```
//!
//! A, B and the lengths m train. n is a constant of the step: no gradient flows through it (section
//! 4.3 of the paper, and PEFT). With B = 0 and `m = n` the weight is W, so a fresh adapter changes
//! nothing.
//!
//! The rows of W + s B A are never written down for their lengths:
//! `n² = ‖W‖² + 2 s Σᵣ B (A Wᵀ)ᵀ + s² Σᵣ B (A Aᵀ) ⊙ B`, whose first term is a constant.

use candle_core::{D, DType, Device, Tensor};

use super::{Linear, LoraLinear};
use crate::Result;
use crate::ops::Ops;

/// Rows of a weight that are widened at a time.
const ROWS: usize = 256;

/// The lengths that a [`LoraLinear`] gives the rows of its weight.
#[derive(Clone, Debug)]
pub struct Dora {
    /// m `[O]`
    pub magnitude: Tensor,
    /// ‖W‖² of each row `[O]`, f64 on the CPU and f32 elsewhere.
    squares: Tensor,
}

impl Dora {
    /// Lengths beside the frozen `base`.
    ///
    /// # Shapes
    /// `magnitude [O]`.
    ///
    /// # Errors
    /// A tensor error.
    pub fn new(base: &Linear, magnitude: Tensor) -> Result<Self> {
        let squares = squares(base.weight())?;
        Ok(Self { magnitude, squares })
    }

    /// The lengths of the rows of `W + s B A`, as constants.
    ///
    /// # Shapes
    /// `[O]`.
    ///
    /// # Errors
    /// A tensor error.
    pub(super) fn norms(&self, lora: &LoraLinear, ops: Ops) -> Result<Tensor> {
        let wide = self.squares.dtype();
        let (a, b) = (lora.a.detach(), lora.b.detach());
        // ANCHOR: norms
        // [R, O]: a product with the weight as it is stored, no wider copy of it
        let crossed = ops.linear(&a, &lora.base.weight().detach(), None)?;
        let crossed = crossed.detach().to_dtype(wide)?.t()?;
        let (a, b) = (a.to_dtype(wide)?, b.to_dtype(wide)?);
        let gram = a.matmul(&a.t()?.contiguous()?)?;
        let twice = ((&b * crossed)?.sum(D::Minus1)? * (2.0 * lora.scale))?;
        let own = ((b.matmul(&gram)? * &b)?.sum(D::Minus1)? * lora.scale.powi(2))?;
        let squares = ((&self.squares + twice)? + own)?;
        // ANCHOR_END: norms
        // A row of zeros has no direction: its tiny length keeps 0 / 0 out of the result.
        let least = f64::from(f32::MIN_POSITIVE);
        Ok(squares
            .maximum(least)?
            .sqrt()?
            .to_dtype(self.magnitude.dtype())?)
    }
}

/// The lengths that a fresh adapter starts with: those of the rows of W.
///
/// # Shapes
/// `base [O, I]` → `[O]` in `dtype`.
///
/// # Errors
/// A tensor error.
pub(crate) fn lengths(base: &Linear, dtype: DType) -> Result<Tensor> {
    let least = f64::from(f32::MIN_POSITIVE);
    let squares = squares(base.weight())?.maximum(least)?;
    Ok(squares.sqrt()?.to_dtype(dtype)?)
}

/// Σ W² of each row.
///
/// # Shapes
/// `weight [O, I]` → `[O]`.
fn squares(weight: &Tensor) -> Result<Tensor> {
    let device = weight.device();
    let rows = weight.dim(0)?;
    let mut sums: Vec<f64> = Vec::with_capacity(rows);
    for start in (0..rows).step_by(ROWS) {
        let part = weight.detach().narrow(0, start, ROWS.min(rows - start))?;
        let part = part.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
        sums.extend(part.sqr()?.sum(D::Minus1)?.to_vec1::<f64>()?);
    }
    let squares = Tensor::from_vec(sums, rows, &Device::Cpu)?;
    Ok(match device.is_cpu() {
        true => squares,
        false => squares.to_dtype(DType::F32)?.to_device(device)?,
    })
}
