//! The feed-forward half of a block.

use candle_core::Tensor;

use super::{LinearSpec, Norm, Pass, Proj};
use crate::Result;
use crate::config::{MlpKind, ModelConfig};
use crate::ops::{GatedMlp, GeluKind};
use crate::params::Weights;

/// Two or three projections with an activation between.
#[derive(Clone, Debug)]
pub enum Mlp {
    /// `down(silu(gate(x)) · up(x))`.
    SwiGlu {
        /// `[F, C]`
        gate: Proj,
        /// `[F, C]`
        up: Proj,
        /// `[C, F]`
        down: Proj,
    },
    /// `down(gelu(up(x)))`.
    Gelu {
        /// `[F, C]`
        up: Proj,
        /// `[C, F]`
        down: Proj,
        /// Which formula.
        kind: GeluKind,
    },
}

impl Mlp {
    /// The feed-forward layer under `name`.
    ///
    /// # Errors
    /// A missing tensor or a wrong shape.
    pub fn load(weights: &mut Weights, config: &ModelConfig, name: &str) -> Result<Self> {
        let (c, f) = (config.hidden_size, config.intermediate_size);
        let mut projection = |part: &str, inputs, outputs| {
            let name = format!("{name}.{part}");
            let (bias, transposed) = (config.mlp_bias, config.learned_positions());
            Proj::load(
                weights,
                &LinearSpec {
                    name: &name,
                    inputs,
                    outputs,
                    bias,
                    transposed,
                },
            )
        };
        Ok(match config.mlp {
            MlpKind::SwiGlu => Self::SwiGlu {
                gate: projection("gate_proj", c, f)?,
                up: projection("up_proj", c, f)?,
                down: projection("down_proj", f, c)?,
            },
            MlpKind::Gelu(kind) => Self::Gelu {
                up: projection("c_fc", c, f)?,
                down: projection("c_proj", f, c)?,
                kind,
            },
        })
    }

    /// `x + dropout(mlp(norm(x)))`.
    ///
    /// # Shapes
    /// `x [B, T, C]` → `[B, T, C]`.
    pub fn forward_onto(
        &self,
        x: &Tensor,
        norm: &Norm,
        dropout: f64,
        pass: &Pass,
    ) -> Result<Tensor> {
        let dense = match (self, norm) {
            (
                Self::SwiGlu {
                    gate: Proj::Dense(gate),
                    up: Proj::Dense(up),
                    down: Proj::Dense(down),
                },
                Norm::Rms { weight, eps },
            ) => Some(GatedMlp {
                norm: weight,
                eps: *eps,
                gate: gate.parts(),
                up: up.parts(),
                down: down.parts(),
            }),
            _ => None,
        };
        match dense {
            Some(mlp) if pass.drops_nothing(dropout) => pass.ops.gated_mlp(x, &mlp),
            _ => {
                let inner = self.inner(&norm.forward(x, pass)?, pass)?;
                self.down().forward_onto(x, &inner, dropout, pass)
            }
        }
    }

    /// # Shapes
    /// `x [B, T, C]` → `[B, T, C]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        self.down().forward(&self.inner(x, pass)?, pass)
    }

    /// What `down` reads.
    ///
    /// # Shapes
    /// `x [B, T, C]` → `[B, T, F]`.
    fn inner(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        match self {
            Self::SwiGlu { gate, up, .. } => pass
                .ops
                .swiglu(&gate.forward(x, pass)?, &up.forward(x, pass)?),
            Self::Gelu { up, kind, .. } => pass.ops.gelu(&up.forward(x, pass)?, *kind),
        }
    }

    fn down(&self) -> &Proj {
        match self {
            Self::SwiGlu { down, .. } | Self::Gelu { down, .. } => down,
        }
    }

    /// The projections with their last name, in file order.
    pub fn projections_mut(&mut self) -> Vec<(&'static str, &mut Proj)> {
        match self {
            Self::SwiGlu { gate, up, down } => {
                vec![("gate_proj", gate), ("up_proj", up), ("down_proj", down)]
            }
            Self::Gelu { up, down, .. } => vec![("c_fc", up), ("c_proj", down)],
        }
    }
}
