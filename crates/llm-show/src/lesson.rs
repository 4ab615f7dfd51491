//! A lesson from its header to its exit code.

use std::error::Error;
use std::fmt::Display;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::ops::{Deref, DerefMut};
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser};

use crate::args::{ColorChoice, LessonArgs, LookArgs};
use crate::card::Card;
use crate::look::{Look, Meaning};
use crate::number::{number, scientific, tolerance};
use crate::screen::Screen;
use crate::svg::Picture;
use crate::weather::Weather;

/// Exit code: a check failed.
pub const CHECK_FAILED: u8 = 1;
/// Exit code: bad input, configuration or file.
pub const BAD_INPUT: u8 = 2;
/// Exit code: reading or writing failed.
pub const IO_FAILED: u8 = 3;

/// An error with the command that helps and the exit code.
#[derive(Debug)]
pub struct Complaint {
    message: String,
    hint: Option<String>,
    code: u8,
}

impl Complaint {
    /// Bad input; the message is lower-case and says what was expected.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            code: BAD_INPUT,
        }
    }

    /// Adds what to type instead.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Ends the program with `code`.
    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

impl Display for Complaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Complaint {}

/// A running lesson: the page ([`Screen`], reached by deref), the weather, the checks so far.
pub struct Lesson<'w> {
    screen: Screen<'w>,
    /// What goes to stderr.
    pub weather: Weather<'w>,
    /// The flags that every lesson has.
    pub args: LessonArgs,
    checks: Vec<(String, bool)>,
    answer: Option<(String, bool)>,
    picture: Option<Result<(), Complaint>>,
}

impl<'w> Deref for Lesson<'w> {
    type Target = Screen<'w>;

    fn deref(&self) -> &Screen<'w> {
        &self.screen
    }
}

impl<'w> DerefMut for Lesson<'w> {
    fn deref_mut(&mut self) -> &mut Screen<'w> {
        // Output must not land behind a live progress line.
        self.weather.clear();
        &mut self.screen
    }
}

impl<'w> Lesson<'w> {
    /// Opens the lesson of `card` and writes its header.
    pub fn open(card: &Card, args: &LessonArgs, screen: Screen<'w>, weather: Weather<'w>) -> Self {
        let mut lesson = Self {
            screen,
            weather,
            args: args.clone(),
            checks: Vec::new(),
            answer: None,
            picture: None,
        };
        let title = [card.number(), card.title].map(str::trim);
        let title = title
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>();
        let facts = format!("{} · {} s · seed {}", card.shelf, card.seconds, args.seed);
        lesson.header(&title.join(" · "), &facts, card.question);
        lesson
    }

    /// A check that `difference` is at most `limit`; NaN fails. The measured value goes to stderr.
    pub fn check(&mut self, name: &str, difference: f64, limit: f64) {
        let measured = format!("Δ {}", scientific(difference, 1));
        let claim = format!("≤ {}", tolerance(limit));
        self.judge(name, &claim, difference.abs() <= limit, &measured);
    }

    /// A check that `value` lies in `low..=high`; the value goes to stderr.
    pub fn check_between(&mut self, name: &str, value: f64, (low, high): (f64, f64)) {
        let claim = format!("in [{}, {}]", tolerance(low), tolerance(high));
        self.judge(name, &claim, (low..=high).contains(&value), &number(value));
    }

    /// A check that two things that can be printed are equal.
    pub fn check_equal<T: PartialEq + Display>(&mut self, name: &str, value: &T, expected: &T) {
        self.judge(
            name,
            &format!("= {expected}"),
            value == expected,
            &value.to_string(),
        );
    }

    /// A check of anything else: `claim` says in a few words what holds.
    pub fn check_that(&mut self, name: &str, claim: &str, holds: bool) {
        self.judge(
            name,
            claim,
            holds,
            if holds { claim } else { "does not hold" },
        );
    }

    fn judge(&mut self, name: &str, claim: &str, holds: bool, measured: &str) {
        self.weather.note(&format!("   {name}: {measured}"));
        self.verdict(name, claim, holds);
        self.checks.push((name.to_owned(), holds));
    }

    /// The solution of the exercise as a number: an answer within `limit` of it is right.
    pub fn solution(&mut self, solution: f64, limit: f64) {
        let right = |given: &str| {
            given
                .replace([',', '_'], "")
                .parse::<f64>()
                .is_ok_and(|x| (x - solution).abs() <= limit)
        };
        self.solution_by(right);
    }

