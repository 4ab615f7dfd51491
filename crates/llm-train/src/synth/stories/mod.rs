//! Tales with a cause for everything: a wish, what stands in its way, who helps, what comes of it.
//!
//! A plot is a chain of steps, each told in one of several ways. What belongs together (a locked
//! gate, the gardener, a key) is drawn together, so that a later sentence follows from an earlier
//! one. What is told of whom is a combination; the wording is free.

mod errands;
mod lessons;
mod quest;
mod tale;

use super::words::PEOPLE;
use super::{Choices, Content, Shape, say};
use tale::Tale;

/// A plot: the items that make the combination are drawn, then told.
type Plot = fn(&mut Tale<'_>, &[usize]);

/// Plots with their name, the sizes of the lists that their combination is drawn from, and what
/// tells them.
const PLOTS: [(&str, &[usize], Plot, u32); 6] = [
    ("quest", &quest::SIZES, quest::tell, 30),
    ("lost", &errands::LOST_SIZES, errands::lost, 16),
    ("broken", &errands::BROKEN_SIZES, errands::broken, 14),
    ("rescue", &lessons::RESCUE_SIZES, lessons::rescue, 16),
    ("warning", &lessons::WARNING_SIZES, lessons::warning, 12),
    ("quarrel", &lessons::QUARREL_SIZES, lessons::quarrel, 12),
];

const REQUESTS: [&str; 6] = [
    "Tell me a story about {hero} and {topic}.",
    "Write a short story about {hero} and {topic}.",
    "Do you know a story about {topic} and {hero}?",
    "I would like to hear a story about {hero} and {topic}.",
    "Please tell me about {hero} and {topic}.",
    "A story, please: {hero} and {topic}.",
];

/// How many of a hundred documents answer a request.
const REQUESTED_PERCENT: u32 = 35;
/// How many of a hundred texts have a title.
const TITLED_PERCENT: u32 = 30;

/// A tale, with a title or as the answer to a request.
pub(super) fn content(choices: &mut Choices, shape: Shape) -> Content {
    let requested = shape == Shape::Chat || choices.chance(REQUESTED_PERCENT);
    let weights = PLOTS.map(|(.., weight)| weight);
    let (tell, hero, items) = choices.combination(|choices| {
        let (name, sizes, tell, _) = PLOTS[choices.weighted(&weights)];
        let hero = *choices.pick(&PEOPLE);
        let items: Vec<usize> = sizes.iter().map(|&size| choices.below(size)).collect();
        let parts: Vec<String> = items.iter().map(usize::to_string).collect();
        // A quest is many enough without its hero.
        let who = if name == "quest" { "" } else { hero.0 };
        let combination = format!("stories/{name}/{}/{who}", parts.join("."));
        ((tell, hero, items), combination)
    });
    let mut tale = Tale::new(choices);
    tale.hero(hero);
    tell(&mut tale, &items);
    let text = tale.text();
    if requested {
        let form = *tale.choices.pick(&REQUESTS);
        let request = tale.filled(form);
        return Content::Chat(vec![say("user", request), say("assistant", text)]);
    }
    match tale.choices.chance(TITLED_PERCENT) {
        true => Content::Text(format!("{}\n\n{text}", tale.filled("{hero} and {topic}"))),
        false => Content::Text(text),
    }
}
