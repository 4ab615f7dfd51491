//! Sums and differences up to three digits, small products, comparisons.
//!
//! A model of a few million parameters cannot see 347 + 85 at a glance, but it can do one column at
//! a time: [`steps`] writes the columns. The split is by operands: if 23 + 45 is held out, 45 + 23
//! is too, in every wording.

pub(super) mod steps;

use super::words::{PEOPLE, THINGS, fill};
use super::{Choices, Content, Exchange};
use steps::Worked;

/// How many of a hundred small problems are answered without steps, on request.
const AT_ONCE_PERCENT: u32 = 12;
/// The request not to think, as Qwen3 knows it.
const NO_THINK: &str = " /no_think";

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Compare { larger: bool },
}

/// Operation and operands.
#[derive(Clone, Copy, Debug)]
struct Problem {
    kind: &'static str,
    operation: Operation,
    a: u32,
    b: u32,
}

const KINDS: [(&str, u32); 8] = [
    ("add2", 18),
    ("sub2", 18),
    ("add3", 17),
    ("sub3", 17),
    ("add_mixed", 7),
    ("sub_mixed", 7),
    ("multiply", 9),
    ("compare", 7),
];

const ADD: [&str; 10] = [
    "What is {a} + {b}?",
    "{a} + {b} =",
    "Add {a} and {b}.",
    "How much is {a} plus {b}?",
    "What is the sum of {a} and {b}?",
    "Compute {a} + {b}.",
    "{a} plus {b}?",
    "{name} has {a} {things} and gets {b} more. How many {things} are that now?",
    "There are {a} {things} in one box and {b} in another. How many {things} are there in all?",
    "A shelf holds {a} {things}. {name} puts {b} beside them. How many {things} are there?",
];
const SUBTRACT: [&str; 10] = [
    "What is {a} - {b}?",
    "{a} - {b} =",
    "Subtract {b} from {a}.",
    "How much is {a} minus {b}?",
    "What is the difference between {a} and {b}?",
    "Compute {a} - {b}.",
    "Take {b} away from {a}.",
    "{name} has {a} {things} and gives away {b}. How many {things} are left?",
    "Of {a} {things} {b} are sold. How many {things} are left?",
    "There were {a} {things}, and {name} lost {b}. How many {things} are still there?",
];
const MULTIPLY: [&str; 8] = [
    "What is {a} * {b}?",
    "{a} * {b} =",
    "Multiply {a} by {b}.",
    "How much is {a} times {b}?",
    "What is the product of {a} and {b}?",
    "Compute {a} * {b}.",
    "{a} times {b}?",
    "{name} has {b} boxes with {a} {things} each. How many {things} are that?",
];
const LARGER: [&str; 4] = [
    "Which is larger, {a} or {b}?",
    "Which number is greater: {a} or {b}?",
    "Name the larger of {a} and {b}.",
    "What is the maximum of {a} and {b}?",
];
const SMALLER: [&str; 4] = [
    "Which is smaller, {a} or {b}?",
    "Which number is less: {a} or {b}?",
    "Name the smaller of {a} and {b}.",
    "What is the minimum of {a} and {b}?",
];

impl Problem {
    fn draw(choices: &mut Choices) -> Self {
        let weights = KINDS.map(|(_, weight)| weight);
        let (kind, _) = KINDS[choices.weighted(&weights)];
        let operation = match kind {
            "add2" | "add3" | "add_mixed" => Operation::Add,
            "sub2" | "sub3" | "sub_mixed" => Operation::Subtract,
            "multiply" => Operation::Multiply,
            _ => Operation::Compare {
                larger: choices.chance(50),
            },
        };
        let (low, high) = match kind {
            "add2" | "sub2" => (10, 99),
            "add3" | "sub3" => (100, 999),
            "multiply" => (2, 99),
            _ => *choices.pick(&[(0, 9), (10, 99), (100, 999), (0, 999)]),
        };
        let a = choices.number(low, high);
        let b = match operation {
            Operation::Subtract => choices.number(low, a),
            Operation::Multiply => choices.number(2, 9),
            Operation::Compare { .. } => {
                // Any number but `a`.
                let b = choices.number(low, high - 1);
                b + u32::from(b >= a)
            }
            Operation::Add if kind == "add_mixed" => choices.number(0, 999),
            Operation::Add => choices.number(low, high),
        };
        Self {
            kind,
            operation,
            a,
            b,
        }
    }

    /// The name of the combination: operands in order of size where their order does not matter.
    fn name(&self) -> String {
        let (low, high) = (self.a.min(self.b), self.a.max(self.b));
        let (word, first, second) = match self.operation {
            Operation::Add => ("add", low, high),
            Operation::Subtract => ("subtract", self.a, self.b),
            Operation::Multiply => ("multiply", low, high),
            Operation::Compare { .. } => ("compare", low, high),
        };
        format!("arithmetic/{word}/{first}/{second}")
    }

    fn worked(&self) -> Worked {
        match self.operation {
            Operation::Add => steps::add(self.a, self.b),
            Operation::Subtract => steps::subtract(self.a, self.b),
            Operation::Multiply => steps::multiply(self.a, self.b),
            Operation::Compare { larger } => steps::compare(self.a, self.b, larger),
        }
    }

    fn question(&self, choices: &mut Choices) -> String {
        let form = match self.operation {
            Operation::Add => choices.pick(&ADD),
            Operation::Subtract => choices.pick(&SUBTRACT),
            Operation::Multiply => choices.pick(&MULTIPLY),
            Operation::Compare { larger: true } => choices.pick(&LARGER),
            Operation::Compare { larger: false } => choices.pick(&SMALLER),
        };
        let mut values = vec![];
        let (a, b) = (self.a.to_string(), self.b.to_string());
        if form.contains("{name}") {
            values.push(("name", choices.pick(&PEOPLE).0));
        }
        if form.contains("{things}") {
            values.push(("things", *choices.pick(&THINGS)));
        }
        values.extend([("a", a.as_str()), ("b", b.as_str())]);
        fill(form, &values)
    }
}

fn problem(choices: &mut Choices) -> Problem {
    choices.combination(|choices| {
        let problem = Problem::draw(choices);
        (problem, problem.name())
    })
}

/// A question and the worked answer.
pub(super) fn exchange(choices: &mut Choices) -> Exchange {
    let problem = problem(choices);
    let question = problem.question(choices);
    Exchange::exact(problem.kind, question, problem.worked().answer())
}

/// Asks `question` to be answered without steps; the answer that does.
pub(super) fn at_once(question: &mut String, result: &str) -> String {
    question.push_str(NO_THINK);
    format!("<think>\n\n</think>\n\n{result}")
}

/// A conversation of one question.
pub(super) fn content(choices: &mut Choices) -> Content {
    let problem = problem(choices);
    let mut question = problem.question(choices);
    let worked = problem.worked();
    let small = problem.a < 100 && problem.b < 100;
    let answer = if small && choices.chance(AT_ONCE_PERCENT) {
        at_once(&mut question, &worked.result.to_string())
    } else {
        worked.answer()
    };
    Content::Chat(Exchange::exact(problem.kind, question, answer).messages())
}