    /// The solution of the exercise as a word, compared without case.
    pub fn solution_word(&mut self, solution: &str) {
        self.solution_by(|given| given.eq_ignore_ascii_case(solution));
    }

    fn solution_by(&mut self, right: impl FnOnce(&str) -> bool) {
        if let Some(given) = self.args.check.clone().filter(|given| !given.is_empty()) {
            self.answer = Some((given.clone(), right(given.trim())));
        }
    }

    /// The lesson's picture: drawn and written where `--svg FILE` asks for it. A file that ends in
    /// `.png` gets pixels, which only heatmaps have.
    pub fn picture(&mut self, draw: impl FnOnce() -> Picture) {
        let Some(path) = self.args.svg.clone() else {
            return;
        };
        let name = path.display();
        let png = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("png"));
        let picture = draw();
        let bytes = if png {
            picture.png()
        } else {
            Some(picture.svg().as_bytes().to_vec())
        };
        let written = match bytes.map(|bytes| fs::write(&path, bytes)) {
            Some(Ok(())) => {
                self.weather.note(&format!("picture written to {name}"));
                Ok(())
            }
            Some(Err(error)) => Err(Complaint::new(format!("{name}: {error}")).code(IO_FAILED)),
            None => Err(Complaint::new(format!(
                "{name}: this lesson's picture is not made of pixels"
            ))
            .hint("name a file that ends in .svg")),
        };
        self.picture = Some(written);
    }

    /// What `--svg` asked for and did not get.
    fn missing_picture(&mut self) -> Option<Complaint> {
        match (self.args.svg.is_some(), self.picture.take()) {
            (_, Some(Err(complaint))) => Some(complaint),
            (true, None) => Some(Complaint::new("--svg: this lesson draws no picture")),
            _ => None,
        }
    }

    fn close(&mut self, card: &Card) {
        self.line("");
        self.closing("Takeaway", card.takeaway);
        self.closing("Read", card.reads.first().unwrap_or(&""));
        let next = card.next_binary().unwrap_or_default();
        let practice: Vec<String> = card
            .exercises
            .iter()
            .map(|id| format!("cargo deeper exercises check {id}"))
            .collect();
        let others = [("Next", next), ("Exercise", card.exercise)];
        for (name, text) in others.into_iter().filter(|(_, text)| !text.is_empty()) {
            self.closing(name, text);
        }
        if !practice.is_empty() {
            let practice: Vec<&str> = practice.iter().map(String::as_str).collect();
            self.closing_items("Practice", &practice);
        }
        if !card.tries.is_empty() {
            self.closing_items("Try", card.tries);
        }
        if self.args.check.is_some() {
            self.list_checks();
        }
    }

    fn list_checks(&mut self) {
        self.line("");
        let mut verdicts = self.checks.clone();
        match &self.answer {
            Some((given, right)) => {
                let what = if *right { "is right" } else { "is not it yet" };
                verdicts.push((format!("exercise: {given} {what}"), *right));
            }
            None => self.say("exercise: give your answer as --check ANSWER"),
        }
        for (name, holds) in verdicts {
            let look = self.look();
            let word = if holds {
                look.paint(Meaning::Good, "PASS")
            } else {
                look.paint(Meaning::Bad, "FAIL")
            };
            let name = look.text(&name).into_owned();
            self.line(&format!("   {word}  {name}"));
        }
    }

    /// The names of the checks that failed, the exercise among them.
    fn failed(&self) -> Vec<String> {
        let mut failed: Vec<String> = self
            .checks
            .iter()
            .filter(|(_, holds)| !holds)
            .map(|(name, _)| name.clone())
            .collect();
        if self.answer.as_ref().is_some_and(|(_, right)| !right) {
            failed.push("exercise".into());
        }
        failed
    }

    /// Closes the lesson and says how it went: 0, 1 for a failed check, 2 or 3 for an error.
    pub fn finish<E>(mut self, card: &Card, result: Result<(), E>) -> u8
    where
        E: AsRef<dyn Error + 'static>,
    {
        let mut code = 0;
        match result {
            Ok(()) => {
                self.close(card);
                let failed = self.failed();
                if !failed.is_empty() {
                    let of = self.checks.len() + usize::from(self.answer.is_some());
                    let message = format!(
                        "{} of {of} checks failed: {}",
                        failed.len(),
                        failed.join(", ")
                    );
                    self.weather.error(&message, None);
                    code = CHECK_FAILED;
                }
                if let Some(complaint) = self.missing_picture() {
                    code = report(&complaint, &mut self.weather);
                }
            }
            Err(error) => code = report(error.as_ref(), &mut self.weather),
        }
        match self.screen.finish() {
            Ok(()) => code,
            Err(error) => {
                self.weather.error(&format!("stdout: {error}"), None);
                IO_FAILED
            }
        }
    }
}

