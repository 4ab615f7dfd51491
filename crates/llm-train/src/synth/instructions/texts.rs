//! Tasks on words and sentences.

use serde_json::{Value, json};

use super::words::{OPPOSITES, PLURALS, TIMES, VERBS};
use super::{Choices, Exchange, asked, closed};
use crate::synth::facts::tables::COUNTRIES;
use crate::synth::words::{PEOPLE, THINGS, fill};
use crate::synth::{Check, say};

/// A word several times.
pub(super) fn repeat(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 4] = [
        "Say {w} {n} times.",
        "Repeat the word {w} {n} times.",
        "Write {w} {n} times.",
        "I want to read {w} {n} times.",
    ];
    let (word, times) = choices.combination(|choices| {
        let word = choices.pick(&PLURALS).0;
        let times = choices.below(TIMES.len());
        let name = format!("instructions/repeat/{word}/{times}");
        ((word, times), name)
    });
    let question = asked(choices, &FORMS, &[("w", word), ("n", TIMES[times])]);
    let answer = vec![word; times + 2].join(" ");
    Exchange::exact("repeat", question, answer)
}

/// A name, a number, a thing or a place out of a sentence.
pub(super) fn extract(choices: &mut Choices) -> Exchange {
    const SENTENCES: [&str; 4] = [
        "{name} buys {n} {things} in {city}.",
        "In {city}, {name} finds {n} {things}.",
        "{n} {things} are sent to {name} in {city}.",
        "When {name} came to {city}, the price of {n} {things} was low.",
    ];
    const QUESTIONS: [[&str; 2]; 4] = [
        [
            "Who is named in this sentence? {t}",
            "Find the name of the person: {t}",
        ],
        [
            "Which number is in this sentence? {t}",
            "Find the number: {t}",
        ],
        [
            "Which city is named in this sentence? {t}",
            "Find the city: {t}",
        ],
        [
            "Which things are named in this sentence? {t}",
            "Find the things: {t}",
        ],
    ];
    let (values, sentence) = choices.combination(|choices| {
        let values = [
            choices.pick(&PEOPLE).0.to_owned(),
            choices.number(2, 99).to_string(),
            choices.pick(&COUNTRIES).1.to_owned(),
            (*choices.pick(&THINGS)).to_owned(),
        ];
        let [name, number, city, things] = &values;
        let named: &[(&str, &str)] = &[
            ("name", name),
            ("n", number),
            ("city", city),
            ("things", things),
        ];
        let sentence = asked(choices, &SENTENCES, named);
        let name = format!("instructions/extract/{}", values.join("/"));
        ((values, sentence), name)
    });
    let what = choices.below(values.len());
    let question = asked(choices, &QUESTIONS[what], &[("t", &sentence)]);
    Exchange::exact("extract", question, values[what].clone())
}

/// Capital letters, and back.
pub(super) fn letters(choices: &mut Choices) -> Exchange {
    const UPPER: [&str; 4] = [
        "Write in capital letters: {w}",
        "Put into upper case: {w}",
        "{w} in capitals, please.",
        "What is {w} in upper case?",
    ];
    const LOWER: [&str; 4] = [
        "Write in small letters: {w}",
        "Put into lower case: {w}",
        "{w} in small letters, please.",
        "What is {w} in lower case?",
    ];
    let upper = choices.chance(50);
    let (kind, forms) = if upper {
        ("upper", &UPPER)
    } else {
        ("lower", &LOWER)
    };
    let (form, (word, _)) = closed(choices, kind, forms, &PLURALS, |(word, _)| word.into());
    let (mut given, mut wanted) = (word.to_owned(), word.to_uppercase());
    if !upper {
        std::mem::swap(&mut given, &mut wanted);
    }
    Exchange::exact("letters", fill(form, &[("w", &given)]), wanted)
}

/// One, many.
pub(super) fn plural(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 6] = [
        "What is the plural of {w}?",
        "Write the plural: {w}",
        "One {w}, two ...",
        "Tell me the plural of {w}.",
        "How do you call more than one {w}?",
        "Make {w} plural.",
    ];
    let (form, (one, many)) = closed(choices, "plural", &FORMS, &PLURALS, |(one, _)| one.into());
    Exchange::exact("plural", fill(form, &[("w", one)]), many.to_owned())
}

