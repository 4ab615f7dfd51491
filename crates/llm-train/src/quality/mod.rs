//! What is wrong with a data set, before a model learns it.
//!
//! 1. [`read`]: every line of every file, also those that training refuses
//! 2. [`forms`]: when two texts count as the same; [`near`]: when they are nearly the same
//! 3. [`content`]: what a single text gives away; [`clean`]: what can be mended by rule
//! 4. [`mod@check`]: all of it over whole files, as [`report`]s [`Finding`]s with file and line
//! 5. [`leak`], [`split`], [`dedup`]: held-out questions that are trained on, parts that share
//!    no question, the first of each
//!
//! Files are streamed and texts are not kept: a row costs about 300 bytes of hashes, however long it
//! is ([`Report::index_bytes`] says how many). A million rows of 107 bytes measured 302 MiB, and
//! 449 MiB for the whole process while a table grew.
//!
//! ```
//! use llm_train::quality::{Kind, leakage};
//! let train = ["What is water?".to_string()];
//! let held = ["What is salt?".to_string(), "what is  WATER?".to_string()];
//! let leaks = leakage(&train, &held);
//! assert_eq!((leaks[0].train, leaks[0].held, leaks[0].kind), (0, 1, Kind::Whitespace));
//! assert_eq!(leaks.len(), 1);
//! ```

pub mod check;
pub mod clean;
pub mod content;
pub mod dedup;
pub mod forms;
pub mod leak;
mod lines;
pub mod near;
pub mod read;
pub mod report;
pub mod split;

pub use check::{Options, check};
pub use clean::{Mode, clean_text};
pub use forms::{Kind, normal_form};
pub use leak::{Leak, leakage};
pub use read::{Entries, Entry, Input, Part, Sample};
pub use report::{Finding, Place, Problem, Report, Severity};
