//! Layers made of [`crate::ops`].
//!
//! A layer owns its tensors, takes them from [`crate::params::Weights`] by name, and runs under a
//! [`Pass`], which says how: fused or composed operations, dropout on or off.

mod attention;
mod block;
mod linear;
mod mlp;
mod norm;

pub use attention::{Attention, Positions};
pub use block::{Block, BlockNames};
pub use linear::{Linear, LinearSpec, LoraLinear, Proj};
pub use mlp::Mlp;
pub use norm::Norm;

use std::cell::Cell;

use candle_core::Tensor;

use crate::Result;
use crate::ops::Ops;

/// How one forward pass runs: which operations, and whether dropout is on.
#[derive(Debug)]
pub struct Pass {
    /// The implementation of the operations.
    pub ops: Ops,
    /// The seed of the next dropout mask; `None` outside training.
    dropout_seed: Option<Cell<u64>>,
}

impl Pass {
    /// A pass without dropout.
    pub fn eval(ops: Ops) -> Self {
        Self {
            ops,
            dropout_seed: None,
        }
    }

    /// A training pass whose dropout masks follow from `seed`.
    pub fn train(ops: Ops, seed: u64) -> Self {
        Self {
            ops,
            dropout_seed: Some(Cell::new(seed)),
        }
    }

    /// Dropout with probability `p` under a mask of its own for each call; nothing outside
    /// training.
    ///
    /// # Shapes
    /// `x [..]` → `[..]`.
    pub fn dropout(&self, x: &Tensor, p: f64) -> Result<Tensor> {
        let Some(seed) = &self.dropout_seed else {
            return Ok(x.clone());
        };
        let this = seed.get();
        // Weyl steps keep the seeds of successive masks apart.
        seed.set(this.wrapping_add(0xD1B5_4A32_D192_ED03));
        self.ops.dropout(x, p, this)
    }
}
