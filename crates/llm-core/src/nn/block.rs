//! One pre-norm transformer block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.

use candle_core::Tensor;

use super::{Attention, Mlp, Norm, Pass, Positions};
use crate::Result;
use crate::cache::LayerCache;
use crate::config::ModelConfig;
use crate::params::Weights;

/// A pre-norm block.
#[derive(Clone, Debug)]
pub struct Block {
    norm1: Norm,
    /// Reads other tokens.
    pub attention: Attention,
    norm2: Norm,
    /// Works on each token alone.
    pub mlp: Mlp,
    dropout: f64,
}

/// What the parts of a block are called in a model file.
#[derive(Clone, Copy, Debug)]
pub struct BlockNames {
    /// The norm before attention.
    pub norm1: &'static str,
    /// The attention.
    pub attention: &'static str,
    /// The norm before the feed-forward layer.
    pub norm2: &'static str,
    /// The feed-forward layer.
    pub mlp: &'static str,
}

impl Block {
    /// Layer `layer` of a model, from the tensors under `prefix`.
    ///
    /// # Errors
    /// A missing tensor or a wrong shape.
    pub fn load(
        weights: &mut Weights,
        config: &ModelConfig,
        layer: usize,
        prefix: &str,
        names: &BlockNames,
    ) -> Result<Self> {
        let c = config.hidden_size;
        let full = |part: &str| format!("{prefix}.{part}");
        Ok(Self {
            norm1: Norm::load(weights, config, &full(names.norm1), c)?,
            attention: Attention::load(weights, config, layer, &full(names.attention))?,
            norm2: Norm::load(weights, config, &full(names.norm2), c)?,
            mlp: Mlp::load(weights, config, &full(names.mlp))?,
            dropout: config.dropout.residual,
        })
    }

    /// # Shapes
    /// `x [B, T, C]` → `[B, T, C]`.
    pub fn forward(
        &self,
        x: &Tensor,
        at: &Positions,
        cache: Option<&mut LayerCache>,
        pass: &Pass,
    ) -> Result<Tensor> {
        let normed = self.norm1.forward(x, pass)?;
        let read = self.attention.read(&normed, at, cache, pass)?;
        let output = self.attention.output();
        let x = output.forward_onto(x, &read, self.dropout, pass)?;
        self.mlp.forward_onto(&x, &self.norm2, self.dropout, pass)
    }
}
