//! ShareGPT: `{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}`.

use serde_json::Value;

use super::Converted;
use super::turns::{LeftOut, Turns};

/// The row of one record.
pub(super) fn row(record: &Value, left_out: &mut LeftOut) -> Converted {
    let Some(list) = record.get("conversations").and_then(Value::as_array) else {
        return Err("has no array `conversations`".into());
    };
    let mut turns = Turns::default();
    // Some sets have the system message beside the conversation.
    if let Some(Value::String(system)) = record.get("system")
        && !system.trim().is_empty()
    {
        turns.say("system", system, left_out);
    }
    for turn in list {
        let Some(from) = turn.get("from").and_then(Value::as_str) else {
            return Err("has a turn without `from`".into());
        };
        let Some(value) = turn.get("value").and_then(Value::as_str) else {
            return Err("has a turn without a string `value`".into());
        };
        match from {
            "human" | "user" => turns.say("user", value, left_out),
            "gpt" | "assistant" | "chatgpt" | "model" | "bot" => {
                turns.say("assistant", value, left_out);
            }
            "system" => turns.say("system", value, left_out),
            "tool" | "observation" | "function_response" => {
                turns.skip("tool", "tool messages", left_out);
            }
            "function_call" | "tool_call" => turns.skip("assistant", "tool calls", left_out),
            _ => {
                let from: String = from.chars().take(20).collect();
                return Err(format!(
                    "has a turn from `{from}`, expected human, gpt or system"
                ));
            }
        }
    }
    turns.finish(left_out)
}
