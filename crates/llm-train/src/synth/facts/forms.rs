//! How facts are said and asked.
//!
//! `{s}` is the subject, `{x}` the subject with its article, `{a}` the answer, `{u}` the unit.

use super::tables::{ANIMALS, COUNTRIES, DAYS, ELEMENTS, MEASURES, MONTHS};
use super::{Fact, Relation};
use crate::synth::words::with_article;

// The tables of words below are laid out by hand: a line a use, not a line a sentence.

/// The words of a relation: its name, the sentence that answers, other statements, questions, and
/// a question that follows on another of the relation.
type Words = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
);

#[rustfmt::skip]
const CAPITAL: Words = (
    "capital",
    "The capital of {s} is {a}.",
    &["{a} is the capital city of {s}.", "{s} has {a} as its capital.", "In {s} the capital is called {a}."],
    &["What is the capital of {s}?", "Which city is the capital of {s}?", "Name the capital of {s}.",
      "Tell me the capital of {s}.", "Do you know the capital of {s}?", "What is the capital city of {s} called?",
      "I want to know the capital of {s}.", "Which capital does {s} have?"],
    "And the capital of {s}?",
);
#[rustfmt::skip]
const CAPITAL_OF: Words = (
    "capital_of",
    "{s} is the capital of {a}.",
    &["The country with the capital {s} is {a}.", "{s} lies in {a} and is its capital."],
    &["Which country has the capital {s}?", "{s} is the capital of which country?", "Of which country is {s} the capital?",
      "Name the country whose capital is {s}.", "Tell me which country {s} is the capital of.", "To which country does the capital {s} belong?"],
    "And which country has the capital {s}?",
);
#[rustfmt::skip]
const CONTINENT: Words = (
    "continent",
    "{s} is in {a}.",
    &["{s} is a country in {a}.", "On the map you find {s} in {a}."],
    &["Which continent is {s} in?", "On which continent is {s}?", "Where in the world is {s}?", "Tell me the continent of {s}.",
      "In which part of the world do you find {s}?", "What continent does {s} belong to?"],
    "And where is {s}?",
);
#[rustfmt::skip]
const LEGS: Words = (
    "legs",
    "{X} has {a} legs.",
    &["The number of legs of {x} is {a}.", "Every {s} has {a} legs."],
    &["How many legs does {x} have?", "How many legs has {x}?", "What is the number of legs of {x}?", "Tell me how many legs {x} has.",
      "On how many legs does {x} stand?", "Do you know how many legs {x} has?"],
    "And how many legs has {x}?",
);
#[rustfmt::skip]
const SOUND: Words = (
    "sound",
    "{X} {a}.",
    &["Listen: the {s} {a}.", "When it is loud, {x} {a}."],
    &["What sound does {x} make?", "What does {x} do when it is loud?", "How does {x} sound?", "Tell me the sound of {x}.",
      "Which noise does {x} make?", "Do you know what {x} sounds like?"],
    "And what sound does {x} make?",
);
#[rustfmt::skip]
const HOME: Words = (
    "home",
    "{X} lives {a}.",
    &["The home of {x} is {a}.", "You find {x} {a}."],
    &["Where does {x} live?", "What is the home of {x}?", "Where do you find {x}?", "Tell me where {x} lives.",
      "In which place does {x} live?", "Do you know where {x} has its home?"],
    "And where does {x} live?",
);
#[rustfmt::skip]
const YOUNG: Words = (
    "young",
    "A young {s} is called {a}.",
    &["The young of {x} is {a}.", "When it grows up, {a} becomes {x}."],
    &["What is a young {s} called?", "What do you call a baby {s}?", "Which word means a young {s}?", "Tell me the word for a young {s}.",
      "How do people call the young of {x}?", "Do you know what a baby {s} is called?"],
    "And what is a young {s} called?",
);
#[rustfmt::skip]
const GROUP: Words = (
    "group",
    "{X} is {a}.",
    &["Among the animals {x} is {a}.", "We call {x} {a}."],
    &["What kind of animal is {x}?", "To which group of animals does {x} belong?", "Is {x} a bird, a mammal or something else?",
      "Tell me what kind of animal {x} is.", "How would you class {x}?", "Which kind of animal do you call {x}?"],
    "And what kind of animal is {x}?",
);
#[rustfmt::skip]
const SYMBOL: Words = (
    "symbol",
    "The symbol of {s} is {a}.",
    &["{s} has the symbol {a}.", "Chemists write {a} for {s}."],
    &["What is the symbol of {s}?", "Which symbol stands for {s}?", "How do chemists write {s}?", "Tell me the symbol of {s}.",
      "What is the chemical symbol for {s}?", "Do you know the symbol of {s}?"],
    "And the symbol of {s}?",
);
#[rustfmt::skip]
const SYMBOL_OF: Words = (
    "symbol_of",
    "{s} is the symbol of {a}.",
    &["The letters {s} stand for {a}.", "If you read {s}, {a} is meant."],
    &["Which element has the symbol {s}?", "What does the symbol {s} stand for?", "{s} is the symbol of which element?",
      "Name the element with the symbol {s}.", "Tell me which element is written {s}.", "Which element do chemists call {s}?"],
    "And which element is {s}?",
);
#[rustfmt::skip]
const NUMBER: Words = (
    "number",
    "{s} has the atomic number {a}.",
    &["The atomic number of {s} is {a}.", "In the table of elements {s} stands at {a}."],
    &["What is the atomic number of {s}?", "Which number does {s} have among the elements?", "At which place in the table of elements is {s}?",
      "Tell me the atomic number of {s}.", "How many protons does an atom of {s} have?", "Do you know the atomic number of {s}?"],
    "And the atomic number of {s}?",
);
#[rustfmt::skip]
const DAY_AFTER: Words = (
    "day_after",
    "The day after {s} is {a}.",
    &["{a} comes after {s}.", "After {s} it is {a}."],
    &["Which day comes after {s}?", "What is the day after {s}?", "Today is {s}. What is tomorrow?", "Tell me the day that follows {s}.",
      "What day follows {s}?", "If it is {s} now, which day is next?", "Name the day after {s}.", "Do you know the day after {s}?"],
    "And the day after {s}?",
);
#[rustfmt::skip]
const DAY_BEFORE: Words = (
    "day_before",
    "The day before {s} is {a}.",
    &["{a} comes before {s}.", "Just before {s} it is {a}."],
    &["Which day comes before {s}?", "What is the day before {s}?", "Today is {s}. What was yesterday?", "Tell me the day that precedes {s}.",
      "What day precedes {s}?", "If it is {s} now, which day was last?", "Name the day before {s}.", "Do you know the day before {s}?"],
    "And the day before {s}?",
);
#[rustfmt::skip]
const MONTH_AFTER: Words = (
    "month_after",
    "The month after {s} is {a}.",
    &["{a} comes after {s}.", "When {s} is over, {a} begins."],
    &["Which month comes after {s}?", "What is the month after {s}?", "It is {s}. Which month is next?", "Tell me the month that follows {s}.",
      "What month follows {s}?", "Name the month after {s}.", "Do you know the month after {s}?"],
    "And the month after {s}?",
);
#[rustfmt::skip]
const MONTH_BEFORE: Words = (
    "month_before",
    "The month before {s} is {a}.",
    &["{a} comes before {s}.", "When {a} is over, {s} begins."],
    &["Which month comes before {s}?", "What is the month before {s}?", "It is {s}. Which month was last?", "Tell me the month that precedes {s}.",
      "What month precedes {s}?", "Name the month before {s}.", "Do you know the month before {s}?"],
    "And the month before {s}?",
);
#[rustfmt::skip]
const MONTH_DAYS: Words = (
    "month_days",
    "{s} has {a} days.",
    &["There are {a} days in {s}.", "The number of days in {s} is {a}."],
    &["How many days does {s} have?", "How many days are in {s}?", "How long is {s}?", "Tell me the number of days in {s}.",
      "What is the number of days in {s}?", "Do you know how many days {s} has?"],
    "And how many days has {s}?",
);
#[rustfmt::skip]
const MONTH_PLACE: Words = (
    "month_place",
    "{s} is the {a} month of the year.",
    &["The {a} month of the year is {s}.", "In the year {s} is the {a} month."],
    &["Which month of the year is {s}?", "At which place in the year is {s}?", "What place does {s} have among the months?",
      "Tell me which month of the year {s} is.", "Counting from January, which month is {s}?", "Do you know which month of the year {s} is?"],
    "And which month of the year is {s}?",
);
#[rustfmt::skip]
const MEASURE: Words = (
    "measure",
    "{X} has {a} {u}.",
    &["There are {a} {u} in {x}.", "{a} {u} make {x}."],
    &["How many {u} does {x} have?", "How many {u} are in {x}?", "How many {u} make {x}?", "Tell me how many {u} {x} has.",
      "What is the number of {u} in {x}?", "Do you know how many {u} {x} has?"],
    "And how many {u} has {x}?",
);

