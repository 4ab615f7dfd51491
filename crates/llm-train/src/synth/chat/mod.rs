//! Talk over several turns: greetings, what the user told, questions in between.

mod memory;
mod talk;

use super::{Check, Choices, Content, Exchange, facts, say};
use crate::data::Message;

/// What stands between being told and being asked.
fn between(choices: &mut Choices) -> Vec<Message> {
    let turns = choices.weighted(&[30, 45, 25]);
    let turn = |_| match choices.chance(60) {
        true => facts::exchange(choices).messages(),
        false => talk::question(choices).messages(),
    };
    (0..turns).flat_map(turn).collect()
}

/// Something told, talk about other things, and the question what was told.
pub(super) fn recall(choices: &mut Choices) -> Exchange {
    let memory = memory::draw(choices);
    let mut prompt = vec![say("user", memory.told), say("assistant", memory.reply)];
    prompt.extend(between(choices));
    prompt.push(say("user", memory.asked));
    Exchange {
        kind: memory.kind,
        prompt,
        check: Check::Exact(memory.answer.clone()),
        answer: memory.answer,
        rest: Vec::new(),
    }
}

/// A conversation.
pub(super) fn content(choices: &mut Choices) -> Content {
    let mut messages = Vec::new();
    if choices.chance(40) {
        messages.extend(talk::greeting(choices).messages());
    }
    if choices.chance(60) {
        messages.extend(recall(choices).messages());
    } else {
        let turns = choices.number(1, 3);
        messages.extend((0..turns).flat_map(|_| talk::question(choices).messages()));
    }
    if choices.chance(25) {
        messages.extend(talk::farewell(choices).messages());
    }
    Content::Chat(messages)
}
