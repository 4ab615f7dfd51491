//! How a row becomes token ids, in training and in generation alike.
//!
//! - **chat**: the model's own template renders the messages; what the assistant says and the token
//!   that ends its turn are supervised. What a user wrote never becomes a special token.
//! - **plain**, for models without a template: BOS (if the tokenizer has one), the messages before
//!   the answer, each followed by a new line, then the answer and EOS:
//!
//! ```text
//! <BOS>What is the SI unit of force?\nThe newton.<EOS>
//! ```
//!
//! The prompt's ids are made on their own, never by cutting a longer list, so generation starts
//! from exactly the ids that training masked.

use std::path::Path;

use llm_core::text::chat::{self, ChatTemplate, RenderOptions};
use llm_core::text::hf::HfTokenizer;

use crate::config::PromptStyle;
use crate::data::{DOCUMENT_SEPARATOR, Message, Row};
use crate::labels::{Example, assemble, masked};
use crate::tokens::KeyBuilder;
use crate::{Error, Result};

/// The files that say how text becomes ids; the tokenizer itself first.
const TOKENIZER_SOURCES: [&str; 4] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "chat_template.jinja",
];
/// What a template calls that writes the date into its prompts.
const CLOCK: &[u8] = b"strftime_now";

/// The way prompts are written.
#[derive(Clone, Debug)]
pub enum PromptFormat {
    /// By the model's chat template.
    Chat(Box<ChatTemplate>),
    /// The messages and new lines.
    Plain,
}

/// A tokenizer with a prompt format.
#[derive(Clone, Debug)]
pub struct Codec {
    /// The tokenizer.
    pub tokenizer: HfTokenizer,
    /// The prompt format.
    pub format: PromptFormat,
}

impl Codec {
    /// The tokenizer and template of a model folder.
    ///
    /// # Errors
    /// No tokenizer, files that cannot be used, a `style` of chat without a template, or a
    /// tokenizer with no EOS, from which a model could not learn to stop.
    pub fn open(folder: &Path, style: PromptStyle) -> Result<Self> {
        let tokenizer = HfTokenizer::from_file(folder.join("tokenizer.json"))?;
        let format = match style {
            PromptStyle::Plain => PromptFormat::Plain,
            PromptStyle::Auto if !has_template(folder)? => PromptFormat::Plain,
            _ => PromptFormat::Chat(Box::new(ChatTemplate::from_folder(folder)?)),
        };
        Self::new(tokenizer, format)
    }

    /// A codec from its parts.
    ///
    /// # Errors
    /// A tokenizer with no EOS.
    pub fn new(tokenizer: HfTokenizer, format: PromptFormat) -> Result<Self> {
        if tokenizer.eos_ids().is_empty() {
            let problem = "names no eos_token, from which the model would learn to stop";
            return Err(Error::input(tokenizer.name(), problem));
        }
        Ok(Self { tokenizer, format })
    }

    /// The ids of a prompt, as generation reads them.
    ///
    /// # Errors
    /// What the template or the tokenizer refuses.
    pub fn prompt_ids(&self, messages: &[Message]) -> Result<Vec<u32>> {
        match &self.format {
            PromptFormat::Chat(template) => {
                let options = RenderOptions {
                    add_generation_prompt: true,
                    ..Default::default()
                };
                Ok(chat::encode(
                    &self.tokenizer,
                    template,
                    &for_template(messages),
                    &options,
                )?)
            }
            PromptFormat::Plain => {
                let text: String = messages
                    .iter()
                    .map(|m| format!("{}\n", m.content))
                    .collect();
                let mut ids: Vec<u32> = self.tokenizer.bos_id().into_iter().collect();
                ids.extend(self.tokenizer.encode(&text)?);
                Ok(ids)
            }
        }
    }

    /// The ids of a text to go on with, as a document of a stream begins: BOS (if there is one) and
    /// the text. With `special`, strings of special tokens in it are these tokens.
    ///
    /// # Errors
    /// Text that the tokenizer refuses.
    pub fn continuation_ids(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let mut ids: Vec<u32> = self.tokenizer.bos_id().into_iter().collect();
        ids.extend(match special {
            true => self.tokenizer.encode_with_special(text)?,
            false => self.tokenizer.encode(text)?,
        });
        Ok(ids)
    }

