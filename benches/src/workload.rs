//! Something that is done again and again and measured.

use crate::Result;

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

    /// How good what it made is, where that can be said: a loss.
    ///
    /// # Errors
    /// What the evaluation reports.
    fn score(&mut self) -> Result<Option<f64>> {
        Ok(None)
    }
}
