//! Watching a run, so that no fault stays silent.
//!
//! ```text
//! before   checks      labels, split, template, what is trained, how losses add up: by name
//! during   rules       warnings on loss, gradients, input, memory, once an episode, with a hint
//!          tensorboard event files        system   memory, processor, page faults, input time
//! after    diagnose    the fault's name from the run's files, with evidence and remedy
//! ```
//!
//! [`sabotage`] plants each fault that these are meant to find, for lessons and tests. [`Monitor`]
//! is the observer that writes what a run leaves behind; [`record`] reads it again.

pub mod checks;
pub mod diagnose;
pub mod failure;
pub mod input;
mod label_checks;
mod lines;
mod model_checks;
pub mod record;
pub mod rules;
pub mod sabotage;
pub mod system;
pub mod template;
pub mod tensorboard;
mod watch;

pub use watch::{Monitor, News};

/// What a session plants, and which failing checks it lets pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The fault that is planted.
    pub fault: Option<sabotage::Fault>,
    /// Names of checks that may fail: their result is recorded, and the run goes on.
    pub allow: Vec<String>,
}
