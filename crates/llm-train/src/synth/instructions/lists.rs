//! Tasks on lists of words and numbers.

use super::words::PLURALS;
use super::{Choices, Exchange, asked};

/// A list that is a combination with `kind`: `low` to `high` different words.
fn words(choices: &mut Choices, kind: &str, low: u32, high: u32) -> Vec<&'static str> {
    choices.combination(|choices| {
        let count = choices.number(low, high) as usize;
        let drawn = choices.several(&PLURALS, count);
        let list: Vec<&str> = drawn.into_iter().map(|(word, _)| *word).collect();
        let name = format!("instructions/{kind}/{}", list.join(","));
        (list, name)
    })
}

fn joined(list: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = list.iter().map(AsRef::as_ref).collect();
    words.join(", ")
}

/// Alphabetical order.
pub(super) fn sort_words(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 5] = [
        "Sort these words: {l}",
        "Put these words into alphabetical order: {l}",
        "Sort from A to Z: {l}",
        "Please sort the list {l} by the alphabet.",
        "Which order do these words have in a dictionary? {l}",
    ];
    let mut list = words(choices, "sort_words", 3, 5);
    let question = asked(choices, &FORMS, &[("l", &joined(&list))]);
    list.sort_unstable();
    Exchange::exact("sort_words", question, joined(&list))
}

/// By size, either way.
pub(super) fn sort_numbers(choices: &mut Choices) -> Exchange {
    const UP: [&str; 4] = [
        "Sort these numbers: {l}",
        "Sort from small to large: {l}",
        "Put these numbers into rising order: {l}",
        "Please sort {l}, the smallest first.",
    ];
    const DOWN: [&str; 3] = [
        "Sort from large to small: {l}",
        "Put these numbers into falling order: {l}",
        "Please sort {l}, the largest first.",
    ];
    let numbers: Vec<u32> = (1..100).collect();
    let mut list: Vec<u32> = choices.combination(|choices| {
        let count = choices.number(3, 5) as usize;
        let list: Vec<u32> = choices
            .several(&numbers, count)
            .into_iter()
            .copied()
            .collect();
        let name = format!("instructions/sort_numbers/{}", joined(&texts(&list)));
        (list, name)
    });
    let shown = joined(&texts(&list));
    let rising = choices.chance(60);
    list.sort_unstable();
    let question = if rising {
        asked(choices, &UP, &[("l", &shown)])
    } else {
        list.reverse();
        asked(choices, &DOWN, &[("l", &shown)])
    };
    Exchange::exact("sort_numbers", question, joined(&texts(&list)))
}

fn texts(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(u32::to_string).collect()
}

/// The length of a list.
pub(super) fn count(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 5] = [
        "How many words are in this list? {l}",
        "Count the words: {l}",
        "What is the length of the list {l}?",
        "How long is this list? {l}",
        "Count the items of this list: {l}",
    ];
    let list = words(choices, "count", 2, 8);
    let question = asked(choices, &FORMS, &[("l", &joined(&list))]);
    Exchange::exact("count", question, list.len().to_string())
}

/// How often one word stands in a list of two words.
pub(super) fn count_word(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 4] = [
        "How often does {w} stand in this list? {l}",
        "How many times do you read {w}? {l}",
        "Count the word {w}: {l}",
        "How many of these words are {w}? {l}",
    ];
    let (list, word) = choices.combination(|choices| {
        let pair = choices.several(&PLURALS, 2);
        let count = choices.number(3, 7);
        let list: Vec<&str> = (0..count).map(|_| choices.pick(&pair).0).collect();
        let name = format!("instructions/count_word/{}", list.join(","));
        ((list, pair[0].0), name)
    });
    let question = asked(choices, &FORMS, &[("w", word), ("l", &joined(&list))]);
    let count = list.iter().filter(|one| **one == word).count();
    Exchange::exact("count_word", question, count.to_string())
}

/// From the last to the first.
pub(super) fn reverse(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 4] = [
        "Reverse this list: {l}",
        "Write this list backwards: {l}",
        "Turn the order around: {l}",
        "Start with the last word and end with the first: {l}",
    ];
    let mut list = words(choices, "reverse", 3, 6);
    let question = asked(choices, &FORMS, &[("l", &joined(&list))]);
    list.reverse();
    Exchange::exact("reverse", question, joined(&list))
}

/// One item by its place.
pub(super) fn nth(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 4] = [
        "What is the {n} word of this list? {l}",
        "Which word comes {n}? {l}",
        "Name the {n} item: {l}",
        "Give me the {n} word of {l}.",
    ];
    const PLACES: [&str; 4] = ["first", "second", "third", "last"];
    let list = words(choices, "nth", 4, 6);
    let place = choices.below(PLACES.len());
    let shown = joined(&list);
    let question = asked(choices, &FORMS, &[("n", PLACES[place]), ("l", &shown)]);
    let index = if place == 3 { list.len() - 1 } else { place };
    Exchange::exact("nth", question, list[index].to_owned())
}

/// Whether a word is there: in half of the cases it is.
pub(super) fn contains(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 4] = [
        "Is {w} in this list? {l}",
        "Does this list have the word {w}? {l}",
        "Can you find {w} here? {l}",
        "Look for {w} in the list {l}. Is it there?",
    ];
    let mut list = words(choices, "contains", 4, 6);
    // The list was drawn with one word too many, which is the one that is not there.
    let absent = list.pop().unwrap_or_default();
    let word = match choices.chance(50) {
        true => *choices.pick(&list),
        false => absent,
    };
    let question = asked(choices, &FORMS, &[("w", word), ("l", &joined(&list))]);
    let answer = if word == absent { "No." } else { "Yes." };
    Exchange::exact("contains", question, answer.to_owned())
}

/// One word for another.
pub(super) fn replace(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 4] = [
        "Replace {w} by {v}: {l}",
        "Put {v} in the place of {w}: {l}",
        "Write {v} where you read {w}: {l}",
        "Change {w} to {v} in the list {l}.",
    ];
    let mut list = words(choices, "replace", 4, 6);
    let new = list.pop().unwrap_or_default();
    let at = choices.below(list.len());
    let shown = joined(&list);
    let question = asked(
        choices,
        &FORMS,
        &[("w", list[at]), ("v", new), ("l", &shown)],
    );
    list[at] = new;
    Exchange::exact("replace", question, joined(&list))
}

/// A list without one word.
pub(super) fn remove(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 4] = [
        "Remove {w} from this list: {l}",
        "Leave out {w}: {l}",
        "Write this list without {w}: {l}",
        "Take {w} out of {l}.",
    ];
    let mut list = words(choices, "remove", 3, 6);
    let at = choices.below(list.len());
    let question = asked(choices, &FORMS, &[("w", list[at]), ("l", &joined(&list))]);
    list.remove(at);
    Exchange::exact("remove", question, joined(&list))
}
