//! From rows of text to a trained model: data, optimizer, loop, checkpoints, evaluation.
//!
//! Nothing here prints: the caller passes observers and shows the reports.

pub mod bootstrap;
pub mod clip;
pub mod error;
pub mod failure;
pub mod optimizer;
pub mod order;
pub mod schedule;
pub mod step;

pub use error::{Error, Result};
