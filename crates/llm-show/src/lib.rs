//! What a person sees on a terminal.
//!
//! **stdout is the lesson, stderr is the weather**: results, shapes, tables and pictures go to a
//! [`Screen`]; device, progress, timings and measured differences go to [`Weather`]. Both write to
//! any writer, so that every layout is a unit test; [`teach`], [`stdout_screen`] and
//! [`stderr_weather`] are the only places that touch the real streams.
//!
//! 1. [`args`]: [`LessonArgs`] and [`ToolArgs`], the flags that every program shares
//! 2. [`card`] and [`cards`]: the facts of each lesson; [`lesson`]: [`Lesson`] (checks, exercise,
//!    picture, exit code), [`teach`], [`report`]
//! 3. [`screen`]: the page: header, numbered steps, closing block
//! 4. [`exhibit`]: [`Shape`], [`Grid`], [`Table`], [`Bars`], [`Histogram`], [`Curve`], [`Region`]
//! 5. [`weather`]: notes, warnings, errors, progress, the training log
//! 6. [`number`] and [`look`]: number forms, colours by meaning, ASCII, widths
//! 7. [`svg`]: plots for the book; [`read`]: numbers that a learner types
//! 8. [`golden`]: for tests: run a program, compare with a file
//!
//! A lesson is its own flags and a body; its facts stand in `lessons/catalog.toml`:
//!
//! ```no_run
//! use clap::Args;
//! use llm_show::{Lesson, Table};
//!
//! /// Own flags.
//! #[derive(Args)]
//! struct Own {
//!     /// How often to halve
//!     #[arg(long, default_value_t = 10, value_name = "N")]
//!     steps: usize,
//! }
//!
//! fn run(lesson: &mut Lesson, own: &Own) -> Result<(), Box<dyn std::error::Error>> {
//!     lesson.step("Halve and halve again");
//!     lesson.shape("x", &[('T', own.steps)], "f64");
//!     let mut table = Table::new(&["step", "x"]);
//!     let mut x = 1.0_f64;
//!     for step in 1..=own.steps {
//!         x /= 2.0;
//!         table.row([step.into(), x.into()]);
//!     }
//!     lesson.show(&table);
//!     lesson.check("x = 2^-steps", x - 2.0_f64.powi(-(own.steps as i32)), 0.0);
//!     lesson.solution(20.0, 0.0);
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     llm_show::teach("01_perceptron", run) // in a lesson: env!("CARGO_BIN_NAME")
//! }
//! ```
//!
//! Tools use the same parts alone: [`stdout_screen`]`(&args.look)` for results,
//! [`stderr_weather`]`(&args.look)` for [`Weather::progress`] and [`Weather::training_row`], and
//! [`report`] for an error with its hint and exit code.

pub mod args;
pub mod card;
pub mod cards;
pub mod exhibit;
pub mod golden;
pub mod lesson;
pub mod look;
pub mod number;
pub mod read;
pub mod screen;
pub mod svg;
pub mod weather;

pub use args::{ColorChoice, DTypeName, DeviceName, LessonArgs, LookArgs, ToolArgs};
pub use card::Card;
pub use exhibit::{
    Bars, Cell, Curve, Exhibit, Grid, GridStyle, Histogram, Region, Shape, Shapes, Table, sparkline,
};
pub use lesson::{Complaint, Lesson, report, stderr_weather, stdout_screen, teach};
pub use look::{Look, Meaning};
pub use screen::Screen;
pub use weather::{TrainingRow, Weather};
