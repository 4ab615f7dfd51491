//! Questions for each tool, with the call that answers them.

use serde_json::{Value, json};

use super::schema::spaced;
use crate::synth::Choices;
use crate::synth::facts::tables::{COUNTRIES, DAYS, MONTHS};
use crate::synth::words::fill;

/// A question, the call, its result and the answer.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) tool: &'static str,
    pub(super) question: String,
    pub(super) arguments: Value,
    /// JSON, as the tool gives it back.
    pub(super) result: String,
    pub(super) answer: String,
}

/// Draws a question for one tool.
type Draw = fn(&mut Choices) -> Call;

/// How each tool of [`super::schemas`] is asked, in that order.
pub(super) const DRAWS: [(&str, Draw); 4] = [
    ("calculator", calculator),
    ("convert", convert),
    ("weather", weather),
    ("calendar", calendar),
];

/// The place of a tool by its name.
pub(super) fn index_of(name: &str) -> Option<usize> {
    DRAWS.iter().position(|(tool, _)| *tool == name)
}

impl Call {
    /// A question for the tool at `index`; its words and values are a combination, whether the tool
    /// is at hand or not.
    pub(super) fn draw(choices: &mut Choices, index: usize) -> Self {
        let (tool, draw) = DRAWS[index];
        choices.combination(|choices| {
            let call = draw(choices);
            let name = format!("tools/{tool}/{}", call.question);
            (call, name)
        })
    }

    /// The call as the assistant writes it.
    pub(super) fn text(&self) -> String {
        let call = json!({ "name": self.tool, "arguments": self.arguments });
        format!("<tool_call>\n{}\n</tool_call>", spaced(&call))
    }
}

/// Signs with the words for them; `{a}` and `{b}` are the operands.
#[rustfmt::skip]
const SUMS: [(&str, [&str; 4]); 4] = [
    ("*", ["What is {a} times {b}?", "Multiply {a} by {b}.", "Compute {a} * {b}.", "{a} times {b}, please."]),
    ("+", ["What is {a} plus {b}?", "Add {a} and {b}.", "Compute {a} + {b}.", "I need the sum of {a} and {b}."]),
    ("-", ["What is {a} minus {b}?", "Subtract {b} from {a}.", "Compute {a} - {b}.", "Take {b} away from {a}."]),
    ("/", ["What is {a} divided by {b}?", "Divide {a} by {b}.", "Compute {a} / {b}.", "How often does {b} go into {a}?"]),
];

fn calculator(choices: &mut Choices) -> Call {
    let (sign, forms) = SUMS[choices.below(SUMS.len())];
    let (a, b, result) = operands(choices, sign);
    let form = choices.pick(&forms);
    Call {
        tool: "calculator",
        question: fill(form, &[("a", &a.to_string()), ("b", &b.to_string())]),
        arguments: json!({ "expression": format!("{a} {sign} {b}") }),
        result: spaced(&json!({ "result": result })),
        answer: format!("The result is {result}."),
    }
}

/// Two numbers that are too large for the head, and what the sign makes of them.
fn operands(choices: &mut Choices, sign: &str) -> (u32, u32, u32) {
    match sign {
        "*" => {
            let (a, b) = (choices.number(100, 999), choices.number(11, 99));
            (a, b, a * b)
        }
        "/" => {
            let (quotient, b) = (choices.number(11, 99), choices.number(11, 99));
            (quotient * b, b, quotient)
        }
        "+" => {
            let (a, b) = (choices.number(1000, 9999), choices.number(1000, 9999));
            (a, b, a + b)
        }
        _ => {
            let a = choices.number(2000, 9999);
            let b = choices.number(1000, a);
            (a, b, a - b)
        }
    }
}

