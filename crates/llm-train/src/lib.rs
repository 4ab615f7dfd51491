//! From rows of text to a trained model: data, optimizer, loop, checkpoints, evaluation.
//!
//! Read in this order:
//!
//! 1. [`data`]: files → rows; [`labels`]: rows → token ids with the labels that count;
//!    [`batch`]: token ids → tensors; [`order`]: which rows when
//! 2. [`schedule`], [`clip`], [`optimizer`], [`step`]: one optimizer step
//! 3. [`audit`]: before the first step, does every tensor get the gradient it should?
//! 4. [`trainer`]: the loop; [`observe`]: who watches it; [`checkpoint`]: stop and go on
//! 5. [`evaluate`], [`bootstrap`]: what came of it, with intervals
//! 6. [`config`], [`base`], [`prompt`], [`dataset`], [`runs`], [`session`], [`finetune`]: a whole run from a
//!    file of settings
//! 7. [`monitor`]: who watches a run: event files, warnings, checks by name, planted faults, diagnoses
//! 8. [`chars`]: a model that reads characters, from one page of text
//!
//! Nothing here prints: the caller passes observers and shows the reports.

pub mod audit;
pub mod base;
pub mod batch;
pub mod bootstrap;
pub mod chars;
pub mod checkpoint;
pub mod clip;
pub mod config;
pub mod data;
pub mod dataset;
pub mod error;
pub mod evaluate;
pub mod failure;
pub mod finetune;
pub mod labels;
pub mod model;
pub mod monitor;
pub mod observe;
pub mod optimizer;
pub mod order;
pub mod prompt;
pub mod resume;
pub mod runs;
pub mod schedule;
pub mod session;
pub mod step;
pub mod trainer;

pub use error::{Error, Result};
