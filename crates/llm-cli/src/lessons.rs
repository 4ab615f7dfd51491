//! `deeper lessons`: the catalogue, and what of it has been run.

use anyhow::Result;
use clap::Args;
use llm_show::cards::CARDS;
use llm_show::look::{left, right};
use llm_show::{Card, LookArgs, Meaning, Screen};

use crate::course::progress::Progress;
use crate::course::{command, unknown};

/// Columns of a lesson's name.
const NAME: usize = 34;
/// Columns of the other facts.
const FACT: usize = 9;

/// Show every lesson, and which have run
///
/// In reading order, with the question that it answers, the seconds it takes, what it needs beyond
/// this repository, and how many of its exercises are solved.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  deeper lessons\n  deeper lessons --shelf basics\n  deeper run basics/03"
)]
pub(crate) struct LessonsArgs {
    #[command(flatten)]
    pub look: LookArgs,
    /// Only this shelf: basics, foundations, hfcore, inferencing or workshop
    #[arg(long, value_name = "S")]
    shelf: Option<String>,
}

pub(crate) fn run(args: &LessonsArgs) -> Result<()> {
    let shelves = CARDS.chunk_by(|a, b| a.shelf == b.shelf);
    if let Some(shelf) = &args.shelf
        && !CARDS.iter().any(|card| card.shelf == shelf)
    {
        let names = shelves.map(|cards| cards[0].shelf).collect::<Vec<_>>();
        let list = format!("the shelves are {}", names.join(", "));
        return Err(unknown("shelf", shelf, names, &list).into());
    }
    let mut weather = llm_show::stderr_weather(&args.look);
    let progress = Progress::load(&mut weather);
    let mut screen = llm_show::stdout_screen(&args.look);
    let chosen = |card: &Card| args.shelf.as_ref().is_none_or(|shelf| card.shelf == shelf);
    let ran = |cards: &[Card]| {
        cards
            .iter()
            .filter(|card| progress.ran(card.binary).is_some())
            .count()
    };
    screen.line(&format!(
        "{} of {} lessons have run",
        ran(CARDS),
        CARDS.len()
    ));
    for cards in shelves.filter(|cards| chosen(&cards[0])) {
        screen.line("");
        header(&mut screen, cards[0].shelf);
        for card in cards {
            row(&mut screen, card, &progress);
        }
    }
    screen.line("");
    let next = CARDS
        .iter()
        .find(|card| chosen(card) && progress.ran(card.binary).is_none());
    match next {
        Some(card) => screen.closing("Next", &command(&format!("run {}", card.binary))),
        None => screen.closing("Done", "every lesson here has run"),
    }
    Ok(screen.finish()?)
}

fn header(screen: &mut Screen, shelf: &str) {
    let look = screen.look();
    let facts = ["seconds", "exercises", "needs"].map(|name| right(name, FACT + 1));
    let facts = look.paint(Meaning::Muted, &facts.concat());
    let shelf = look.paint(Meaning::Accent, &left(shelf, 5 + NAME));
    screen.line(&format!("{shelf}{facts}"));
}

/// A lesson: its mark, name and facts, and its question below.
fn row(screen: &mut Screen, card: &Card, progress: &Progress) {
    let look = screen.look();
    let mark = if progress.ran(card.binary).is_some() {
        "ran"
    } else {
        ""
    };
    let mark = look.paint(Meaning::Good, &left(mark, 5));
    let solved = card
        .exercises
        .iter()
        .filter(|id| progress.solved(id).is_some())
        .count();
    let exercises = match card.exercises.len() {
        0 => look.text("–").into_owned(),
        all => format!("{solved}/{all}"),
    };
    let needs = match card.needs {
        [] => look.text("–").into_owned(),
        needs => needs.join(","),
    };
    let facts = [card.seconds.to_string(), exercises, needs].map(|fact| right(&fact, FACT + 1));
    screen.line(&format!(
        "{mark}{}{}",
        left(card.binary, NAME),
        facts.concat()
    ));
    let question = look.paint(Meaning::Muted, &look.text(card.question));
    screen.line(&format!("     {question}"));
}