fn convert(choices: &mut Choices) -> Call {
    /// From, to, factor, and what is added.
    const UNITS: [(&str, &str, f64, f64); 12] = [
        ("kilometres", "miles", 0.621_371, 0.0),
        ("miles", "kilometres", 1.609_344, 0.0),
        ("kilograms", "pounds", 2.204_623, 0.0),
        ("pounds", "kilograms", 0.453_592, 0.0),
        ("metres", "feet", 3.280_84, 0.0),
        ("feet", "metres", 0.3048, 0.0),
        ("litres", "gallons", 0.264_172, 0.0),
        ("gallons", "litres", 3.785_412, 0.0),
        ("centimetres", "inches", 0.393_701, 0.0),
        ("inches", "centimetres", 2.54, 0.0),
        ("celsius", "fahrenheit", 1.8, 32.0),
        ("days", "hours", 24.0, 0.0),
    ];
    const FORMS: [&str; 6] = [
        "Convert {v} {f} to {t}.",
        "How many {t} are {v} {f}?",
        "What is {v} {f} in {t}?",
        "I have {v} {f}. How many {t} is that?",
        "Please give me {v} {f} in {t}.",
        "{v} {f} in {t}?",
    ];
    let (from, to, factor, offset) = *choices.pick(&UNITS);
    let value = choices.number(2, 300);
    let converted = rounded(f64::from(value) * factor + offset);
    let form = choices.pick(&FORMS);
    Call {
        tool: "convert",
        question: fill(form, &[("v", &value.to_string()), ("f", from), ("t", to)]),
        arguments: json!({ "value": value, "from": from, "to": to }),
        result: format!("{{\"result\": {converted}}}"),
        answer: format!("{value} {from} are {converted} {to}."),
    }
}

/// Two decimals, without zeros at the end.
fn rounded(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn weather(choices: &mut Choices) -> Call {
    const SKIES: [&str; 6] = ["sunny", "cloudy", "rainy", "snowy", "windy", "foggy"];
    const FORMS: [&str; 7] = [
        "What is the weather in {c} {d}?",
        "How is the weather {d} in {c}?",
        "Tell me the weather in {c} {d}.",
        "How warm is it in {c} {d}?",
        "Do I need a coat in {c} {d}?",
        "{c}, {d}: which weather?",
        "I am in {c}. What is the weather {d}?",
    ];
    let city = choices.pick(&COUNTRIES).1;
    let day = *choices.pick(&["today", "tomorrow"]);
    let (sky, degrees) = (*choices.pick(&SKIES), choices.number(0, 35));
    let form = choices.pick(&FORMS);
    let verb = if day == "today" { "is" } else { "will be" };
    Call {
        tool: "weather",
        question: fill(form, &[("c", city), ("d", day)]),
        arguments: json!({ "city": city, "day": day }),
        result: spaced(&json!({ "sky": sky, "degrees": degrees })),
        answer: format!("It {verb} {sky} in {city} {day}, with {degrees} degrees."),
    }
}

fn calendar(choices: &mut Choices) -> Call {
    const FORMS: [&str; 6] = [
        "Which day of the week is {t}?",
        "What day is {t}?",
        "On which day of the week does {t} fall?",
        "Tell me the day of the week of {t}.",
        "Is {t} a Sunday?",
        "I have a date on {t}. Which day is that?",
    ];
    let (year, month) = (choices.number(2020, 2035), choices.number(1, 12));
    let day = choices.number(1, 28);
    let name = MONTHS[month as usize - 1].0;
    let date = format!("{day} {name} {year}");
    let weekday = weekday(year, month, day);
    let form = choices.pick(&FORMS);
    Call {
        tool: "calendar",
        question: fill(form, &[("t", &date)]),
        arguments: json!({ "date": format!("{year}-{month:02}-{day:02}") }),
        result: spaced(&json!({ "weekday": weekday })),
        answer: format!("{date} is a {weekday}."),
    }
}

/// The day of the week in the Gregorian calendar. Counted from 1 January of year 1, a Monday, with
/// years that begin in March so that leap days come last.
fn weekday(year: u32, month: u32, day: u32) -> &'static str {
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let days_before_month = (153 * month + 2) / 5;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + days_before_month + day;
    // 1 March of year 0 was a Wednesday.
    DAYS[((days + 1) % 7) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_week() {
        for ((year, month, day), want) in [
            ((2000, 1, 1), "Saturday"),
            ((2024, 2, 29), "Thursday"),
            ((2024, 3, 1), "Friday"),
            ((2026, 11, 27), "Friday"),
            ((2020, 12, 31), "Thursday"),
            ((2035, 7, 4), "Wednesday"),
        ] {
            assert_eq!(weekday(year, month, day), want, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn two_decimals_and_no_zeros() {
        assert_eq!(
            [12.404, 12.996, 68.0, 0.5].map(rounded),
            ["12.4", "13", "68", "0.5"]
        );
    }
}
