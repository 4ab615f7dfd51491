//! The four tools, and the system message that offers them.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Value, json};

/// The tools as JSON schemas: calculator, convert, weather, calendar.
pub fn schemas() -> Vec<Value> {
    let text = json!({ "type": "string" });
    let tool = |name: &str, description: &str, properties: Value| {
        let required: Vec<&String> = properties
            .as_object()
            .into_iter()
            .flat_map(|p| p.keys())
            .collect();
        let required = json!(required);
        json!({ "type": "function", "function": {
            "name": name, "description": description,
            "parameters": { "type": "object", "properties": properties, "required": required },
        }})
    };
    vec![
        tool(
            "calculator",
            "Compute an expression",
            json!({ "expression": text }),
        ),
        tool(
            "convert",
            "Convert a value from one unit to another",
            json!({ "value": { "type": "number" }, "from": text, "to": text }),
        ),
        tool(
            "weather",
            "The weather in a city",
            json!({
                "city": text, "day": { "type": "string", "enum": ["today", "tomorrow"] },
            }),
        ),
        tool(
            "calendar",
            "The day of the week of a date",
            json!({ "date": text }),
        ),
    ]
}

/// The system message that offers `tools`, as the chat template writes it.
pub fn system_message(tools: &[Value]) -> String {
    let lines: Vec<String> = tools.iter().map(spaced).collect();
    format!(
        "# Tools\n\nFunctions that you may call stand in <tools></tools>, one a line:\n<tools>\n{}\n</tools>\n\n\
         To call one, write its name and arguments like this:\n<tool_call>\n\
         {{\"name\": <function>, \"arguments\": <object>}}\n</tool_call>",
        lines.join("\n")
    )
}

/// JSON with a space behind each comma and colon, as chat templates write it.
pub(super) fn spaced(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut writer = Serializer::with_formatter(&mut bytes, Spaced);
    match value.serialize(&mut writer) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => value.to_string(), // writing into memory does not fail
    }
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_spaced_and_keeps_the_order_of_keys() {
        let value = json!({ "b": [1, "x, y"], "a": { "c": null }, "d": [] });
        assert_eq!(
            spaced(&value),
            r#"{"b": [1, "x, y"], "a": {"c": null}, "d": []}"#
        );
    }
}
