//! Tokenizers of Hugging Face model folders.
//!
//! Wraps the tokenizers library with two rules. Text that a user wrote goes through
//! [`HfTokenizer::encode`], in which `<|im_end|>` is eleven ordinary characters; only text that a
//! template wrote goes through [`HfTokenizer::encode_with_special`]. And no tokens are added,
//! truncated or padded behind the caller's back, whatever the file asks for.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::Tokenizer;

use super::bpe::byte_level_bytes;
use crate::{Error, Result};

/// A tokenizer of a model folder with its begin and end tokens.
#[derive(Clone, Debug)]
pub struct HfTokenizer {
    name: String,
    /// Takes the strings of special tokens as text.
    user: Tokenizer,
    /// Takes them as tokens.
    template: Tokenizer,
    special: Vec<(String, u32)>,
    is_byte_level: bool,
    bos: Option<u32>,
    eos: Vec<u32>,
}

impl HfTokenizer {
    /// The tokenizer of a `tokenizer.json`. Begin and end tokens are read from
    /// `tokenizer_config.json` and `generation_config.json` beside it, where they exist.
    ///
    /// # Errors
    /// A file that cannot be read or is of another form; the message names it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut tokenizer = Self::from_json(&path.display().to_string(), &read(path)?)?;
        let beside = |name: &str| -> Result<Option<(String, String)>> {
            let file = path.with_file_name(name);
            let exists = file.exists();
            exists
                .then(|| Ok((file.display().to_string(), read(&file)?)))
                .transpose()
        };
        if let Some((name, text)) = beside("tokenizer_config.json")? {
            tokenizer.read_tokenizer_config(&name, &text)?;
        }
        if let Some((name, text)) = beside("generation_config.json")? {
            tokenizer.read_generation_config(&name, &text)?;
        }
        Ok(tokenizer)
    }

    /// The tokenizer that `text`, a `tokenizer.json`, describes. `name` is the file, for messages.
    ///
    /// # Errors
    /// JSON of another form, or a model with dropout, whose ids would be random.
    pub fn from_json(name: &str, text: &str) -> Result<Self> {
        let fault = |problem: String| Error::text(name, problem);
        let file: Value =
            serde_json::from_str(text).map_err(|e| fault(format!("is not JSON ({e})")))?;
        if file["model"]["dropout"]
            .as_f64()
            .is_some_and(|dropout| dropout != 0.0)
        {
            return Err(fault(
                "`model.dropout` makes the ids random, expected null".into(),
            ));
        }
        let mut user = Tokenizer::from_bytes(text)
            .map_err(|e| fault(format!("is not a tokenizer ({})", one_line(&e.to_string()))))?;
        user.with_padding(None);
        // Only an invalid stride is refused, and there is none.
        if user.with_truncation(None).is_err() {
            return Err(fault("its truncation cannot be switched off".into()));
        }
        let mut special: Vec<(String, u32)> = user
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| token.special && !token.content.is_empty())
            .map(|(id, token)| (token.content, id))
            .collect();
        special.sort_unstable_by_key(|&(_, id)| id);
        let template = user.clone();
        user.set_encode_special_tokens(true);
        let is_byte_level = file["decoder"]["type"] == "ByteLevel";
        let name = name.to_owned();
        Ok(Self {
            name,
            user,
            template,
            special,
            is_byte_level,
            bos: None,
            eos: Vec::new(),
        })
    }

    /// Takes `bos_token` and `eos_token` from a `tokenizer_config.json`.
    ///
    /// # Errors
    /// JSON of another form, or a token that the tokenizer does not have.
    pub fn read_tokenizer_config(&mut self, name: &str, text: &str) -> Result<()> {
        let config = json_object(name, text)?;
        let token = |key: &str| -> Result<Option<u32>> {
            // Old files write `{"content": "</s>", …}` instead of the text.
            let content = config[key]
                .as_str()
                .or_else(|| config[key]["content"].as_str());
            let Some(content) = content else {
                return Ok(None);
            };
            let problem = || format!("`{key}` {content:?} is not a token of {}", self.name);
            self.token_to_id(content)
                .map(Some)
                .ok_or_else(|| Error::text(name, problem()))
        };
        let (bos, eos) = (token("bos_token")?, token("eos_token")?);
        self.bos = bos.or(self.bos);
        self.eos = eos.map_or_else(|| std::mem::take(&mut self.eos), |id| vec![id]);
        Ok(())
    }

    /// Takes `bos_token_id` and `eos_token_id`, one or several, from a `generation_config.json`.
    /// Its end tokens stand before that of `tokenizer_config.json`.
    ///
    /// # Errors
    /// JSON of another form, or an id that no token has.
    pub fn read_generation_config(&mut self, name: &str, text: &str) -> Result<()> {
        let config = json_object(name, text)?;
        let ids = |key: &str| -> Result<Vec<u32>> {
            let listed = match &config[key] {
                Value::Null => &[],
                Value::Array(list) => list.as_slice(),
                one => std::slice::from_ref(one),
            };
            let id = |value: &Value| {
                let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
                let known = id.filter(|&id| self.user.id_to_token(id).is_some());
                let problem = || format!("`{key}` {value} is not an id of {}", self.name);
                known.ok_or_else(|| Error::text(name, problem()))
            };
            listed.iter().map(id).collect()
        };
        let (bos, mut eos) = (ids("bos_token_id")?, ids("eos_token_id")?);
        self.bos = bos.first().copied().or(self.bos);
        eos.extend(
            self.eos
                .iter()
                .filter(|id| !eos.contains(id))
                .copied()
                .collect::<Vec<_>>(),
        );
        self.eos = eos;
        Ok(())
    }

    /// The ids of text that a user wrote: strings of special tokens are spelled out.
    ///
    /// # Errors
    /// Text that the tokenizer refuses.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.run(&self.user, text)
    }

    /// The ids of text that a template wrote: strings of special tokens are these tokens.
    ///
    /// # Errors
    /// Text that the tokenizer refuses.
    pub fn encode_with_special(&self, text: &str) -> Result<Vec<u32>> {
        self.run(&self.template, text)
    }

    fn run(&self, tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
        let encoding = tokenizer.encode_fast(text, false);
        let encoding = encoding.map_err(|e| Error::text(&self.name, one_line(&e.to_string())))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `ids`, special tokens spelled out.
    ///
    /// # Errors
    /// An id that no token has.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.decode_any(ids, false)
    }

    /// The text of `ids` without special tokens.
    ///
    /// # Errors
    /// An id that no token has.
    pub fn decode_without_special(&self, ids: &[u32]) -> Result<String> {
        self.decode_any(ids, true)
    }

    /// The text of `ids`, without special tokens if `skip_special`.
    ///
    /// # Errors
    /// An id that no token has.
    pub fn decode_any(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        ids.iter().try_for_each(|&id| self.check_id(id))?;
        let text = self.template.decode(ids, skip_special);
        text.map_err(|e| Error::text(&self.name, one_line(&e.to_string())))
    }

    /// # Errors
    /// `id` is not the id of a token.
    pub(super) fn check_id(&self, id: u32) -> Result<()> {
        let known = self.template.id_to_token(id).is_some();
        let problem = || format!("no token has the id {id}");
        if known {
            Ok(())
        } else {
            Err(Error::text(&self.name, problem()))
        }
    }

    /// The id of a token by its name in the file (`Ġ` for a space in byte-level files).
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.template.token_to_id(token)
    }

    /// The name of a token in the file.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.template.id_to_token(id)
    }

    /// Whether a token is control, not text.
    pub fn is_special(&self, id: u32) -> bool {
        self.special
            .binary_search_by_key(&id, |&(_, id)| id)
            .is_ok()
    }

    /// The special tokens and their ids, by id.
    pub fn special_tokens(&self) -> &[(String, u32)] {
        &self.special
    }

    /// The token that begins a text, if the model has one.
    pub fn bos_id(&self) -> Option<u32> {
        self.bos
    }

    /// The tokens that end a text; the first one is written after a training text.
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        let last = self.template.get_vocab(true).into_values().max();
        last.map_or(0, |id| id as usize + 1)
    }

    /// Checks that every id is below the `vocab_size` of a model. Models may have spare rows.
    ///
    /// # Errors
    /// The largest id is not below `vocab_size`; the message names the token.
    pub fn check_vocab(&self, vocab_size: usize) -> Result<()> {
        let ours = self.vocab_size();
        if ours <= vocab_size {
            return Ok(());
        }
        let last = u32::try_from(ours - 1).unwrap_or(u32::MAX);
        let token = self.id_to_token(last).unwrap_or_default();
        let problem = format!(
            "token {token:?} has the id {last}, but the model's vocab_size is {vocab_size}"
        );
        Err(Error::text(&self.name, problem))
    }

    /// The file, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes of a token if the decoder is byte level; then a text is its tokens' bytes.
    pub(super) fn byte_level_bytes(&self, id: u32) -> Option<Vec<u8>> {
        let token = self.is_byte_level.then(|| self.id_to_token(id)).flatten()?;
        Some(byte_level_bytes(&token).unwrap_or_else(|| token.into_bytes()))
    }

    /// The bytes of a token by itself, which may be half a character. A special token is its name;
    /// an id that no token has is nothing.
    pub fn piece(&self, id: u32) -> Vec<u8> {
        let token = self.id_to_token(id).unwrap_or_default();
        if self.is_special(id) {
            return token.into_bytes();
        }
        if let Some(bytes) = self.byte_level_bytes(id) {
            return bytes;
        }
        let hex = token.get(3..5).filter(|_| self.is_byte_fallback(id));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => vec![byte],
            None => token.replace('\u{2581}', " ").into_bytes(),
        }
    }

    /// Whether a token is one byte of a character that has no token (`<0xE2>`).
    pub(super) fn is_byte_fallback(&self, id: u32) -> bool {
        let token = self.id_to_token(id).unwrap_or_default();
        let hex = token
            .strip_prefix("<0x")
            .and_then(|rest| rest.strip_suffix('>'));
        hex.is_some_and(|hex| hex.len() == 2 && u8::from_str_radix(hex, 16).is_ok())
    }
}

/// The text of a file.
///
/// # Errors
/// [`Error::Io`] with the path; text that is not UTF-8 among them.
pub(super) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::Io {
        path: PathBuf::from(path),
        source,
    })
}

/// The object that `text` holds.
pub(super) fn json_object(name: &str, text: &str) -> Result<Value> {
    let value: Value =
        serde_json::from_str(text).map_err(|e| Error::text(name, format!("is not JSON ({e})")))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(Error::text(name, "expected a JSON object"))
    }
}

/// Messages of other libraries may have several lines.
pub(super) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
