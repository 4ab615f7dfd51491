//! `deeper next`: the next command in reading order.

use anyhow::Result;
use clap::Args;
use llm_show::cards::CARDS;
use llm_show::{Card, LookArgs, Screen};

use crate::course::command;
use crate::course::exercise::Exercises;
use crate::course::progress::Progress;

/// A lesson that takes longer than this is worth an optimised build.
const SLOW_SECONDS: u32 = 10;

/// Name the next lesson in reading order
///
/// The first one that has not run, and the exercises that are open before it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  deeper next\n  deeper next --run")]
pub(crate) struct NextArgs {
    #[command(flatten)]
    pub look: LookArgs,
    /// Run the lesson as well
    #[arg(long)]
    run: bool,
}

/// Runs the verb and returns the exit code.
pub(crate) fn run(args: &NextArgs) -> Result<u8> {
    let mut weather = llm_show::stderr_weather(&args.look);
    let progress = Progress::load(&mut weather);
    let mut screen = llm_show::stdout_screen(&args.look);
    let next = CARDS
        .iter()
        .position(|card| progress.ran(card.binary).is_none());
    let Some(index) = next else {
        done(&mut screen, &progress);
        screen.finish()?;
        return Ok(0);
    };
    let card = &CARDS[index];
    let slow = card.seconds > SLOW_SECONDS;
    let release = if slow { "--release " } else { "" };
    screen.line(&command(&format!("run {release}{}", card.binary)));
    let place = format!("lesson {} of {} · {}", index + 1, CARDS.len(), card.shelf);
    screen.exhibit_line(&format!("{place} · about {} s", card.seconds));
    screen.say(card.question);
    if !card.needs.is_empty() {
        screen.say(&format!("needs {}", card.needs.join(", ")));
    }
    exercises(&mut screen, &CARDS[..index], &progress);
    screen.finish()?;
    match args.run {
        true => crate::run::lesson(card, slow, &args.look, &[]),
        false => Ok(0),
    }
}

/// The first exercise that is open in the lessons that have run.
fn exercises(screen: &mut Screen, behind: &[Card], progress: &Progress) {
    let open = |id: &&&str| progress.solved(id).is_none();
    let ids = || behind.iter().flat_map(|card| card.exercises);
    if let Some(first) = ids().find(open) {
        let open = match ids().filter(open).count() {
            1 => "1 exercise is open".to_owned(),
            more => format!("{more} exercises are open"),
        };
        let check = command(&format!("exercises check {first}"));
        screen.say(&format!("{open} before it, first {first}:"));
        screen.exhibit_line(&check);
    }
}

/// Every lesson has run; perhaps not every exercise is solved.
fn done(screen: &mut Screen, progress: &Progress) {
    let open = Exercises::load().ok();
    let open = open
        .as_ref()
        .and_then(|exercises| exercises.unsolved(progress));
    match open {
        Some(exercise) => {
            screen.line(&command(&format!("exercises check {}", exercise.id)));
            screen.say(&format!(
                "every lesson has run; this exercise is open: {}",
                exercise.title
            ));
        }
        None => {
            screen.line(&command("lessons"));
            screen.say("every lesson has run and every exercise is solved; take one again");
        }
    }
}