    /// A row with its labels, cut at `max_length`; whether it was cut. `None` when nothing
    /// supervised is left.
    ///
    /// # Errors
    /// What the template or the tokenizer refuses, with the row's file and line.
    pub fn example(&self, row: &Row, max_length: usize) -> Result<(Option<Example>, bool)> {
        let at_row = |error: Error| Error::line(row.path.as_ref(), row.line, error.to_string());
        match &self.format {
            PromptFormat::Chat(template) => {
                let messages = for_template(&row.messages);
                let options = RenderOptions::default();
                let encoded = chat::encode_messages(&self.tokenizer, template, &messages, &options)
                    .map_err(|error| at_row(error.into()))?;
                Ok(masked(encoded.ids, &encoded.supervised, max_length))
            }
            PromptFormat::Plain => {
                let prompt = self.prompt_ids(row.prompt()).map_err(at_row)?;
                let completion = self.tokenizer.encode(row.completion()).map_err(Error::from);
                let eos = self.tokenizer.eos_ids().first().copied();
                Ok(assemble(
                    prompt,
                    completion.map_err(at_row)?,
                    eos,
                    max_length,
                ))
            }
        }
    }

    /// One stream of all documents: BOS (if there is one), the document, and its end; the end is
    /// the token called [`DOCUMENT_SEPARATOR`] if the tokenizer has it, else the first EOS.
    ///
    /// With `special`, strings of special tokens in the text are these tokens.
    ///
    /// # Errors
    /// Text that the tokenizer refuses.
    pub fn stream(&self, documents: &[String], special: bool) -> Result<Vec<u32>> {
        let named = self.tokenizer.token_to_id(DOCUMENT_SEPARATOR);
        let end = named.filter(|&id| self.tokenizer.is_special(id));
        let end = end.or(self.tokenizer.eos_ids().first().copied());
        let mut stream = Vec::new();
        for document in documents {
            stream.extend(self.tokenizer.bos_id());
            stream.extend(match special {
                true => self.tokenizer.encode_with_special(document)?,
                false => self.tokenizer.encode(document)?,
            });
            stream.extend(end);
        }
        Ok(stream)
    }

    /// The tokens that end an answer.
    pub fn stop_tokens(&self) -> &[u32] {
        self.tokenizer.eos_ids()
    }

    /// A token to fill short rows with; which one does not matter (see [`crate::batch`]).
    pub fn pad(&self) -> u32 {
        self.tokenizer
            .eos_ids()
            .first()
            .copied()
            .unwrap_or_default()
    }

    /// What token ids depend on beside the text, as a key to a cache of them: the files of the
    /// tokenizer's folder, its end tokens and the prompt format. `None` for a tokenizer that is no
    /// file, and for a template that asks for the time.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn cache_key(&self) -> Result<Option<KeyBuilder>> {
        let path = Path::new(self.tokenizer.name());
        if !path.is_file() {
            return Ok(None);
        }
        let mut key = KeyBuilder::default();
        for name in TOKENIZER_SOURCES {
            let file = path.with_file_name(name);
            let exists = file.is_file();
            key.add(name.as_bytes()).add(&[u8::from(exists)]);
            if exists {
                let bytes = std::fs::read(&file).map_err(Error::io(&file))?;
                let asks = |bytes: &[u8]| bytes.windows(CLOCK.len()).any(|part| part == CLOCK);
                if name != TOKENIZER_SOURCES[0] && asks(&bytes) {
                    return Ok(None);
                }
                key.add(&bytes);
            }
        }
        let numbers = self.tokenizer.bos_id().into_iter();
        for id in numbers.chain(self.tokenizer.eos_ids().iter().copied()) {
            key.add(&id.to_le_bytes());
        }
        key.add(self.format_name().as_bytes());
        Ok(Some(key))
    }

    /// The text of new tokens, without special ones.
    ///
    /// # Errors
    /// An id that no token has.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        Ok(self.tokenizer.decode_without_special(ids)?)
    }

    /// `chat` or `plain`, for people to read.
    pub fn format_name(&self) -> &'static str {
        match self.format {
            PromptFormat::Chat(_) => "chat",
            PromptFormat::Plain => "plain",
        }
    }
}

fn for_template(messages: &[Message]) -> Vec<chat::Message> {
    messages
        .iter()
        .map(|m| chat::Message::new(m.role.clone(), m.content.clone()))
        .collect()
}

/// Whether a model folder has a chat template.
fn has_template(folder: &Path) -> Result<bool> {
    if folder.join("chat_template.jinja").exists() {
        return Ok(true);
    }
    let path = folder.join("tokenizer_config.json");
    if !path.exists() {
        return Ok(false);
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let config: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Error::file(&path, format!("is not JSON ({error})")))?;
    Ok(config
        .get("chat_template")
        .is_some_and(|template| !template.is_null()))
}
