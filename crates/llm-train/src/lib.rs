//! From rows of text to a trained model: data, optimizer, loop, checkpoints, evaluation.
//!
//! Read in this order:
//!
//! 1. [`data`]: files → rows; [`labels`]: rows → token ids with the labels that count, on all cores
//!    ([`encode`]) and at most once ([`tokens`], [`tokenize`]); [`batch`]: token ids → tensors;
//!    [`batching`], [`order`]: which rows when; [`convert`]: other programs' files → ours
//! 2. [`schedule`], [`clip`], [`optimizer`], [`scaler`], [`step`]: one optimizer step
//!    and [`objective`]: what a step lowers: the loss of tokens, preferences (DPO) or rewards (GRPO)
//! 3. [`audit`]: before the first step, does every tensor get the gradient it should?
//! 4. [`trainer`]: the loop; [`observe`]: who watches it; [`checkpoint`], [`resume`], [`logs`]: stop
//!    and go on
//! 5. [`evaluate`], [`bootstrap`]: what came of it, with intervals
//! 6. [`metrics`]: what a generated text is worth beside a reference
//! 7. [`config`], [`base`], [`prompt`], [`dataset`], [`runs`], [`session`], [`finetune`]: a whole run from a
//!    file of settings
//! 8. [`range_test`]: which learning rate; [`sweep`]: which settings
//! 9. [`eval`]: a whole evaluation from a file of settings; [`dsl`]: a small query language to learn
//! 10. [`quality`]: what is wrong with a data set, before all this
//! 11. [`chars`]: a model that reads characters, from one page of text
//! 12. [`synth`]: a closed world of generated text; [`tiny`]: the embedded model that learns it
//! 13. [`monitor`]: who watches a run: event files, warnings, checks by name, planted faults, diagnoses
//! 14. [`processes`]: several of them train one model
//!
//! Nothing here prints: the caller passes observers and shows the reports.

pub mod audit;
pub mod base;
pub mod batch;
pub mod batching;
pub mod bootstrap;
pub mod chars;
pub mod checkpoint;
pub mod clip;
pub mod config;
pub mod convert;
pub mod data;
pub mod dataset;
pub mod dsl;
pub mod encode;
pub mod error;
pub mod eval;
pub mod evaluate;
pub mod failure;
pub mod finetune;
pub mod labels;
pub mod logs;
pub mod metrics;
pub mod model;
pub mod monitor;
pub mod objective;
pub mod observe;
pub mod optimizer;
pub mod order;
pub mod processes;
pub mod prompt;
pub mod quality;
pub mod range_test;
pub mod resume;
pub mod runs;
pub mod scaler;
pub mod schedule;
pub mod session;
pub mod step;
pub mod sweep;
pub mod synth;
pub mod tiny;
pub mod tokenize;
pub mod tokens;
pub mod trainer;

pub use error::{Error, Result};
