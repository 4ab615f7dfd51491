//! What a person sees on a terminal.
//!
//! **stdout is the lesson, stderr is the weather**: results, shapes, tables and pictures go to a
//! [`Screen`]; device, progress, timings and measured differences go to [`Weather`]. Both write to
//! any writer, so that every layout is a unit test; [`run`], [`stdout_screen`] and
//! [`stderr_weather`] are the only places that touch the real streams.
//!
//! 1. [`args`]: [`LessonArgs`] and [`ToolArgs`], the flags that every program shares
//! 2. [`lesson`]: [`Card`], [`Lesson`] (checks, exercise, exit code), [`run`], [`report`]
//! 3. [`screen`]: the page: header, numbered steps, closing block
//! 4. [`exhibit`]: [`Shape`], [`Grid`], [`Table`], [`Bars`], [`Curve`], [`Region`]
//! 5. [`weather`]: notes, warnings, errors, progress, the training log
//! 6. [`number`] and [`look`]: number forms, colours by meaning, ASCII, widths
//! 7. [`svg`]: plots for the book
//! 8. [`golden`]: for tests: run a program, compare with a file
//!
//! A lesson is a card, the shared flags and a body:
//!
//! ```no_run
//! use clap::Parser;
//! use llm_show::{Card, Lesson, LessonArgs, Shape, Table};
//!
//! const CARD: Card = Card {
//!     number: "01",
//!     title: "halves",
//!     shelf: "basics",
//!     seconds: 1,
//!     question: "What is left after ten halvings?",
//!     takeaway: "a thousandth",
//!     read: "crates/llm-show/src/lib.rs",
//!     next: "02_math",
//!     tries: &["--seed 8"],
//!     exercise: "How many halvings leave less than 1e-6? --check NUMBER",
//! };
//!
//! /// What is left after ten halvings?
//! #[derive(Parser)]
//! struct Args {
//!     #[command(flatten)]
//!     common: LessonArgs,
//! }
//!
//! fn body(lesson: &mut Lesson) -> Result<(), Box<dyn std::error::Error>> {
//!     lesson.step("Halve ten times");
//!     lesson.shape("x", &[('T', 10)], "f64");
//!     let mut table = Table::new(&["step", "x"]);
//!     let mut x = 1.0_f64;
//!     for step in 1..=10_usize {
//!         x /= 2.0;
//!         table.row([step.into(), x.into()]);
//!     }
//!     lesson.show(&table);
//!     lesson.check("x = 2^-10", x - 2.0_f64.powi(-10), 0.0);
//!     lesson.solution(20.0, 0.0);
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let args = Args::parse();
//!     llm_show::run(&CARD, &args.common, body)
//! }
//! ```
//!
//! Tools use the same parts alone: [`stdout_screen`]`(&args.look)` for results,
//! [`stderr_weather`]`(&args.look)` for [`Weather::progress`] and [`Weather::training_row`], and
//! [`report`] for an error with its hint and exit code.

pub mod args;
pub mod exhibit;
pub mod golden;
pub mod lesson;
pub mod look;
pub mod number;
pub mod screen;
pub mod svg;
pub mod weather;

pub use args::{ColorChoice, DTypeName, DeviceName, LessonArgs, LookArgs, ToolArgs, after_help};
pub use exhibit::{
    Bars, Cell, Curve, Exhibit, Grid, GridStyle, Region, Shape, Shapes, Table, sparkline,
};
pub use lesson::{Card, Complaint, Lesson, report, run, stderr_weather, stdout_screen};
pub use look::{Look, Meaning};
pub use screen::Screen;
pub use weather::{TrainingRow, Weather};
