//! Turns of a conversation, put in the order that training wants.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Converted;
use crate::data::fields::{Unique, kind, reason};
use crate::data::records::{Container, Texts};
use crate::data::{LONGEST_RECORD, Message};
use crate::{Error, Result};

/// What was left out of a record, and how often.
#[derive(Debug, Default)]
pub(super) struct LeftOut(BTreeMap<&'static str, usize>);

impl LeftOut {
    pub(super) fn add(&mut self, what: &'static str, count: usize) {
        *self.0.entry(what).or_default() += count;
    }

    pub(super) fn into_counts(self) -> Vec<(&'static str, usize)> {
        self.0.into_iter().collect()
    }
}

/// Who hears of each record: its place, its row, what was left out.
pub(super) type Each<'a> =
    &'a mut dyn FnMut(usize, Converted, Vec<(&'static str, usize)>) -> Result<()>;

/// Gives every JSON value of a file to `row`.
pub(super) fn objects(
    path: &Path,
    container: Container,
    each: Each,
    row: fn(&Value, &mut LeftOut) -> Converted,
) -> Result<()> {
    let mut texts = Texts::open(Arc::new(path.to_path_buf()), container, LONGEST_RECORD)?;
    while let Some((line, text)) = texts.next_text()? {
        let value = serde_json::from_str::<Unique>(text).map_err(|error| {
            let problem = match error.is_data() {
                true => reason(&error), // a key that stands twice
                false => format!("is not JSON ({})", reason(&error)),
            };
            Error::line(path, line, problem)
        })?;
        let mut left_out = LeftOut::default();
        let row = match &value.0 {
            Value::Object(_) => row(&value.0, &mut left_out),
            other => Err(format!("is {}, expected an object", kind(other))),
        };
        each(line, row, left_out.into_counts())?;
    }
    Ok(())
}

/// A conversation that is being put together.
#[derive(Debug, Default)]
pub(super) struct Turns {
    messages: Vec<Message>,
    /// Whether what follows belongs to a question that cannot be shown.
    skipping: bool,
}

impl Turns {
    /// Adds what someone said. Neighbours of one role become one message; an answer without a
    /// question and a system message inside the conversation are left out.
    pub(super) fn say(&mut self, role: &str, text: &str, left_out: &mut LeftOut) {
        if role == "user" {
            self.skipping = false;
        }
        if self.skipping {
            left_out.add("answers to what cannot be shown", 1);
            return;
        }
        if text.trim().is_empty() {
            left_out.add("empty messages", 1);
            return;
        }
        match self.messages.last_mut() {
            Some(last) if last.role == role => {
                last.content.push_str("\n\n");
                last.content.push_str(text);
                return;
            }
            Some(_) if role == "system" => {
                left_out.add("system messages inside a conversation", 1);
                return;
            }
            None if role == "assistant" => {
                left_out.add("answers without a question", 1);
                return;
            }
            Some(last) if role == "assistant" && last.role == "system" => {
                left_out.add("answers without a question", 1);
                return;
            }
            _ => {}
        }
        self.messages.push(Message {
            role: role.into(),
            content: text.into(),
        });
    }

    /// Leaves out a message that text cannot hold; if it is a question, its answers too.
    pub(super) fn skip(&mut self, role: &str, what: &'static str, left_out: &mut LeftOut) {
        left_out.add(what, 1);
        if role == "user" {
            self.skipping = true;
        }
    }

    /// The row: system, if any, then questions and answers; it ends with an answer.
    pub(super) fn finish(mut self, left_out: &mut LeftOut) -> Converted {
        while self
            .messages
            .last()
            .is_some_and(|last| last.role != "assistant")
        {
            let last = self.messages.pop();
            if last.is_some_and(|last| last.role == "user") {
                left_out.add("questions without an answer", 1);
            }
        }
        if self.messages.is_empty() {
            return Err("has no question with an answer".into());
        }
        let turn = |m: &Message| json!({"role": m.role, "content": m.content});
        let messages: Vec<Value> = self.messages.iter().map(turn).collect();
        Ok(json!({ "messages": messages }))
    }
}
