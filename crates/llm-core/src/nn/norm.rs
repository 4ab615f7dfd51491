//! The two norms of the decoder.

use candle_core::Tensor;

use super::Pass;
use crate::Result;
use crate::config::ModelConfig;
use crate::params::Weights;

/// A norm over the last axis.
#[derive(Clone, Debug)]
pub enum Norm {
    /// Scale only.
    Rms {
        /// `[C]`
        weight: Tensor,
        /// Inside the root.
        eps: f64,
    },
    /// Mean, scale and shift.
    Layer {
        /// `[C]`
        weight: Tensor,
        /// `[C]`
        bias: Tensor,
        /// Inside the root.
        eps: f64,
    },
}

impl Norm {
    /// The norm that `config` asks for, over `size` channels, from `{name}.weight` (and `.bias`).
    ///
    /// # Errors
    /// A missing tensor or a wrong shape.
    pub fn load(
        weights: &mut Weights,
        config: &ModelConfig,
        name: &str,
        size: usize,
    ) -> Result<Self> {
        let weight = weights.take(&format!("{name}.weight"), &[size])?;
        let eps = config.norm_eps;
        if !config.layer_norm() {
            return Ok(Self::Rms { weight, eps });
        }
        let bias = weights.take(&format!("{name}.bias"), &[size])?;
        Ok(Self::Layer { weight, bias, eps })
    }

    /// # Shapes
    /// `x [.., C]` → `[.., C]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        match self {
            Self::Rms { weight, eps } => pass.ops.rms_norm(x, weight, *eps),
            Self::Layer { weight, bias, eps } => pass.ops.layer_norm(x, weight, bias, *eps),
        }
    }
}
