//! Questions to score a model with.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::content::turns;
use super::{
    Check, Choices, Domain, Exchange, Split, arithmetic, chat, code, facts, instructions, tools,
};
use crate::data::Message;

/// Draws for each task that is wanted, at most: small sets of combinations run out.
const ATTEMPTS: u64 = 40;
/// Where the indices of tasks begin, far from those of documents.
const FIRST_INDEX: u64 = 1 << 48;

/// A question about a held-out combination.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its domain.
    pub domain: Domain,
    /// What is asked for, to count right answers by: `add2`, `capital`, …
    pub kind: String,
    /// The turns before the answer.
    #[serde(deserialize_with = "turns_of")]
    pub prompt: Vec<Message>,
    /// What an answer must fulfil.
    pub check: Check,
    /// A right answer, thoughts included.
    pub reference: String,
    /// The combinations in it, by name.
    pub combinations: Vec<String>,
}

/// A conversation of at least one turn.
fn turns_of<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Message>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Turn {
        role: String,
        content: String,
    }
    let turns = Vec::<Turn>::deserialize(from)?;
    if turns.is_empty() {
        return Err(serde::de::Error::custom("`prompt` has no turn"));
    }
    let message = |Turn { role, content }| Message { role, content };
    Ok(turns.into_iter().map(message).collect())
}

impl Task {
    /// The line of a `tasks.jsonl`.
    pub fn row(&self) -> Value {
        json!({
            "domain": self.domain.name(), "kind": self.kind, "prompt": turns(&self.prompt),
            "check": self.check, "reference": self.reference, "combinations": self.combinations,
        })
    }
}

/// Up to `count` tasks of a domain on held-out combinations, no prompt twice. Stories have none:
/// no rule says what a good one is.
pub fn tasks(domain: Domain, seed: u64, count: usize) -> Vec<Task> {
    tasks_where(domain, Split::HeldOut, seed, count, |_| true)
}

/// Up to `count` comparisons of two numbers to be answered at once, without steps: short answers of
/// which a model that learnt the steps gets some right.
pub fn comparisons(split: Split, seed: u64, count: usize) -> Vec<Task> {
    let mut tasks = tasks_where(Domain::Arithmetic, split, seed, count, |kind| {
        kind == "compare"
    });
    for task in &mut tasks {
        if let (Some(question), Check::Exact(result)) = (task.prompt.last_mut(), &task.check) {
            task.reference = arithmetic::at_once(&mut question.content, result);
        }
    }
    tasks
}

/// A prompt with a right answer and a wrong one: that of another prompt of its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Preference {
    /// The turns before the answer.
    pub prompt: Vec<Message>,
    /// The right answer.
    pub chosen: String,
    /// The wrong one.
    pub rejected: String,
}

impl Preference {
    /// The line of a file of pairs.
    pub fn row(&self) -> Value {
        json!({
            "prompt": turns(&self.prompt), "chosen": self.chosen, "rejected": self.rejected,
        })
    }
}

/// Up to `count` pairs of a domain.
pub fn preferences(domain: Domain, split: Split, seed: u64, count: usize) -> Vec<Preference> {
    let tasks = tasks_where(domain, split, seed, count, |_| true);
    let mut pairs = Vec::with_capacity(tasks.len());
    for (index, task) in tasks.iter().enumerate() {
        let others = tasks.iter().cycle().skip(index + 1).take(tasks.len());
        let mut wrong = others.filter(|other| other.kind == task.kind && other.check != task.check);
        pairs.extend(wrong.next().map(|other| Preference {
            prompt: task.prompt.clone(),
            chosen: task.reference.clone(),
            rejected: other.reference.clone(),
        }));
    }
    pairs
}

/// As [`tasks`] on combinations of either part, of the kinds that are wanted.
fn tasks_where(
    domain: Domain,
    split: Split,
    seed: u64,
    count: usize,
    wanted: impl Fn(&str) -> bool,
) -> Vec<Task> {
    let draw: fn(&mut Choices) -> Exchange = match domain {
        Domain::Stories => return Vec::new(),
        Domain::Facts => facts::exchange,
        Domain::Arithmetic => arithmetic::exchange,
        Domain::Instructions => instructions::exchange,
        Domain::Tools => tools::exchange,
        Domain::Chat => chat::recall,
        Domain::Code => code::exchange,
    };
    let (mut tasks, mut seen) = (Vec::new(), BTreeSet::new());
    let attempts = (count as u64).saturating_mul(ATTEMPTS);
    for index in 0..attempts {
        if tasks.len() == count {
            break;
        }
        let mut choices = Choices::new(seed, domain, split, FIRST_INDEX + index);
        let exchange = draw(&mut choices);
        if !wanted(exchange.kind) {
            continue;
        }
        let asked: Vec<&str> = exchange.prompt.iter().map(|m| m.content.as_str()).collect();
        if seen.insert(asked.join("\n")) {
            tasks.push(Task {
                domain,
                kind: exchange.kind.to_owned(),
                check: exchange.check,
                reference: exchange.answer,
                combinations: choices.combinations().to_vec(),
                prompt: exchange.prompt,
            });
        }
    }
    tasks
}