/// Writes `error` with its causes in one line, and its hint; returns the exit code.
///
/// A [`Complaint`] in the chain brings its own hint and code; an I/O error in it means
/// [`IO_FAILED`], anything else [`BAD_INPUT`].
pub fn report(error: &(dyn Error + 'static), weather: &mut Weather) -> u8 {
    let chain: Vec<&(dyn Error + 'static)> =
        std::iter::successors(Some(error), |error| (*error).source()).collect();
    let mut parts: Vec<String> = Vec::new();
    for part in chain.iter().map(|error| error.to_string()) {
        // Many errors already repeat their cause in their own message.
        if !parts.last().is_some_and(|last| last.contains(&part)) {
            parts.push(part);
        }
    }
    let complaint = chain
        .iter()
        .find_map(|error| error.downcast_ref::<Complaint>());
    weather.error(
        &parts.join(": "),
        complaint.and_then(|complaint| complaint.hint.as_deref()),
    );
    match complaint {
        Some(complaint) => complaint.code,
        None if chain.iter().any(|error| error.is::<io::Error>()) => IO_FAILED,
        None => BAD_INPUT,
    }
}

/// The look of a stream under the shared flags.
fn look(args: &LookArgs, choice: anstream::ColorChoice) -> Look {
    let color = match args.color {
        ColorChoice::Always => !args.plain,
        ColorChoice::Never => false,
        ColorChoice::Auto => !args.plain && choice != anstream::ColorChoice::Never,
    };
    Look {
        ascii: args.plain,
        color,
    }
}

fn anstream_choice(look: Look) -> anstream::ColorChoice {
    if look.color {
        anstream::ColorChoice::Always
    } else {
        anstream::ColorChoice::Never
    }
}

/// A page on stdout under the shared flags. Where stdout is no terminal, lines are collected into
/// blocks; [`Screen::finish`] hands out the last one.
pub fn stdout_screen(args: &LookArgs) -> Screen<'static> {
    let look = look(args, anstream::AutoStream::choice(&io::stdout()));
    let out = anstream::AutoStream::new(io::stdout(), anstream_choice(look));
    let out: Box<dyn Write> = if io::stdout().is_terminal() {
        Box::new(out)
    } else {
        Box::new(io::BufWriter::new(out))
    };
    Screen::new(out, look)
}

/// The weather on stderr under the shared flags.
pub fn stderr_weather(args: &LookArgs) -> Weather<'static> {
    Weather::stderr(
        look(args, anstream::AutoStream::choice(&io::stderr())),
        args.quiet,
    )
}

/// The flags of a lesson: those of every lesson, then its own.
#[derive(Parser)]
#[command(version)]
struct Flags<F: Args> {
    #[command(flatten)]
    common: LessonArgs,
    #[command(flatten)]
    own: F,
}

/// Runs a lesson on the real stdout and stderr: the body of every lesson's `main`.
///
/// `binary` is `env!("CARGO_BIN_NAME")`; it finds the lesson's card. `F` are the lesson's own flags.
pub fn teach<F: Args, E>(
    binary: &str,
    body: impl FnOnce(&mut Lesson, &F) -> Result<(), E>,
) -> ExitCode
where
    E: AsRef<dyn Error + 'static>,
{
    let Some(card) = Card::of(binary) else {
        let missing = Complaint::new(format!("lessons/catalog.toml has no lesson {binary}"));
        let mut weather = stderr_weather(&LookArgs::default());
        let hint = "add the entry, then: cargo xtask readme";
        return ExitCode::from(report(&missing.hint(hint), &mut weather));
    };
    let command = Flags::<F>::command()
        .name(card.binary)
        .about(card.question)
        .after_help(card.after_help());
    let flags = Flags::<F>::from_arg_matches(&command.get_matches());
    let Flags { common, own } = flags.unwrap_or_else(|error| error.exit());
    let (screen, weather) = (stdout_screen(&common.look), stderr_weather(&common.look));
    let mut lesson = Lesson::open(card, &common, screen, weather);
    let result = body(&mut lesson, &own);
    ExitCode::from(lesson.finish(card, result))
}
