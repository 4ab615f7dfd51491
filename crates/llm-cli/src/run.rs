//! `deeper run`: one lesson, by any of its names.

use std::process::Command;

use anyhow::Result;
use clap::Args;
use llm_show::{Card, ColorChoice, Complaint, LookArgs, Weather};

use crate::course;
use crate::course::progress::Progress;

/// What a shell adds to the number of the signal that ended a program.
#[cfg(unix)]
const SIGNAL: u8 = 128;

/// Run a lesson, and note that it ran
///
/// It runs as with `cargo run -q --bin LESSON`, in the root of the checkout.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  deeper run basics/03\n  deeper run softmax -- --scores \"1,1,1\"\n  \
deeper run hfcore/00\n\nExit codes: those of the lesson; 2 for a lesson that does not exist"
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub look: LookArgs,
    /// Build it optimised, for lessons that train
    #[arg(long)]
    pub release: bool,
    /// The lesson: its program, its number, shelf/number, or its id in the catalogue
    #[arg(value_name = "ID")]
    pub id: String,
    /// Flags for the lesson itself
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
}

/// Runs the verb and returns the lesson's exit code.
pub(crate) fn run(args: &RunArgs) -> Result<u8> {
    lesson(
        course::lesson(&args.id)?,
        args.release,
        &args.look,
        &args.args,
    )
}

/// Runs `card` with the terminal of this program; a success is noted.
pub(crate) fn lesson(card: &Card, release: bool, look: &LookArgs, args: &[String]) -> Result<u8> {
    let root = course::root()?;
    let mut weather = llm_show::stderr_weather(look);
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(&root).args(["run", "-q"]);
    if release {
        cargo.arg("--release");
    }
    // Variables that `cargo run` set for this program would reach the lesson's build as well.
    cargo
        .args(["--bin", card.binary, "--"])
        .args(words(look))
        .args(args);
    weather.note("building, which takes minutes the first time");
    let status = cargo.status().map_err(|error| {
        Complaint::new(format!("cargo does not start: {error}"))
            .hint("rustup gives you cargo: https://rustup.rs")
    })?;
    if status.success() {
        note(card, &mut weather);
        return Ok(0);
    }
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Ok(SIGNAL.saturating_add(signal as u8));
    }
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

fn note(card: &Card, weather: &mut Weather) {
    let mut progress = Progress::load(weather);
    let first = progress.ran(card.binary).is_none();
    progress.run(card.binary, weather);
    if first {
        let next = course::command("next");
        weather.note(&format!("noted: {} has run; {next}", card.binary));
    }
}

/// The look flags again, for the lesson.
fn words(look: &LookArgs) -> Vec<&'static str> {
    let mut words = Vec::new();
    if look.plain {
        words.push("--plain");
    }
    match look.color {
        ColorChoice::Auto => {}
        ColorChoice::Always => words.extend(["--color", "always"]),
        ColorChoice::Never => words.extend(["--color", "never"]),
    }
    if look.quiet {
        words.push("--quiet");
    }
    words
}
