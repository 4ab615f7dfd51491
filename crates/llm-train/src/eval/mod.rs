//! Evaluation: a model, questions that it was not trained on, numbers with intervals.
//!
//! 1. [`EvalConfig`]: the settings; [`Named`]: what `model_path` means
//! 2. [`Material`]: data → questions; [`Leakage`]: which of them were trained on
//! 3. [`Evaluation`]: asks, row by row, and can go on after a stop
//! 4. [`Record`]: a question with its answer and scores; [`Report`]: the numbers
//! 5. [`compare()`]: finished evaluations side by side, rows paired
//! 6. [`choice`]: log-likelihoods of choices, and the loaders of public benchmarks;
//!    [`humaneval`]: programs, written but never run; [`canary`]: secrets learned by heart;
//!    [`judge`]: another model compares two answers
//!
//! Prompts become tokens by the same [`crate::prompt::Codec`] as in training, so that a question
//! here has exactly the ids that a training row's prompt has, and only new tokens are scored: the
//! prompt is never part of an answer.

pub mod canary;
pub mod choice;
mod compare;
mod config;
mod graded;
pub mod humaneval;
pub mod judge;
mod leak;
mod lines;
mod material;
mod record;
mod report;
mod results;
mod run;
mod subject;

pub use compare::{Compared, Finished, compare};
pub use config::{EvalConfig, Grammar, Task};
pub use leak::Leakage;
pub use material::Material;
pub use record::{Choice, Loss, Record};
pub use report::{Metric, Report};
pub use results::ResultFolder;
pub use run::Evaluation;
pub use subject::{Named, Reply, Subject};
