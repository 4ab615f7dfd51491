//! From a text to token ids with a begin and an end.

use std::path::Path;

use llm_core::text::hf::HfTokenizer;
use llm_store::folder::{TOKENIZER_CONFIG_FILE, TOKENIZER_FILE, companion_text};
use serde_json::Value;

use crate::config::{Config, Family};
use crate::{Error, Result};

/// A tokenizer with the tokens that stand around every text.
pub(crate) struct Tokens {
    folder: std::path::PathBuf,
    tokenizer: HfTokenizer,
    /// Begin and end.
    ends: [u32; 2],
    /// The most ids of a text, both ends included.
    longest: usize,
    prefix_space: bool,
}

impl Tokens {
    /// Reads `tokenizer.json` and, where it is there, `tokenizer_config.json`.
    ///
    /// # Errors
    /// A file that cannot be used, a begin or end token that the tokenizer lacks, or more tokens
    /// than the encoder has vectors for.
    pub(crate) fn read(folder: &Path, config: &Config, prefix_space: bool) -> Result<Self> {
        let text = companion_text(folder, TOKENIZER_FILE, "the encoder's tokenizer")?;
        let path = folder.join(TOKENIZER_FILE);
        let core = |source| Error::Core {
            path: path.clone(),
            source,
        };
        let tokenizer = HfTokenizer::from_json("the encoder's tokenizer", &text).map_err(core)?;
        tokenizer.check_vocab(config.vocab_size).map_err(core)?;
        let settings = settings(folder)?;
        let (begin, end) = match config.family {
            Family::Bert => ("[CLS]", "[SEP]"),
            Family::Roberta => ("<s>", "</s>"),
        };
        let token = |key: &str, usual: &str| -> Result<u32> {
            let value = &settings[key];
            // Old files write {"content": "</s>", …} instead of the text.
            let named = value.as_str().or_else(|| value["content"].as_str());
            let name = named.unwrap_or(usual);
            tokenizer.token_to_id(name).ok_or_else(|| Error::Malformed {
                path: path.clone(),
                problem: format!("has no token {name:?}, expected it as `{key}`"),
            })
        };
        // A tokenizer without a limit writes 10³⁰ here.
        let limit = settings["model_max_length"].as_f64().unwrap_or(f64::INFINITY);
        let longest = config.longest().min(limit as usize);
        if longest < 3 {
            return Err(Error::Malformed {
                path: folder.join(TOKENIZER_CONFIG_FILE),
                problem: format!("`model_max_length` is {limit}, expected 3 or more"),
            });
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            ends: [token("cls_token", begin)?, token("sep_token", end)?],
            tokenizer,
            longest,
            prefix_space,
        })
    }

    /// Begin and end token.
    pub(crate) fn ends(&self) -> [u32; 2] {
        self.ends
    }

    /// The ids of `text` without white space at its ends, between begin and end token; what does
    /// not fit is cut off at the end. Names of special tokens in the text are these tokens.
    ///
    /// # Errors
    /// Text that the tokenizer refuses.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        // What Python strips: Unicode's white space and the four separators of ASCII
        let space = |letter: char| letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter);
        let text = text.trim_matches(space);
        let [begin, end] = self.ends;
        if text.is_empty() {
            return Ok(vec![begin, end]);
        }
        let spaced = match self.prefix_space {
            true => &format!(" {text}"),
            false => text,
        };
        let inner = self.tokenizer.encode_with_special(spaced);
        let mut ids = inner.map_err(|source| Error::Core {
            path: self.folder.join(TOKENIZER_FILE),
            source,
        })?;
        ids.truncate(self.longest - 2);
        ids.insert(0, begin);
        ids.push(end);
        Ok(ids)
    }
}

/// `tokenizer_config.json`, or null without one.
fn settings(folder: &Path) -> Result<Value> {
    let path = folder.join(TOKENIZER_CONFIG_FILE);
    if !path.exists() {
        return Ok(Value::Null);
    }
    let text = companion_text(folder, TOKENIZER_CONFIG_FILE, "the tokenizer's settings")?;
    serde_json::from_str(&text).map_err(|error| Error::Malformed {
        path,
        problem: format!("is not JSON ({error})"),
    })
}
