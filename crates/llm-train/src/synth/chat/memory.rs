//! Things that a user tells and asks for later.

use crate::synth::Choices;
use crate::synth::facts::tables::COUNTRIES;
use crate::synth::words::{COLOURS, PEOPLE, capital, fill};

/// What was told, what was said to it, how it is asked for, and the answer.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) kind: &'static str,
    pub(super) told: String,
    pub(super) reply: String,
    pub(super) asked: String,
    pub(super) answer: String,
}

/// The words for one kind: `{v}` is the value, `{V}` the same with a capital, `{w}` a second one.
struct Words {
    kind: &'static str,
    told: &'static [&'static str],
    reply: &'static str,
    asked: &'static [&'static str],
    answer: &'static str,
}

const NAME: Words = Words {
    kind: "name",
    told: &[
        "My name is {v}.",
        "I am {v}.",
        "Call me {v}.",
        "Hello, this is {v}.",
    ],
    reply: "Nice to meet you, {v}.",
    asked: &[
        "What is my name?",
        "Who am I?",
        "Do you remember my name?",
        "Tell me my name.",
    ],
    answer: "Your name is {v}.",
};
const COLOUR: Words = Words {
    kind: "colour",
    told: &[
        "My favourite colour is {v}.",
        "I like {v} best of all colours.",
        "Of all colours I love {v}.",
        "The colour that I like is {v}.",
    ],
    reply: "{V} is a nice colour.",
    asked: &[
        "What is my favourite colour?",
        "Which colour do I like?",
        "Do you remember my colour?",
        "Tell me which colour I like best.",
    ],
    answer: "Your favourite colour is {v}.",
};
const HOME: Words = Words {
    kind: "home",
    told: &[
        "I live in {v}.",
        "My home is {v}.",
        "I come from {v}.",
        "My house is in {v}.",
    ],
    reply: "{v} must be a good place to live.",
    asked: &[
        "Where do I live?",
        "Which city is my home?",
        "Do you remember my city?",
        "Tell me where I live.",
    ],
    answer: "You live in {v}.",
};
const PET: Words = Words {
    kind: "pet",
    told: &[
        "I have a {w} called {v}.",
        "My {w} is called {v}.",
        "At home I have a {w}. Its name is {v}.",
        "This is {v}, my {w}.",
    ],
    reply: "{v} is a good name for a {w}.",
    asked: &[
        "What is my {w} called?",
        "What is the name of my {w}?",
        "Do you remember my {w}?",
        "Tell me the name of my {w}.",
    ],
    answer: "Your {w} is called {v}.",
};
const PLACE: Words = Words {
    kind: "place",
    told: &[
        "I put the {v} {w}.",
        "The {v} lies {w}.",
        "Please remember: the {v} is {w}.",
        "My {v} is {w} now.",
    ],
    reply: "I will remember where the {v} is.",
    asked: &[
        "Where is the {v}?",
        "Where do I find the {v}?",
        "Do you remember where the {v} is?",
        "Tell me where the {v} is.",
    ],
    answer: "The {v} is {w}.",
};

const PET_KINDS: [&str; 8] = [
    "dog", "cat", "rabbit", "parrot", "horse", "goat", "mouse", "pony",
];
const PET_NAMES: [&str; 16] = [
    "Bello", "Minka", "Rudi", "Flocke", "Koko", "Pepper", "Snowy", "Tiger", "Momo", "Lotte",
    "Bruno", "Zora", "Ziggy", "Hazel", "Rex", "Daisy",
];
const THINGS: [&str; 12] = [
    "key", "book", "lamp", "map", "hat", "letter", "ring", "cup", "rope", "ball", "coin", "pencil",
];
const PLACES: [&str; 12] = [
    "on the table",
    "under the bed",
    "in the red box",
    "behind the door",
    "on the shelf",
    "in the kitchen",
    "under the chair",
    "in my bag",
    "on the window",
    "in the garden",
    "beside the clock",
    "in the drawer",
];

/// Something to remember. Value and wordings are a combination.
pub(super) fn draw(choices: &mut Choices) -> Memory {
    choices.combination(|choices| {
        let words = *choices.pick(&[&NAME, &COLOUR, &HOME, &PET, &PLACE]);
        let (value, second) = match words.kind {
            "name" => (choices.pick(&PEOPLE).0, ""),
            "colour" => (*choices.pick(&COLOURS), ""),
            "home" => (choices.pick(&COUNTRIES).1, ""),
            "pet" => (*choices.pick(&PET_NAMES), *choices.pick(&PET_KINDS)),
            _ => (*choices.pick(&THINGS), *choices.pick(&PLACES)),
        };
        let (told, asked) = (
            choices.below(words.told.len()),
            choices.below(words.asked.len()),
        );
        let capital = capital(value);
        let with = |form: &str| fill(form, &[("v", value), ("V", &capital), ("w", second)]);
        let memory = Memory {
            kind: words.kind,
            told: with(words.told[told]),
            reply: with(words.reply),
            asked: with(words.asked[asked]),
            answer: with(words.answer),
        };
        let kind = words.kind;
        let name = format!("chat/{kind}/t{told}/q{asked}/{value}/{second}");
        (memory, name)
    })
}
