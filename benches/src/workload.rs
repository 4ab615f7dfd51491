//! Something that is done again and again and measured.

use crate::{Place, Result};

/// How large one run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Tokens that a run works through.
    pub tokens: u64,
    /// Floating-point operations, see [`crate::flops`].
    pub flops: u64,
    /// Scalars of the model; 0 where there is none.
    pub parameters: u64,
}

/// A piece of work with everything that lives between two runs.
pub trait Workload {
    /// How large one run is.
    fn size(&self) -> Size;

    /// Does it once.
    ///
    /// # Errors
    /// What the work reports.
    fn run(&mut self) -> Result<()>;

    /// Where it computes; `None` for work that is always the CPU's.
    fn place(&self) -> Option<&Place> {
        None
    }

    /// Comes back when what the last run queued on a GPU is done.
    ///
    /// # Errors
    /// What went wrong there.
    fn wait(&self) -> Result<()> {
        self.place().map_or(Ok(()), Place::wait)
    }

    /// Bytes of weights and cache that a run has to read at least; 0 where that is no measure.
    fn bytes(&self) -> u64 {
        0
    }

    /// How good what it made is, where that can be said: a loss.
    ///
    /// # Errors
    /// What the evaluation reports.
    fn score(&mut self) -> Result<Option<f64>> {
        Ok(None)
    }
}
