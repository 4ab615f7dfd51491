//! A training run live on the terminal: the curve of the loss, speed and time left, learning rate and
//! gradient norm, what the machine does, warnings and answers.
//!
//! 1. [`state`]: what is shown, plain data that a caller updates
//! 2. [`draw`]: the state on a page of any size
//! 3. [`live`]: [`Dashboard`], which draws a few times a second on the other screen of the terminal,
//!    listens for `q`, and gives the terminal back as it was, on every way out
//!
//! It knows nothing of training: a program translates its events.

pub mod draw;
pub mod live;
pub mod state;

pub use live::Dashboard;
pub use state::{Row, Sample, State};