/// Today and yesterday, for a verb or a sentence.
pub(super) fn past(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 6] = [
        "What is the past tense of {w}?",
        "Write the past of {w}.",
        "Today I {w}, yesterday I ...",
        "Tell me the past tense of {w}.",
        "How do you say {w} for yesterday?",
        "Put the verb {w} into the past.",
    ];
    const SENTENCES: [&str; 4] = [
        "Put into the past: {t}",
        "Write this sentence in the past tense: {t}",
        "Say this of yesterday: {t}",
        "Change the tense to the past: {t}",
    ];
    if choices.chance(50) {
        let (form, (verb, _, past, _)) =
            closed(choices, "past", &FORMS, &VERBS, |verb| verb.0.into());
        return Exchange::exact("past", fill(form, &[("w", verb)]), past.to_owned());
    }
    let (name, (_, now, past, what)) = choices.combination(|choices| {
        let (name, verb) = (choices.pick(&PEOPLE).0, *choices.pick(&VERBS));
        (
            (name, verb),
            format!("instructions/past_sentence/{name}/{}", verb.0),
        )
    });
    let sentence = format!("{name} {now} {what}.");
    let question = asked(choices, &SENTENCES, &[("t", &sentence)]);
    Exchange::exact("past_sentence", question, format!("{name} {past} {what}."))
}

/// The opposite of a word.
pub(super) fn opposite(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 6] = [
        "What is the opposite of {w}?",
        "Tell me the opposite of {w}.",
        "Which word means the contrary of {w}?",
        "Not {w}, but ...",
        "Name the opposite: {w}",
        "What is {w} turned around?",
    ];
    let swap = choices.chance(50);
    let word = |(one, other): (&'static str, &'static str)| if swap { other } else { one };
    let (form, pair) = closed(choices, "opposite", &FORMS, &OPPOSITES, |pair| {
        word(pair).into()
    });
    let answer = if swap { pair.0 } else { pair.1 };
    Exchange::exact(
        "opposite",
        fill(form, &[("w", word(pair))]),
        answer.to_owned(),
    )
}

/// A sentence as JSON.
pub(super) fn json(choices: &mut Choices) -> Exchange {
    const FORMS: [&str; 4] = [
        "Write as JSON with the keys {k}: {t}",
        "Make JSON of this, keys {k}: {t}",
        "Give me a JSON object with {k}. Text: {t}",
        "Turn the text into JSON ({k}): {t}",
    ];
    let (sentence, fields) = choices.combination(|choices| {
        let (sentence, fields) = match choices.chance(50) {
            true => person(choices),
            false => price(choices),
        };
        let values: Vec<String> = fields.iter().map(|(_, value)| value.to_string()).collect();
        let name = format!("instructions/json/{}", values.join("/"));
        ((sentence, fields), name)
    });
    let keys: Vec<&str> = fields.iter().map(|(key, _)| *key).collect();
    let question = asked(
        choices,
        &FORMS,
        &[("k", &keys.join(", ")), ("t", &sentence)],
    );
    let pairs: Vec<String> = fields
        .iter()
        .map(|(key, value)| format!("\"{key}\": {value}"))
        .collect();
    let value = fields
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    Exchange {
        kind: "json",
        prompt: vec![say("user", question)],
        answer: format!("{{{}}}", pairs.join(", ")),
        check: Check::Json(Value::Object(value.collect())),
        rest: Vec::new(),
    }
}

type Fields = Vec<(&'static str, Value)>;

fn person(choices: &mut Choices) -> (String, Fields) {
    const SENTENCES: [&str; 3] = [
        "{name} is {n} years old and lives in {city}.",
        "{name} from {city} is {n} years old.",
        "In {city} lives {name}, who is {n}.",
    ];
    let name = choices.pick(&PEOPLE).0;
    let (age, city) = (choices.number(3, 99), choices.pick(&COUNTRIES).1);
    let years = age.to_string();
    let sentence = asked(
        choices,
        &SENTENCES,
        &[("name", name), ("n", &years), ("city", city)],
    );
    let fields = vec![
        ("name", json!(name)),
        ("age", json!(age)),
        ("city", json!(city)),
    ];
    (sentence, fields)
}

fn price(choices: &mut Choices) -> (String, Fields) {
    const SENTENCES: [&str; 3] = [
        "{n} {things} cost {p} dollars.",
        "For {n} {things} you pay {p} dollars.",
        "The price of {n} {things} is {p} dollars.",
    ];
    let things = *choices.pick(&THINGS);
    let (count, price) = (choices.number(2, 99), choices.number(2, 99));
    let (many, cost) = (count.to_string(), price.to_string());
    let sentence = asked(
        choices,
        &SENTENCES,
        &[("n", &many), ("things", things), ("p", &cost)],
    );
    let fields = vec![
        ("item", json!(things)),
        ("count", json!(count)),
        ("price", json!(price)),
    ];
    (sentence, fields)
}
