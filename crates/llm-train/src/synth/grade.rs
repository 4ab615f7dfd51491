//! Whether an answer is right.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Task;

const CALL_OPENS: &str = "<tool_call>";
const CALL_CLOSES: &str = "</tool_call>";

/// What an answer must fulfil.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// It is this text, but for white space around it.
    Exact(String),
    /// It is JSON with this value; the order of keys does not matter.
    Json(Value),
    /// It holds exactly one tool call, which is JSON, with this name and these arguments.
    Call {
        /// The tool.
        name: String,
        /// The arguments, all of them.
        arguments: Value,
    },
}

impl Check {
    /// The check that asks for what `answer` says, thoughts left out.
    pub fn exact(answer: &str) -> Self {
        Self::Exact(spoken(answer).to_owned())
    }

    /// Whether `answer` fulfils this. Thoughts are not looked at; an answer that never closes them
    /// is wrong.
    pub fn holds(&self, answer: &str) -> bool {
        let said = spoken(answer);
        match self {
            Self::Exact(want) => said == want.trim(),
            Self::Json(want) => {
                serde_json::from_str::<Value>(said).is_ok_and(|value| value == *want)
            }
            Self::Call { name, arguments } => call(said).is_some_and(|call| {
                call["name"] == name.as_str() && call["arguments"] == *arguments
            }),
        }
    }
}

/// Whether `answer` is right for `task`.
pub fn grade(task: &Task, answer: &str) -> bool {
    task.check.holds(answer)
}

/// What is said after the thoughts, without white space and a turn's end around it; empty while
/// thoughts are open.
pub(super) fn spoken(answer: &str) -> &str {
    let said = match answer.rsplit_once("</think>") {
        Some((_, said)) => said,
        None if answer.contains("<think>") => "",
        None => answer,
    };
    said.trim().trim_end_matches("<|im_end|>").trim()
}

/// The only tool call of an answer, as JSON.
fn call(said: &str) -> Option<Value> {
    let (_, rest) = said.split_once(CALL_OPENS)?;
    let (inside, rest) = rest.split_once(CALL_CLOSES)?;
    if rest.contains(CALL_OPENS) {
        return None;
    }
    serde_json::from_str(inside.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn task(check: Check) -> Task {
        Task {
            domain: super::super::Domain::Facts,
            kind: "k".into(),
            prompt: Vec::new(),
            check,
            reference: String::new(),
            combinations: Vec::new(),
        }
    }

    #[test]
    fn text_is_compared_after_the_thoughts() {
        let task = task(Check::Exact("132".into()));
        for right in ["132", " 132\n", "<think>\n47+85\n</think>\n\n132<|im_end|>"] {
            assert!(grade(&task, right), "{right}");
        }
        for wrong in [
            "",
            "13",
            "132.",
            "1 32",
            "<think>\n132",
            "<think>132</think>\n",
        ] {
            assert!(!grade(&task, wrong), "{wrong}");
        }
    }

    #[test]
    fn json_is_compared_by_value() {
        let task = task(Check::Json(json!({"name": "Mia", "age": 9})));
        assert!(grade(&task, "{\"age\": 9, \"name\":\"Mia\"}"));
        for wrong in [
            "{\"age\": \"9\", \"name\": \"Mia\"}",
            "{\"name\": \"Mia\"}",
            "{",
            "",
        ] {
            assert!(!grade(&task, wrong), "{wrong}");
        }
    }

    #[test]
    fn one_call_with_its_name_and_all_arguments() {
        let name = "weather".to_owned();
        let arguments = json!({"city": "Rome", "day": "today"});
        let task = task(Check::Call { name, arguments });
        let call = |inside: &str| format!("<tool_call>\n{inside}\n</tool_call>");
        let right = r#"{"name": "weather", "arguments": {"day": "today", "city": "Rome"}}"#;
        assert!(grade(&task, &call(right)));
        for wrong in [
            right.to_owned(),
            call(right).repeat(2),
            call("{\"name\": \"weather\"}"),
            call(&right.replace("Rome", "Oslo")),
            call(&right.replace("weather", "wheather")),
            call(&right.replace("}}", ", \"unit\": 1}}")),
            call(right).replace("</tool_call>", ""),
            call("[1"),
        ] {
            assert!(!grade(&task, &wrong), "{wrong}");
        }
    }
}
