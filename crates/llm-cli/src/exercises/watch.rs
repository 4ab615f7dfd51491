//! `deeper exercises watch`: a check at every save.
//!
//! The file is read ten times a second and compared with what was checked last. That needs no
//! notification from the system, and it does not matter whether an editor writes into the file,
//! puts a new one in its place, or saves over a network.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use llm_show::{LookArgs, Meaning, Screen, Weather};

use super::{WatchArgs, show};
use crate::course::check::{Check, Checker, Outcome, Verdict};
use crate::course::command;
use crate::course::exercise::{Exercise, Exercises};
use crate::course::progress::Progress;

/// Between two looks at the file.
const GLANCE: Duration = Duration::from_millis(100);
/// A save is over when the file stays the same for this long.
const SETTLED: Duration = Duration::from_millis(30);
/// Ctrl-C, as shells count it.
const INTERRUPTED: u8 = 130;

/// How following one exercise ended.
enum Followed {
    Solved,
    Stopped,
}

struct Watch<'a> {
    exercises: &'a Exercises,
    look: LookArgs,
    limit: Duration,
    stop: Arc<AtomicBool>,
}

pub(super) fn run(
    args: &WatchArgs,
    exercises: &Exercises,
    mut progress: Progress,
    mut weather: Weather,
) -> Result<u8> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    ctrlc::set_handler(move || raised.store(true, Ordering::SeqCst))
        .context("cannot listen for Ctrl-C")?;
    let watch = Watch {
        exercises,
        look: args.look,
        limit: args.limit.limit(),
        stop,
    };
    let mut current = match &args.id {
        Some(id) => Some(exercises.named(id)?),
        None => exercises.unsolved(&progress),
    };
    while let Some(exercise) = current {
        watch.announce(exercise, &progress)?;
        match watch.follow(exercise)? {
            Followed::Stopped => return Ok(INTERRUPTED),
            Followed::Solved => progress.solve(&exercise.id, &mut weather),
        }
        current = exercises
            .unsolved(&progress)
            .filter(|next| next.id != exercise.id);
    }
    let mut screen = llm_show::stdout_screen(&args.look);
    show::next(&mut screen, exercises.unsolved(&progress));
    screen.finish()?;
    Ok(0)
}

impl Watch<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Writes a few lines at once, whatever stdout is.
    fn write(&self, lines: impl FnOnce(&mut Screen)) -> Result<()> {
        let mut screen = llm_show::stdout_screen(&self.look);
        lines(&mut screen);
        Ok(screen.finish()?)
    }

    fn announce(&self, exercise: &Exercise, progress: &Progress) -> Result<()> {
        let all = &self.exercises.all;
        let solved = all
            .iter()
            .filter(|exercise| progress.solved(&exercise.id).is_some());
        let facts = format!("{} of {} solved · Ctrl-C ends", solved.count(), all.len());
        self.write(|screen| {
            screen.line("");
            screen.header(&exercise.id, &facts, &exercise.title);
            screen.closing("Edit", &exercise.file());
            screen.closing("Hint", &command(&format!("exercises hint {}", exercise.id)));
        })
    }

    /// Checks the exercise now and at every change, until it is solved or the person stops.
    fn follow(&self, exercise: &Exercise) -> Result<Followed> {
        let file = self.exercises.root.join(exercise.file());
        let mut checked: Option<Vec<u8>> = None;
        let mut missing = false;
        while !self.stopped() {
            match settled(&file) {
                Some(text) if checked.as_ref() != Some(&text) => {
                    missing = false;
                    if self.check(exercise, &file, &text)? {
                        return Ok(Followed::Solved);
                    }
                    checked = Some(text);
                }
                None if !missing && !file.exists() => {
                    // Some editors put a new file in the old one's place; this is longer than that.
                    std::thread::sleep(GLANCE);
                    if !file.exists() {
                        missing = true;
                        self.write(|screen| screen.line("the file is gone; waiting for it"))?;
                    }
                }
                _ => std::thread::sleep(GLANCE),
            }
        }
        Ok(Followed::Stopped)
    }

    /// One check, with what is in the way; true when solved. A change ends it early.
    fn check(&self, exercise: &Exercise, file: &Path, text: &[u8]) -> Result<bool> {
        let changed = || std::fs::read(file).is_ok_and(|now| now != text);
        let interrupted = || self.stopped() || changed();
        let color = llm_show::stdout_screen(&self.look).look().color;
        let checker = Checker {
            limit: self.limit,
            color,
            interrupted: &interrupted,
        };
        let outcome = match checker.check(self.exercises, exercise, file) {
            // The file may go away between a look and a check.
            Err(_) if !file.exists() => return Ok(false),
            outcome => outcome?,
        };
        self.write(|screen| status(screen, &outcome))?;
        Ok(outcome.solved())
    }
}

/// The text of a file that nobody is writing at this moment.
fn settled(file: &Path) -> Option<Vec<u8>> {
    let first = std::fs::read(file).ok()?;
    std::thread::sleep(SETTLED);
    let second = std::fs::read(file).ok()?;
    (first == second).then_some(second)
}

/// The first thing in the way, and how far it is.
fn status(screen: &mut Screen, outcome: &Outcome) {
    match outcome {
        Outcome::Interrupted => return,
        Outcome::Errors(_) => show::outcome(screen, outcome),
        Outcome::Ran { checks, .. } => {
            let holds = |check: &&Check| check.verdict != Verdict::Ok;
            if let Some(first) = checks.iter().find(holds) {
                show::check(screen, first);
            }
        }
    }
    let (text, meaning) = match outcome.score() {
        (_, 0) => ("it does not compile yet".into(), Meaning::Warn),
        (holds, all) if holds == all => (format!("solved: all {all} checks hold"), Meaning::Good),
        (holds, all) => (format!("{holds} of {all} checks hold"), Meaning::Warn),
    };
    let text = screen.look().paint(meaning, &text);
    screen.line(&text);
}
