//! Short tasks with one right answer: lists, words, sentences, JSON.
//!
//! What is done to a list is split by the list, so that a held-out list was never seen under any
//! wording; what is done to a word of a closed list is split by word and wording.

mod lists;
mod texts;
mod words;

use super::words::fill;
use super::{Choices, Content, Exchange};

/// The kinds of tasks with their shares.
const KINDS: [(Draw, u32); 16] = [
    (lists::sort_words, 12),
    (lists::sort_numbers, 12),
    (lists::count, 6),
    (lists::count_word, 6),
    (lists::reverse, 8),
    (lists::nth, 5),
    (lists::contains, 5),
    (lists::replace, 5),
    (lists::remove, 5),
    (texts::repeat, 3),
    (texts::extract, 8),
    (texts::letters, 7),
    (texts::plural, 5),
    (texts::past, 5),
    (texts::opposite, 3),
    (texts::json, 8),
];

type Draw = fn(&mut Choices) -> Exchange;

/// A task and its answer.
pub(super) fn exchange(choices: &mut Choices) -> Exchange {
    let weights = KINDS.map(|(_, weight)| weight);
    let (draw, _) = KINDS[choices.weighted(&weights)];
    draw(choices)
}

/// A conversation of one to three tasks.
pub(super) fn content(choices: &mut Choices) -> Content {
    let turns = 1 + choices.weighted(&[70, 20, 10]);
    let messages = (0..turns).flat_map(|_| exchange(choices).messages());
    Content::Chat(messages.collect())
}

/// A form of `forms` for a word of a closed list, such that form and word are a combination;
/// `draw` chooses the word.
fn closed<T: Copy>(
    choices: &mut Choices,
    kind: &str,
    forms: &[&'static str],
    words: &[T],
    name: impl Fn(T) -> String,
) -> (&'static str, T) {
    choices.combination(|choices| {
        let at = choices.below(forms.len());
        let word = *choices.pick(words);
        let combination = format!("instructions/{kind}/q{at}/{}", name(word));
        ((forms[at], word), combination)
    })
}

/// A form of `forms` filled with `values`.
fn asked(choices: &mut Choices, forms: &[&str], values: &[(&str, &str)]) -> String {
    let form = choices.pick(forms);
    fill(form, values)
}
