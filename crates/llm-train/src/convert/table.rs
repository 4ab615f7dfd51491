//! Rows of named values: Alpaca's, and tables.

use serde_json::{Value, json};

use super::turns::Each;
use super::{Converted, Form, Job};
use crate::Result;
use crate::data::fields::Fields;
use crate::data::records::{Container, Records};
use crate::data::rows::messages_of;
use crate::data::{DataFormat, Message};

/// Gives every record of a file to `each`.
pub(super) fn rows(job: &Job, container: Container, limit: usize, each: Each) -> Result<()> {
    let names = [("prompt", &job.prompt), ("completion", &job.completion)];
    let names = names
        .into_iter()
        .filter_map(|(key, name)| Some((name.clone()?, key)));
    let mut records = Records::open(&job.input, container, limit)?.renamed(names.collect());
    let format = match job.form {
        Form::Alpaca => DataFormat::Instruction,
        _ => DataFormat::Auto,
    };
    while let Some((at, fields)) = records.next_record()? {
        each(at, row(fields, format), Vec::new())?;
    }
    Ok(())
}

fn row(mut fields: Fields, format: DataFormat) -> Converted {
    let speaks = ["prompt", "completion", "messages", "instruction", "output"];
    if format == DataFormat::Auto && !speaks.iter().any(|key| fields.has(key)) {
        // A corpus for pretraining.
        return match fields.take("text") {
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(json!({ "text": text })),
            Some(_) => Err("`text` is empty or no string".into()),
            None => Err(format!(
                "has the columns {}; expected prompt and completion, instruction and output, \
                 messages, or text; --prompt and --completion name others",
                fields.keys()
            )),
        };
    }
    let conversation = fields.has("messages");
    let messages = messages_of(fields, format)?;
    match messages.as_slice() {
        [prompt, completion] if !conversation => {
            Ok(json!({"prompt": prompt.content, "completion": completion.content}))
        }
        all => {
            let turn = |m: &Message| json!({"role": m.role, "content": m.content});
            let messages: Vec<Value> = all.iter().map(turn).collect();
            Ok(json!({ "messages": messages }))
        }
    }
}
