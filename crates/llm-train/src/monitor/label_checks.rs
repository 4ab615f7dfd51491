//! Checks of what is trained on: which tokens count, which rows are in which part.

use std::collections::{HashMap, HashSet};

use llm_core::ops::IGNORE_INDEX;

use super::checks::{Found, fault};
use super::sabotage::Fault;
use crate::Result;
use crate::data::DataFormat;
use crate::labels::Example;
use crate::session::Session;

/// Fewer rows say nothing about how rows differ.
const FEWEST: usize = 8;

/// Where an example stands, for messages.
struct Place(&'static str, usize);

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} example {}", self.0, self.1)
    }
}

/// All examples of a session, training ones first.
fn examples(session: &Session) -> impl Iterator<Item = (Place, &Example)> {
    let train = session.dataset.train.iter().enumerate();
    let held = session.dataset.validation.iter().enumerate();
    let train = train.map(|(index, example)| (Place("training", index), example));
    train.chain(held.map(|(index, example)| (Place("held-out", index), example)))
}

/// Whether the rows are prompts with answers; in plain text every token counts.
fn has_prompts(session: &Session) -> bool {
    session.config.data_format != DataFormat::Text
}

/// A label is its own token or none: targets move by one when batches are made, not before.
pub(super) fn labels_are_tokens(session: &Session) -> Found {
    for (name, Example { ids, labels, .. }) in examples(session) {
        if ids.len() != labels.len() {
            let problem = format!(
                "{name} has {} tokens and {} labels",
                ids.len(),
                labels.len()
            );
            return fault(Fault::LabelsShifted, problem);
        }
        let differs =
            |&(&id, &label): &(&u32, &i64)| label != IGNORE_INDEX && label != i64::from(id);
        let pairs = || ids.iter().zip(labels);
        if let Some(place) = pairs().position(|pair| differs(&pair)) {
            let wrong = pairs().filter(differs).count();
            let problem = format!(
                "{name} has {wrong} labels that are not their own token, the first at {place}"
            );
            return fault(Fault::LabelsShifted, problem);
        }
    }
    Found::Sound
}

/// Prompts are not learned: in most rows the second token does not count, and in a few held-out rows none of the ids that generation would be given counts.
pub(super) fn prompts_are_masked(session: &Session) -> Result<Found> {
    if !has_prompts(session) {
        return Ok(Found::NotHere("plain text has no prompts"));
    }
    for row in session.dataset.validation_rows.iter().take(FEWEST) {
        // What the assistant said earlier counts too.
        if row
            .prompt()
            .iter()
            .any(|message| message.role == "assistant")
        {
            continue;
        }
        let prompt = session.codec.prompt_ids(row.prompt())?;
        let (Some(example), _) = session.codec.example(row, session.config.max_length)? else {
            continue;
        };
        let labels = example.labels.iter().take(prompt.len());
        let learned = labels.filter(|&&label| label != IGNORE_INDEX).count();
        if example.ids.starts_with(&prompt) && learned > 0 {
            let problem = format!(
                "{}:{}: {learned} of the {} tokens of the prompt count",
                row.path.display(),
                row.line,
                prompt.len()
            );
            return Ok(fault(Fault::PromptSupervised, problem));
        }
    }
    // A prompt has two tokens or more, so the second token of a row does not count.
    let second = |example: &Example| example.labels.get(1).is_some_and(|&l| l != IGNORE_INDEX);
    let count = examples(session)
        .filter(|(_, example)| second(example))
        .count();
    let all = examples(session).count();
    if 2 * count <= all {
        return Ok(Found::Sound);
    }
    let problem = format!("in {count} of {all} examples the tokens of the prompt count");
    Ok(fault(Fault::PromptSupervised, problem))
}

/// Answers end with a token that ends generation, and it counts; rows that were cut are left out.
pub(super) fn ends_are_learned(session: &Session) -> Found {
    if !has_prompts(session) {
        return Found::NotHere("plain text has no answers");
    }
    let stop = session.codec.stop_tokens();
    let stops = |label: i64| stop.iter().any(|&id| i64::from(id) == label);
    let most = session.config.max_length;
    let whole = || examples(session).filter(move |(_, example)| example.ids.len() < most);
    let open = |example: &Example| {
        let last = example
            .labels
            .iter()
            .rev()
            .find(|&&label| label != IGNORE_INDEX);
        !last.is_some_and(|&label| stops(label))
    };
    let count = whole().filter(|(_, example)| open(example)).count();
    let all = whole().count();
    if 2 * count <= all {
        return Found::Sound;
    }
    let problem = format!(
        "in {count} of {all} examples the last token that counts is none of the stop tokens {stop:?}"
    );
    fault(Fault::EosUnsupervised, problem)
}

/// No example ends in two stop tokens that both count: one is the end, more are padding.
pub(super) fn pads_are_masked(session: &Session) -> Found {
    let pad = i64::from(session.codec.pad());
    let padded = |example: &Example| matches!(example.labels.as_slice(), [.., a, b] if *a == pad && *b == pad);
    let found = examples(session).find(|(_, example)| padded(example));
    match found.filter(|_| has_prompts(session)) {
        None => Found::Sound,
        Some((name, _)) => {
            let count = examples(session)
                .filter(|(_, example)| padded(example))
                .count();
            let problem = format!(
                "{count} examples end in several pad tokens that count, the first is {name}"
            );
            fault(Fault::PadSupervised, problem)
        }
    }
}

/// No example is more than half of the training data.
pub(super) fn rows_differ(session: &Session) -> Found {
    let train = &session.dataset.train;
    if !has_prompts(session) || train.len() < FEWEST {
        return Found::NotHere("few rows, or plain text");
    }
    let mut counts: HashMap<&[u32], usize> = HashMap::new();
    for example in train {
        *counts.entry(&example.ids).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(0);
    if 2 * most <= train.len() {
        return Found::Sound;
    }
    let problem = format!("{most} of {} training examples are the same", train.len());
    fault(Fault::ConstantBatches, problem)
}

/// No held-out row is trained on.
pub(super) fn split_is_clean(session: &Session) -> Found {
    if !has_prompts(session) {
        return Found::NotHere("plain text");
    }
    let trained: HashSet<&[u32]> = session
        .dataset
        .train
        .iter()
        .map(|e| e.ids.as_slice())
        .collect();
    let held = &session.dataset.validation;
    let same = held
        .iter()
        .filter(|e| trained.contains(e.ids.as_slice()))
        .count();
    let prompts = session.dataset.report.overlap;
    if same == 0 && prompts == 0 {
        return Found::Sound;
    }
    let problem = format!(
        "of {} held-out examples {same} are also trained on, and {prompts} share their prompt with \
         a training row: their loss measures memory",
        held.len()
    );
    fault(Fault::LeakingSplit, problem)
}
