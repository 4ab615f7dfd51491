//! One token a character: the tokenizer of the first lessons.
//!
//! The vocabulary is the sorted list of the distinct characters of a text, so its ids do not
//! depend on the order of the text. A character that the list lacks is an error that names it.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::{Error, Result};

/// What the saved form calls itself, so that another JSON file is not taken for it.
const KIND: &str = "characters";

/// A vocabulary of characters.
///
/// ```
/// use llm_core::text::chars::CharTokenizer;
/// let tokenizer = CharTokenizer::from_text("hello hello");
/// assert_eq!(tokenizer.chars(), [' ', 'e', 'h', 'l', 'o']);
/// assert_eq!(tokenizer.encode("hell")?, [2, 1, 3, 3]);
/// assert_eq!(tokenizer.decode(&[2, 1, 3, 3])?, "hell");
/// # Ok::<(), llm_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharTokenizer {
    chars: Vec<char>,
    ids: HashMap<char, u32>,
}

impl CharTokenizer {
    /// The sorted distinct characters of `text`.
    pub fn from_text(text: &str) -> Self {
        let distinct: BTreeSet<char> = text.chars().collect();
        Self::from_sorted(distinct.into_iter().collect())
    }

    fn from_sorted(chars: Vec<char>) -> Self {
        let ids = chars.iter().zip(0..).map(|(&c, id)| (c, id)).collect();
        Self { chars, ids }
    }

    /// The characters by id.
    pub fn chars(&self) -> &[char] {
        &self.chars
    }

    /// The number of characters.
    pub fn vocab_size(&self) -> usize {
        self.chars.len()
    }

    /// The ids of `text`.
    ///
    /// # Errors
    /// A character that is not in the vocabulary; the message names it and its place.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let id = |(place, c): (usize, char)| {
            self.ids.get(&c).copied().ok_or_else(|| {
                let problem = format!(
                    "character {c:?} (U+{:04X}) at place {place} is not one of the {} known",
                    u32::from(c),
                    self.chars.len()
                );
                Error::text("character tokenizer", problem)
            })
        };
        text.chars().enumerate().map(id).collect()
    }

    /// The text of `ids`.
    ///
    /// # Errors
    /// An id that is not below [`Self::vocab_size`].
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let char_of = |&id: &u32| {
            let known = usize::try_from(id)
                .ok()
                .and_then(|index| self.chars.get(index));
            known.copied().ok_or_else(|| {
                let problem = format!("id {id} is not below {}", self.chars.len());
                Error::text("character tokenizer", problem)
            })
        };
        ids.iter().map(char_of).collect()
    }

    /// The vocabulary as JSON.
    pub fn to_json(&self) -> String {
        let chars: Vec<String> = self.chars.iter().map(char::to_string).collect();
        json!({ "type": KIND, "characters": chars }).to_string()
    }

    /// The vocabulary that [`Self::to_json`] wrote. `name` is the file, for messages.
    ///
    /// # Errors
    /// JSON of another form, an entry that is not one character, or a list that is not sorted.
    pub fn from_json(name: &str, text: &str) -> Result<Self> {
        let fault = |problem: String| Error::text(name, problem);
        let value: Value =
            serde_json::from_str(text).map_err(|e| fault(format!("is not JSON ({e})")))?;
        if value["type"] != KIND {
            return Err(fault(format!("expected `type` to be {KIND:?}")));
        }
        let list = value["characters"].as_array();
        let list = list.ok_or_else(|| fault("expected `characters` to be a list".into()))?;
        let mut chars = Vec::with_capacity(list.len());
        for entry in list {
            let mut entry_chars = entry.as_str().unwrap_or_default().chars();
            match (entry_chars.next(), entry_chars.next()) {
                (Some(c), None) if chars.last().is_none_or(|&last| last < c) => chars.push(c),
                (Some(c), None) => {
                    return Err(fault(format!(
                        "character {c:?} is out of order or repeated"
                    )));
                }
                _ => return Err(fault(format!("expected one character, found {entry}"))),
            }
        }
        Ok(Self::from_sorted(chars))
    }
}
