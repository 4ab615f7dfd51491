//! A tale as it is told: sentences with the words that were chosen for it.

use crate::synth::Choices;
use crate::synth::words::{PEOPLE, capital, fill};

/// Where people live.
const HOMES: [&str; 12] = [
    "in a small village by the river",
    "in a house at the edge of the forest",
    "in a town with seven towers",
    "on a farm between two hills",
    "in a fishing village by the sea",
    "in a hut high in the mountains",
    "in a street full of bakers",
    "in a valley full of apple trees",
    "in a mill beside a stream",
    "in an old castle with a broken wall",
    "in a tent at the edge of the desert",
    "in a lighthouse on a rock",
];
/// When things happen.
const TIMES: [&str; 10] = [
    "one morning in spring",
    "one warm day in summer",
    "on a grey day in autumn",
    "one cold day in winter",
    "early one morning",
    "one quiet evening",
    "on the day before the feast",
    "on a windy Monday",
    "when the first snow fell",
    "one Sunday after the rain",
];

/// A tale in the making.
pub(super) struct Tale<'c> {
    /// Where its choices come from.
    pub(super) choices: &'c mut Choices,
    values: Vec<(&'static str, String)>,
    sentences: Vec<String>,
}

impl<'c> Tale<'c> {
    /// A tale without words.
    pub(super) fn new(choices: &'c mut Choices) -> Self {
        let (values, sentences) = (Vec::new(), Vec::new());
        Self {
            choices,
            values,
            sentences,
        }
    }

    /// `key` means `text`, in which the keys so far are filled in.
    pub(super) fn set(&mut self, key: &'static str, text: &str) {
        let text = self.filled(text);
        self.values.push((key, text));
    }

    /// Names the hero and what one says of them.
    pub(super) fn hero(&mut self, (name, she): (&str, bool)) {
        let words = match she {
            true => ["girl", "she", "her", "her"],
            false => ["boy", "he", "him", "his"],
        };
        self.set("hero", name);
        for (key, word) in ["kind", "he", "him", "his"].into_iter().zip(words) {
            self.set(key, word);
        }
    }

    /// Names a friend, who is not the hero.
    pub(super) fn friend(&mut self) {
        let hero = self.filled("{hero}");
        let others: Vec<&str> = PEOPLE
            .iter()
            .map(|one| one.0)
            .filter(|name| *name != hero)
            .collect();
        let friend = *self.choices.pick(&others);
        self.set("friend", friend);
    }

    /// Where the hero lives, and when it happens.
    pub(super) fn open(&mut self) {
        let (home, time) = (*self.choices.pick(&HOMES), *self.choices.pick(&TIMES));
        self.set("home", home);
        self.set("time", time);
        self.say(&[
            "Once there was a {kind} called {hero} who lived {home}.",
            "{home} lived a {kind} called {hero}.",
            "{hero} was a {kind} who lived {home}.",
            "There lived a {kind} called {hero} {home}.",
        ]);
    }

    /// One of `items` under `key`.
    pub(super) fn choose(&mut self, key: &'static str, items: &[&str]) {
        let item = *self.choices.pick(items);
        self.set(key, item);
    }

    /// Adds one of `forms`.
    pub(super) fn say(&mut self, forms: &[&str]) {
        let form = *self.choices.pick(forms);
        let sentence = self.filled(form);
        self.sentences.push(capital(&sentence));
    }

    /// `text` with its keys filled in.
    pub(super) fn filled(&self, text: &str) -> String {
        let values: Vec<(&str, &str)> = self
            .values
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        fill(text, &values)
    }

    /// The whole tale.
    pub(super) fn text(&self) -> String {
        self.sentences.join(" ")
    }
}
