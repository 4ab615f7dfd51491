//! What the lessons of this shelf share, so that each of them is short.
//!
//! 1. [`bundled`]: the embedded model and the question set, from wherever a program starts
//! 2. [`explain`]: [`teach`], whose errors bring the hints and exit codes of our crates
//! 3. [`tuning`]: the settings of a fine-tuning run by the model's size, and the run with its log,
//!    event files and curve
//! 4. [`cost`]: threads, time and memory of this process
//! 5. [`asked`]: what the lessons ask of a loaded model
//! 6. [`endpoint`]: an OpenAI-compatible server, for a judge
//! 7. [`rows`], [`results`]: a row as the loss sees it; what came of a run
//! 8. [`scoring`]: measures on one example each, three models on the same questions
//! 9. [`small`]: a small model of random numbers, to put adapters on
//! 10. [`rank`]: how much rank a change needs, on a change whose rank is known
//! 11. [`table`]: full training, LoRA and others measured beside each other, a process each

pub mod asked;
pub mod bundled;
pub mod cost;
pub mod endpoint;
pub mod explain;
pub mod groups;
pub mod rank;
pub mod results;
pub mod rows;
pub mod scoring;
pub mod small;
pub mod table;
pub mod tuning;

pub use explain::teach;
