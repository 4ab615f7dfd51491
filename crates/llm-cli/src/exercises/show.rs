//! What the learner sees of an exercise.

use std::path::Path;

use llm_show::look::{WIDTH, clip, left, wrap};
use llm_show::{Meaning, Screen};

use crate::course::check::{Check, Outcome, Verdict};
use crate::course::command;
use crate::course::exercise::{Exercise, Exercises};
use crate::course::progress::Progress;

/// Columns of a verdict's word.
const WORD: usize = 6;
/// Columns of text beside a verdict.
const BESIDE: usize = WIDTH - 3 - WORD;
/// Lines of the learner's own output that are shown.
const PRINTED: usize = 12;

/// All exercises by lesson, with what is solved.
pub(super) fn list(screen: &mut Screen, exercises: &Exercises, progress: &Progress) {
    let solved = |exercise: &&Exercise| progress.solved(&exercise.id).is_some();
    let count = exercises.all.iter().filter(solved).count();
    let facts = format!("{count} of {} solved", exercises.all.len());
    screen.header(
        "exercises",
        &facts,
        "Small files with holes, beside the lessons that they belong to.",
    );
    let names = exercises.all.iter().map(|exercise| exercise.id.len());
    let columns = names.max().unwrap_or(0) + 2;
    for lesson in exercises.all.chunk_by(|a, b| a.lesson == b.lesson) {
        let look = screen.look();
        screen.line("");
        let name = format!("{}/{}", lesson[0].shelf, lesson[0].lesson);
        screen.line(&look.paint(Meaning::Accent, &name));
        for exercise in lesson {
            let (word, meaning) = match solved(&exercise) {
                true => ("solved", Meaning::Good),
                false => ("open", Meaning::Muted),
            };
            let word = look.paint(meaning, &left(word, WORD));
            let space = WIDTH.saturating_sub(3 + WORD + 2 + columns);
            let title = clip(look, &look.text(&exercise.title), space);
            screen.line(&format!(
                "   {word}  {}{title}",
                left(&exercise.id, columns)
            ));
        }
    }
    screen.line("");
    next(screen, exercises.unsolved(progress));
}

/// What to do now.
pub(super) fn next(screen: &mut Screen, unsolved: Option<&Exercise>) {
    match unsolved {
        Some(exercise) => {
            screen.closing("Edit", &exercise.file());
            screen.closing(
                "Next",
                &command(&format!("exercises check {}", exercise.id)),
            );
        }
        None => screen.closing("Done", "every exercise is solved"),
    }
}

/// The hint of an exercise.
pub(super) fn hint(screen: &mut Screen, exercise: &Exercise) {
    screen.header(&exercise.id, &exercise.lesson, &exercise.title);
    screen.line("");
    screen.say(&exercise.hint);
    screen.line("");
    screen.closing("Edit", &exercise.file());
    let lesson = format!("run {}", exercise.lesson);
    screen.closing("Lesson", &command(&lesson));
}

/// Which exercise this is, and the file that is checked.
pub(super) fn title(screen: &mut Screen, exercises: &Exercises, exercise: &Exercise, file: &Path) {
    screen.header(&exercise.id, &exercise.lesson, &exercise.title);
    let shown = file.strip_prefix(&exercises.root).unwrap_or(file);
    let shown = shown.display().to_string().replace('\\', "/");
    let shown = screen.look().paint(Meaning::Muted, &shown);
    screen.line(&shown);
    screen.line("");
}

/// Every check, or what rustc says.
pub(super) fn outcome(screen: &mut Screen, outcome: &Outcome) {
    match outcome {
        Outcome::Errors(text) => errors(screen, text),
        Outcome::Interrupted => {}
        Outcome::Ran { checks, printed } => {
            let mut last = None;
            for one in checks {
                match last == Some(&one.verdict) {
                    true => heading(screen, one), // the same hole again
                    false => check(screen, one),
                }
                last = matches!(one.verdict, Verdict::Todo { .. }).then_some(&one.verdict);
            }
            own_output(screen, printed);
            screen.line("");
            let (holds, all) = outcome.score();
            let (text, meaning) = match holds == all {
                true => (format!("solved: all {all} checks hold"), Meaning::Good),
                false => (format!("{holds} of {all} checks hold"), Meaning::Warn),
            };
            let text = screen.look().paint(meaning, &text);
            screen.line(&text);
        }
    }
}

/// What rustc prints, as it prints it.
fn errors(screen: &mut Screen, text: &str) {
    text.lines().for_each(|line| screen.line(line));
}

/// One check: its verdict, and below it what a person needs to go on.
pub(super) fn check(screen: &mut Screen, check: &Check) {
    heading(screen, check);
    details(screen, check);
}

/// The verdict and what was checked.
fn heading(screen: &mut Screen, check: &Check) {
    let look = screen.look();
    let (word, meaning) = match &check.verdict {
        Verdict::Ok => ("ok", Meaning::Good),
        Verdict::Todo { .. } => ("todo", Meaning::Warn),
        _ => ("FAIL", Meaning::Bad),
    };
    let name = look.text(&check.name).into_owned();
    screen.line(&format!(
        "   {}{name}",
        look.paint(meaning, &left(word, WORD))
    ));
}

/// What was expected, what came, and what helps.
fn details(screen: &mut Screen, check: &Check) {
    match &check.verdict {
        Verdict::Ok => {}
        Verdict::Todo { text, place } => {
            beside(screen, "", text);
            beside(screen, "at ", place);
        }
        Verdict::Wrong {
            expected,
            got,
            remark,
        } => {
            beside(screen, "expected  ", expected);
            beside(screen, "got       ", got);
            beside(screen, "", remark);
        }
        Verdict::Panic { text, place } => {
            beside(screen, "panicked: ", text);
            beside(screen, "at ", place);
        }
        Verdict::Stopped(reason) => beside(screen, "", reason),
    }
    for advice in &check.advice {
        beside(screen, "", advice);
    }
}

/// Text under a check's name, continued under itself.
fn beside(screen: &mut Screen, name: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    let text = screen.look().text(text).into_owned();
    for (index, line) in wrap(&text, BESIDE - name.len()).iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        let width = if index == 0 { 0 } else { name.len() };
        screen.line(&format!(
            "   {}{name}{}{line}",
            " ".repeat(WORD),
            " ".repeat(width)
        ));
    }
}

/// What the learner's code printed while it was checked.
fn own_output(screen: &mut Screen, printed: &str) {
    let lines: Vec<&str> = printed.lines().collect();
    if lines.is_empty() {
        return;
    }
    screen.line("");
    screen.say("your code printed");
    for line in lines.iter().take(PRINTED) {
        let line = screen.look().text(line).into_owned();
        screen.line(&format!("   {} {line}", screen.look().glyph("│", "|")));
    }
    if let Some(more) = lines.len().checked_sub(PRINTED).filter(|more| *more > 0) {
        screen.say(&format!("… {more} more lines"));
    }
}
