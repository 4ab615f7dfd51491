//! Documents and how they are written.

use serde_json::{Value, json};

use super::{Choices, Domain, say};
use crate::data::Message;

/// What some conversations begin with, so that a system message is nothing new to the model.
pub const SYSTEM: &str = "You are deeper-tiny, a small and friendly language model.";
/// How many conversations of a hundred begin with it.
const WITH_SYSTEM_PERCENT: u32 = 10;

/// A plain text or a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Text without special tokens.
    Text(String),
    /// Turns; the last is the assistant's.
    Chat(Vec<Message>),
}

impl Content {
    /// One conversation in ten gets a system message, in front of the tools if there are some.
    pub(super) fn with_system(mut self, choices: &mut Choices) -> Self {
        if let Self::Chat(messages) = &mut self
            && choices.chance(WITH_SYSTEM_PERCENT)
        {
            match messages.first_mut().filter(|first| first.role == "system") {
                Some(first) => first.content = format!("{SYSTEM}\n\n{}", first.content),
                None => messages.insert(0, say("system", SYSTEM)),
            }
        }
        self
    }
}

/// A document with its probability and what it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its domain.
    pub domain: Domain,
    /// What it says.
    pub content: Content,
    /// -ln of the probability of the choices that made it; see [the module](super).
    pub nats: f64,
    /// The combinations in it, by name.
    pub combinations: Vec<String>,
}

impl Document {
    /// The text for pretraining; a conversation as the chat template writes it.
    pub fn text(&self) -> String {
        match &self.content {
            Content::Text(text) => format!("{text}\n"),
            Content::Chat(messages) => render(messages),
        }
    }

    /// The row for fine-tuning; `None` for plain text. Keys beside `messages` say what it is.
    pub fn row(&self) -> Option<Value> {
        let Content::Chat(messages) = &self.content else {
            return None;
        };
        Some(json!({
            "messages": turns(messages), "domain": self.domain.name(),
            "combinations": self.combinations,
        }))
    }
}

/// Messages as JSON.
pub(super) fn turns(messages: &[Message]) -> Vec<Value> {
    let turn = |m: &Message| json!({ "role": m.role, "content": m.content });
    messages.iter().map(turn).collect()
}

/// A conversation as the model's chat template writes it (`tiny/chat_template.jinja`).
///
/// Thoughts stay only where no question of the user follows. Results of tools are turns of the user
/// in `<tool_response>` marks; neighbours share one turn.
pub fn render(messages: &[Message]) -> String {
    let last_question = messages.iter().rposition(|m| m.role == "user").unwrap_or(0);
    let is_tool = |index: Option<usize>| {
        let message = index.and_then(|index| messages.get(index));
        message.is_some_and(|message| message.role == "tool")
    };
    let mut text = String::new();
    for (index, message) in messages.iter().enumerate() {
        let content = message.content.as_str();
        match message.role.as_str() {
            "tool" => {
                if !is_tool(index.checked_sub(1)) {
                    text.push_str("<|im_start|>user");
                }
                text += &format!("\n<tool_response>\n{content}\n</tool_response>");
                if !is_tool(Some(index + 1)) {
                    text.push_str("<|im_end|>\n");
                }
            }
            role => {
                let past = role == "assistant" && index < last_question;
                let content = match content.rsplit_once("</think>") {
                    Some((_, answer)) if past => answer.trim_start_matches('\n'),
                    _ => content,
                };
                text += &format!("<|im_start|>{role}\n{content}<|im_end|>\n");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_share_a_turn_and_old_thoughts_are_dropped() {
        let messages = [
            say("user", "a"),
            say("assistant", "<think>\nb\n</think>\n\nc"),
            say("user", "d"),
            say("assistant", "<think>\ne\n</think>\n\nf"),
            say("tool", "g"),
            say("tool", "h"),
            say("assistant", "i"),
        ];
        let want = "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nc<|im_end|>\n\
            <|im_start|>user\nd<|im_end|>\n<|im_start|>assistant\n<think>\ne\n</think>\n\nf<|im_end|>\n\
            <|im_start|>user\n<tool_response>\ng\n</tool_response>\n<tool_response>\nh\n\
            </tool_response><|im_end|>\n<|im_start|>assistant\ni<|im_end|>\n";
        assert_eq!(render(&messages), want);
    }
}