/// A relation with the facts (subject, answer) that have an answer.
fn relation<A: Into<String>>(
    words: Words,
    facts: impl Iterator<Item = (&'static str, A)>,
) -> Relation {
    let (name, answer, statements, questions, follow) = words;
    let fact = |(subject, answer): (&str, A)| Fact {
        subject: subject.to_owned(),
        answer: answer.into(),
        unit: String::new(),
    };
    Relation {
        name,
        answer,
        statements,
        questions,
        follow,
        facts: facts
            .map(fact)
            .filter(|fact| !fact.answer.is_empty())
            .collect(),
    }
}

/// Each of `names` with its neighbour `step` places on, around the circle.
fn neighbours(words: Words, names: &[&'static str], step: usize) -> Relation {
    let next = names.iter().cycle().skip(step);
    relation(
        words,
        names.iter().zip(next).map(|(name, next)| (*name, *next)),
    )
}

/// Every relation.
pub(super) fn relations() -> Vec<Relation> {
    let months = MONTHS.map(|(month, ..)| month);
    let mut measures = relation(MEASURE, MEASURES.iter().map(|m| (m.0, m.1.to_string())));
    for (fact, (.., unit)) in measures.facts.iter_mut().zip(MEASURES) {
        fact.unit = unit.to_owned();
    }
    vec![
        relation(CAPITAL, COUNTRIES.iter().map(|c| (c.0, c.1))),
        relation(CAPITAL_OF, COUNTRIES.iter().map(|c| (c.1, c.0))),
        relation(CONTINENT, COUNTRIES.iter().map(|c| (c.0, c.2))),
        relation(SYMBOL, ELEMENTS.iter().map(|e| (e.0, e.1))),
        relation(SYMBOL_OF, ELEMENTS.iter().map(|e| (e.1, e.0))),
        relation(NUMBER, ELEMENTS.iter().map(|e| (e.0, e.2.to_string()))),
        neighbours(DAY_AFTER, &DAYS, 1),
        neighbours(DAY_BEFORE, &DAYS, DAYS.len() - 1),
        neighbours(MONTH_AFTER, &months, 1),
        neighbours(MONTH_BEFORE, &months, MONTHS.len() - 1),
        relation(MONTH_DAYS, MONTHS.iter().map(|m| (m.0, m.1))),
        relation(MONTH_PLACE, MONTHS.iter().map(|m| (m.0, m.2))),
        measures,
        relation(LEGS, ANIMALS.iter().map(|a| (a.name, a.legs))),
        relation(SOUND, ANIMALS.iter().map(|a| (a.name, a.sound))),
        relation(HOME, ANIMALS.iter().map(|a| (a.name, a.home))),
        relation(
            YOUNG,
            ANIMALS.iter().map(|a| (a.name, with_article(a.young))),
        ),
        relation(
            GROUP,
            ANIMALS.iter().map(|a| (a.name, with_article(a.group))),
        ),
    ]
}
