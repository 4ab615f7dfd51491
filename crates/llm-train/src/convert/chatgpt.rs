//! A ChatGPT export: every conversation is a tree, and what the person saw last is one path in it.
//!
//! ```text
//! mapping: {id: {message, parent, children}}    current_node: id
//! ```
//!
//! An edited question or a regenerated answer is another child of the same parent. The path from
//! `current_node` to the root is the conversation; what stands on other branches is counted.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::Converted;
use super::turns::{LeftOut, Turns};

/// The row of one conversation.
pub(super) fn row(record: &Value, left_out: &mut LeftOut) -> Converted {
    let Some(mapping) = record.get("mapping").and_then(Value::as_object) else {
        return Err("has no object `mapping`".into());
    };
    let Some(current) = record.get("current_node").and_then(Value::as_str) else {
        return Err("has no `current_node`".into());
    };
    let path = path(mapping, current)?;
    left_out.add("messages on other branches", elsewhere(mapping, &path));
    let mut turns = Turns::default();
    for id in path {
        if let Some(message) = mapping.get(id).and_then(|node| node.get("message")) {
            say(message, &mut turns, left_out);
        }
    }
    turns.finish(left_out)
}

/// The ids from the root to `current`.
fn path<'a>(mapping: &'a Map<String, Value>, current: &'a str) -> Result<Vec<&'a str>, String> {
    let mut path = Vec::new();
    let mut seen = HashSet::new();
    let mut next = Some(current);
    while let Some(id) = next {
        let Some(node) = mapping.get(id) else {
            return Err("has a node whose parent is missing".into());
        };
        if !seen.insert(id) {
            return Err("has a node that is its own ancestor".into());
        }
        path.push(id);
        next = node.get("parent").and_then(Value::as_str);
    }
    path.reverse();
    Ok(path)
}

/// Messages of user and assistant that are not on the path.
fn elsewhere(mapping: &Map<String, Value>, path: &[&str]) -> usize {
    let path: HashSet<&str> = path.iter().copied().collect();
    let spoken = |node: &Value| {
        let message = node.get("message").filter(|message| message.is_object());
        message.is_some_and(|message| matches!(role(message), "user" | "assistant"))
    };
    let others = mapping.iter().filter(|(id, _)| !path.contains(id.as_str()));
    others.filter(|(_, node)| spoken(node)).count()
}

fn role(message: &Value) -> &str {
    let role = message.get("author").and_then(|author| author.get("role"));
    role.and_then(Value::as_str).unwrap_or_default()
}

fn say(message: &Value, turns: &mut Turns, left_out: &mut LeftOut) {
    if message.is_null() {
        return; // the root of a tree has none
    }
    let role = role(message);
    let content = message.get("content").unwrap_or(&Value::Null);
    let kind = content.get("content_type").and_then(Value::as_str);
    match (role, kind.unwrap_or_default()) {
        ("tool", _) => turns.skip(role, "tool messages", left_out),
        ("user" | "assistant" | "system", _) if is_hidden(message) => {
            turns.skip("", "hidden messages", left_out);
        }
        ("assistant", _) if is_for_a_tool(message) => turns.skip(role, "tool calls", left_out),
        ("user" | "assistant" | "system", "text") => {
            turns.say(role, &text(content), left_out);
        }
        ("user" | "assistant", "multimodal_text") => {
            let parts = content.get("parts").and_then(Value::as_array);
            let is_text = parts.is_some_and(|parts| parts.iter().all(Value::is_string));
            match is_text {
                true => turns.say(role, &text(content), left_out),
                false => turns.skip(role, "messages with images, sound or files", left_out),
            }
        }
        ("user" | "system", "user_editable_context") => {
            turns.skip("", "custom instructions", left_out);
        }
        ("user" | "assistant" | "system", _) => {
            turns.skip(role, "messages of another kind (code, reasoning)", left_out);
        }
        _ => turns.skip("", "messages of an unknown role", left_out),
    }
}

/// Weight 0 marks what the program did not send on; hidden is what the person did not see.
fn is_hidden(message: &Value) -> bool {
    let flag = message
        .get("metadata")
        .and_then(|metadata| metadata.get("is_visually_hidden_from_conversation"));
    let weight = message.get("weight").and_then(Value::as_f64);
    flag == Some(&Value::Bool(true)) || weight == Some(0.0)
}

fn is_for_a_tool(message: &Value) -> bool {
    let recipient = message.get("recipient").and_then(Value::as_str);
    recipient.is_some_and(|recipient| recipient != "all")
}

fn text(content: &Value) -> String {
    let parts = content.get("parts").and_then(Value::as_array);
    let parts = parts.into_iter().flatten().filter_map(Value::as_str);
    parts.collect::<Vec<_>>().join("\n")
}
