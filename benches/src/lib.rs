//! What this project measures itself on: shapes, workloads and how a figure is taken.
//!
//! 1. [`shape`]: the sizes, named and free; [`flops`]: how much arithmetic they are
//! 2. [`workload`]: something that runs again and again; [`train`], [`attention`], [`lora`],
//!    [`decode`], [`fit`] and [`rows`] are such things
//! 3. [`measure`]: times, medians, the memory of the process
//! 4. [`job`]: one line of JSON to a workload and back, for the scripts in `benches/peers`
//! 5. [`growth`]: how a step grows with the model and the text
//!
//! Criterion benches, the worker of `benches/peers` and `deeper bench` all run these workloads, so
//! that a name means one thing.

pub mod attention;
pub mod decode;
pub mod fit;
pub mod flops;
pub mod growth;
pub mod job;
pub mod lora;
pub mod measure;
pub mod rows;
pub mod shape;
pub mod train;
pub mod workload;

pub use measure::Times;
pub use shape::GptShape;
pub use workload::{Size, Workload};

/// The error of a workload is that of training, which every other one turns into.
pub use llm_train::{Error, Result};
