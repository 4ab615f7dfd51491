//! `deeper exercises`: the list, and how to work on one.

mod show;
mod watch;

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use llm_show::{Complaint, LookArgs};

use crate::course::check::Checker;
use crate::course::command;
use crate::course::exercise::Exercises;
use crate::course::progress::Progress;

/// Seconds that the checks of an exercise may run.
const LIMIT: f64 = 10.0;
/// A check failed.
const CHECK_FAILED: u8 = 1;

/// List the exercises; check one, get a hint, or watch while you edit
///
/// An exercise is one file below lessons/exercises/ with holes (`todo!`). Edit it in place.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  deeper exercises\n  deeper exercises check stable_softmax\n  \
deeper exercises watch\n\nFiles written:\n  progress.json in your data folder, or in the one that \
DEEPER_DATA names"
)]
pub(crate) struct ExercisesArgs {
    #[command(flatten)]
    look: LookArgs,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    Check(CheckArgs),
    Hint(HintArgs),
    Watch(WatchArgs),
}

/// Compile an exercise and run its checks against golden values
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 solved · 1 a check failed · 2 no such exercise")]
struct CheckArgs {
    #[command(flatten)]
    look: LookArgs,
    /// Its id, or the path of a file named like it; without one the first that is not solved
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    limit: LimitArgs,
}

/// Say what helps, without giving the code
#[derive(Args, Debug)]
struct HintArgs {
    #[command(flatten)]
    look: LookArgs,
    /// Its id; without one the first that is not solved
    #[arg(value_name = "ID")]
    id: Option<String>,
}

/// Check at every save, and move on when an exercise is solved
///
/// It begins with the first exercise that is not solved, or with the one you name. Ctrl-C ends it.
#[derive(Args, Debug)]
struct WatchArgs {
    #[command(flatten)]
    look: LookArgs,
    /// Where to begin; without one the first that is not solved
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    limit: LimitArgs,
}

#[derive(Args, Clone, Copy, Debug)]
struct LimitArgs {
    /// Seconds that the checks may run, above 0 to 3600
    #[arg(long, default_value_t = LIMIT, value_name = "S", value_parser = seconds)]
    seconds: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text
        .parse::<f64>()
        .ok()
        .filter(|seconds| *seconds > 0.0 && *seconds <= 3600.0);
    number.ok_or_else(|| "expected a number above 0 and up to 3600".into())
}

impl LimitArgs {
    fn limit(self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

impl ExercisesArgs {
    /// The look flags, wherever they were given.
    pub(crate) fn look(&self) -> LookArgs {
        match &self.action {
            None => self.look,
            Some(Action::Check(args)) => args.look,
            Some(Action::Hint(args)) => args.look,
            Some(Action::Watch(args)) => args.look,
        }
    }
}

/// Runs the verb and returns the exit code.
pub(crate) fn run(args: &ExercisesArgs) -> Result<u8> {
    let look = args.look();
    let mut weather = llm_show::stderr_weather(&look);
    let exercises = Exercises::load()?;
    let mut progress = Progress::load(&mut weather);
    let mut screen = llm_show::stdout_screen(&look);
    match &args.action {
        None => show::list(&mut screen, &exercises, &progress),
        Some(Action::Hint(args)) => {
            let exercise = match &args.id {
                Some(id) => exercises.named(id)?,
                None => exercises.unsolved(&progress).ok_or_else(all_solved)?,
            };
            show::hint(&mut screen, exercise);
        }
        Some(Action::Check(args)) => {
            let (exercise, file) = match &args.id {
                Some(id) => exercises.file_of(id)?,
                None => {
                    exercises.file_of(&exercises.unsolved(&progress).ok_or_else(all_solved)?.id)?
                }
            };
            let color = screen.look().color;
            let checker = Checker {
                limit: args.limit.limit(),
                color,
                interrupted: &|| false,
            };
            let outcome = checker.check(&exercises, exercise, &file)?;
            show::title(&mut screen, &exercises, exercise, &file);
            show::outcome(&mut screen, &outcome);
            if !outcome.solved() {
                screen.finish()?;
                return Err(open(exercise, &outcome));
            }
            // A solution that was read proves nothing about the learner.
            if is_own(&exercises, exercise, &file) {
                progress.solve(&exercise.id, &mut weather);
            }
            show::next(&mut screen, exercises.unsolved(&progress));
        }
        Some(Action::Watch(args)) => {
            screen.finish()?;
            return watch::run(args, &exercises, progress, weather);
        }
    }
    screen.finish()?;
    Ok(0)
}

fn is_own(
    exercises: &Exercises,
    exercise: &crate::course::exercise::Exercise,
    file: &std::path::Path,
) -> bool {
    let own = exercises.root.join(exercise.file()).canonicalize();
    own.is_ok_and(|own| file.canonicalize().is_ok_and(|file| file == own))
}

/// There is nothing left to choose by itself.
fn all_solved() -> Complaint {
    Complaint::new("every exercise is solved, so name one").hint(command("exercises"))
}

/// The exercise is not solved yet.
fn open(
    exercise: &crate::course::exercise::Exercise,
    outcome: &crate::course::check::Outcome,
) -> anyhow::Error {
    let problem = match outcome.score() {
        (_, 0) => format!("{} does not compile yet", exercise.id),
        (holds, all) => format!("{holds} of {all} checks of {} hold", exercise.id),
    };
    let hint = command(&format!("exercises hint {}", exercise.id));
    Complaint::new(problem).hint(hint).code(CHECK_FAILED).into()
}
