//! Whether a model is asked in the form that it was trained in.
//!
//! A model folder or adapter keeps `prompt_format.json`: what a fixed conversation looks like as
//! tokens, once as generation writes it and once as training does. Whoever asks the model later
//! compares: a template, tokenizer or stop token that has changed in between is an error, because
//! answers only get worse and nothing else would say why.

use std::path::{Path, PathBuf};

use llm_store::atomic::write_file;
use serde::{Deserialize, Serialize};

use crate::data::{Message, Row};
use crate::prompt::Codec;
use crate::{Error, Result};

/// The file's name.
pub const FILE: &str = "prompt_format.json";
/// The name of the check.
pub const CHECK: &str = "template-differs";
/// A file larger than this is not ours.
const LARGEST_BYTES: u64 = 1 << 20;
/// Enough for the fixed conversation under any template.
const LONGEST: usize = 1 << 16;

/// How prompts and answers are written: what two sides have to share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// `chat` or `plain`.
    pub format: String,
    /// The fixed prompt as text with its special tokens, for people to compare.
    pub prompt: String,
    /// The ids of the fixed prompt.
    pub prompt_ids: Vec<u32>,
    /// The ids of the fixed prompt with its answer.
    pub row_ids: Vec<u32>,
    /// The tokens that end an answer, in rising order.
    pub stop: Vec<u32>,
}

impl Form {
    /// The form that `codec` writes.
    ///
    /// # Errors
    /// What the template or the tokenizer refuses.
    pub fn of(codec: &Codec) -> Result<Self> {
        let message = |role: &str, content: &str| Message {
            role: role.into(),
            content: content.into(),
        };
        let row = Row {
            messages: vec![
                message("user", "What is 2 + 2?"),
                message("assistant", "It is 4."),
            ],
            path: std::sync::Arc::new(PathBuf::from("the fixed conversation")),
            line: 1,
        };
        let prompt_ids = codec.prompt_ids(row.prompt())?;
        let (example, _) = codec.example(&row, LONGEST)?;
        let mut stop = codec.stop_tokens().to_vec();
        stop.sort_unstable();
        Ok(Self {
            format: codec.format_name().to_owned(),
            prompt: codec.tokenizer.decode(&prompt_ids)?,
            prompt_ids,
            row_ids: example.map(|example| example.ids).unwrap_or_default(),
            stop,
        })
    }

    /// What differs from `other`, in words; `None` when nothing does.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.format != other.format {
            return Some(format!("{} and {}", self.format, other.format));
        }
        if self.prompt_ids != other.prompt_ids {
            return Some(format!("{:?} and {:?}", self.prompt, other.prompt));
        }
        if self.row_ids != other.row_ids {
            return Some("the same prompt, but answers that end differently".into());
        }
        (self.stop != other.stop).then(|| {
            format!(
                "the same prompt, but stop tokens {:?} and {:?}",
                self.stop, other.stop
            )
        })
    }
}

/// Writes the form of `codec` into a model folder or adapter.
///
/// # Errors
/// The disk refuses.
pub fn record(folder: &Path, codec: &Codec) -> Result<()> {
    let path = folder.join(FILE);
    let form = serde_json::to_string_pretty(&Form::of(codec)?)
        .map_err(|error| Error::file(&path, error.to_string()))?;
    Ok(write_file(&path, format!("{form}\n").as_bytes())?)
}

/// Fails when the model in `folder` was trained in another form than `codec` writes. A folder that
/// does not say is not checked.
///
/// # Errors
/// Another form, or a file that is none of ours.
pub fn check(folder: &Path, codec: &Codec) -> Result<()> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(());
    }
    let size = std::fs::metadata(&path).map_err(Error::io(&path))?.len();
    if size > LARGEST_BYTES {
        let problem = format!("has {size} bytes, expected at most {LARGEST_BYTES}");
        return Err(Error::input(path.display().to_string(), problem));
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let trained: Form = serde_json::from_str(&text)
        .map_err(|error| Error::input(path.display().to_string(), error.to_string()))?;
    match trained.difference(&Form::of(codec)?) {
        None => Ok(()),
        Some(difference) => Err(Error::Check {
            name: CHECK,
            problem: format!(
                "{} was trained and is now asked in different forms: {difference}",
                folder.display()
            ),
            hint: "use the tokenizer and chat template that the model was trained with",
        }),
    }
}
