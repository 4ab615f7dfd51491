//! Calls of tools in Qwen's format: the call, the tool's result, the last word.
//!
//! Operands are outside of what [`super::arithmetic`] does in the head, so that no result of a tool
//! gives a held-out sum away. Some questions need no tool, and for some the tool is missing.

mod calls;
mod schema;

pub use schema::{schemas, system_message};

use serde_json::Value;

use super::{Check, Choices, Content, Exchange, facts, say};
use calls::{Call, DRAWS};

/// What is said when no tool fits.
const MISSING: &str = "I have no tool for that.";
/// How many of a hundred conversations go on with a second call.
const SECOND_CALL_PERCENT: u32 = 30;

/// Shares of none, one, two or three other tools beside the one that is asked for.
const OTHERS: [u32; 4] = [35, 40, 15, 10];

/// What a conversation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Call,
    NoToolNeeded,
    ToolMissing,
}

const KINDS: [(Kind, u32); 3] = [
    (Kind::Call, 80),
    (Kind::NoToolNeeded, 12),
    (Kind::ToolMissing, 8),
];

/// The system message with the tool at `wanted` among some others; without it if `absent`.
fn offer(choices: &mut Choices, wanted: usize, absent: bool) -> String {
    let all = schemas();
    let others: Vec<usize> = (0..all.len()).filter(|&tool| tool != wanted).collect();
    let least = usize::from(absent);
    let count = least + choices.weighted(&OTHERS[least..]);
    let mut offered: Vec<usize> = choices
        .several(&others, count)
        .into_iter()
        .copied()
        .collect();
    if !absent {
        offered.insert(choices.below(offered.len() + 1), wanted);
    }
    let offered: Vec<Value> = offered.into_iter().map(|tool| all[tool].clone()).collect();
    system_message(&offered)
}

/// A question with tools at hand.
pub(super) fn exchange(choices: &mut Choices) -> Exchange {
    let weights = KINDS.map(|(_, weight)| weight);
    let (kind, _) = KINDS[choices.weighted(&weights)];
    let tool = choices.below(DRAWS.len());
    let system = say("system", offer(choices, tool, kind == Kind::ToolMissing));
    let mut exchange = match kind {
        Kind::Call => exchange_of(Call::draw(choices, tool)),
        Kind::NoToolNeeded => Exchange {
            kind: "no_tool_needed",
            ..facts::exchange(choices)
        },
        Kind::ToolMissing => {
            let call = Call::draw(choices, tool);
            Exchange::exact("tool_missing", call.question, MISSING.to_owned())
        }
    };
    exchange.prompt.insert(0, system);
    exchange
}

fn exchange_of(call: Call) -> Exchange {
    Exchange {
        kind: call.tool,
        prompt: vec![say("user", &*call.question)],
        answer: call.text(),
        check: Check::Call {
            name: call.tool.to_owned(),
            arguments: call.arguments,
        },
        rest: vec![say("tool", call.result), say("assistant", call.answer)],
    }
}

/// A conversation with tools at hand.
pub(super) fn content(choices: &mut Choices) -> Content {
    let first = exchange(choices);
    let tool = calls::index_of(first.kind);
    let mut messages = first.messages();
    if let Some(tool) = tool
        && choices.chance(SECOND_CALL_PERCENT)
    {
        messages.extend(exchange_of(Call::draw(choices, tool)).messages());
    }
    Content::Chat(messages)
}
