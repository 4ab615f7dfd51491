//! Layers made of [`crate::ops`].
//!
//! A layer owns its tensors, takes them from [`crate::params::Weights`] by name, and runs under a
//! [`Pass`], which says how: fused or composed operations, dropout on or off.

mod attention;
mod block;
mod dora;
mod linear;
mod mlp;
mod norm;

pub use attention::{Attention, Positions};
pub use block::{Block, BlockNames};
pub use dora::Dora;
pub(crate) use dora::lengths;
pub use linear::{Linear, LinearSpec, LoraLinear, Proj};
pub use mlp::Mlp;
pub use norm::Norm;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::Tensor;

use crate::Result;
use crate::ops::{Ops, Segments, checkpoint};

/// How one forward pass runs: which operations, and whether dropout is on.
#[derive(Debug)]
pub struct Pass {
    /// The implementation of the operations.
    pub ops: Ops,
    /// The seed of the next dropout mask; `None` outside training.
    dropout_seed: Option<Cell<u64>>,
    /// Whether blocks forget their activations and run again in the backward pass.
    recomputes: bool,
    /// Where documents lie, in a batch of packed rows.
    segments: Option<Arc<Segments>>,
}

impl Pass {
    /// A pass without dropout.
    pub fn eval(ops: Ops) -> Self {
        Self {
            ops,
            dropout_seed: None,
            recomputes: false,
            segments: None,
        }
    }

    /// A training pass whose dropout masks follow from `seed`.
    pub fn train(ops: Ops, seed: u64) -> Self {
        Self {
            ops,
            dropout_seed: Some(Cell::new(seed)),
            recomputes: false,
            segments: None,
        }
    }

    /// The same with gradient checkpointing by block if `recomputes`: inside
    /// [`record`](crate::ops::record), a block's activations are computed again in the backward
    /// pass instead of being kept. The fused operations can.
    pub fn recomputing(self, recomputes: bool) -> Self {
        Self { recomputes, ..self }
    }

    /// The same over packed rows whose documents lie where `segments` says; `None` is rows of one
    /// document each.
    pub fn packed(self, segments: Option<Arc<Segments>>) -> Self {
        Self { segments, ..self }
    }

    /// Where the documents of packed rows lie.
    pub(crate) fn segments(&self) -> Option<&Arc<Segments>> {
        self.segments.as_ref()
    }

    /// Runs `work` on `x` under this pass, as one segment that is computed again in the backward
    /// pass where this pass asks for that.
    pub(crate) fn segment(
        &self,
        x: &Tensor,
        work: impl Fn(&Tensor, &Self) -> Result<Tensor> + 'static,
    ) -> Result<Tensor> {
        if !self.recomputes {
            return work(x, self);
        }
        // Both runs draw the same masks: each starts at this seed, and the first says where it
        // ended.
        let (ops, seed) = (self.ops, self.dropout_seed.as_ref().map(Cell::get));
        let segments = self.segments.clone();
        let end = Rc::new(Cell::new(seed));
        let ended = end.clone();
        let y = checkpoint(x, move |x| {
            let pass = Self {
                ops,
                dropout_seed: seed.map(Cell::new),
                recomputes: false,
                segments: segments.clone(),
            };
            let y = work(x, &pass)?;
            ended.set(pass.dropout_seed.as_ref().map(Cell::get));
            Ok(y)
        })?;
        if let (Some(seed), Some(end)) = (&self.dropout_seed, end.get()) {
            seed.set(end);
        }
        Ok(y)
    }

    /// Dropout with probability `p` under a mask of its own for each call; nothing outside
    /// training.
    ///
    /// # Shapes
    /// `x [..]` → `[..]`.
    pub fn dropout(&self, x: &Tensor, p: f64) -> Result<Tensor> {
        match self.dropout_seed() {
            Some(seed) => self.ops.dropout(x, p, seed),
            None => Ok(x.clone()),
        }
    }

    /// Whether dropout with probability `p` changes nothing here, so that an operation which has no
    /// place for it may stand for it and what it follows. Takes the mask's seed then, as
    /// [`Pass::dropout`] does.
    pub(crate) fn drops_nothing(&self, p: f64) -> bool {
        let nothing = p == 0.0 || self.dropout_seed.is_none();
        if nothing {
            let _mask = self.dropout_seed();
        }
        nothing
    }

    /// The seed of the next mask, another one at each call; `None` outside training.
    pub(crate) fn dropout_seed(&self) -> Option<u64> {
        let seed = self.dropout_seed.as_ref()?;
        let this = seed.get();
        // Weyl steps keep the seeds of successive masks apart.
        seed.set(this.wrapping_add(0xD1B5_4A32_D192_ED03));
        Some(this)
    }
}
