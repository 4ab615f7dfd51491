//! Reading and writing: `tokenizer.json`, and GPT-2's `vocab.json` with `merges.txt`.
//!
//! Files are hostile: every id and name is checked against what the file itself holds, and nothing
//! is allocated by a number that a file states.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};
use tokenizers::{NormalizedString, normalizers::NFC};

use super::{AddedToken, ByteBpe, PreTokenizer, Token, bytes};
use crate::{Error, Result};

/// What is done to a text before it is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Normalizer {
    /// Nothing: decoding gives the text back.
    #[default]
    None,
    /// Unicode composition (Qwen2): é in two code points becomes é in one.
    Nfc,
}

impl Normalizer {
    pub(super) fn apply(self, text: &str) -> Cow<'_, str> {
        if self == Self::None || text.is_ascii() {
            return text.into();
        }
        let mut normalized = NormalizedString::from(text);
        // The trait's error type is for other normalizers: composing cannot fail.
        match tokenizers::Normalizer::normalize(&NFC, &mut normalized) {
            Ok(()) => normalized.get().to_owned().into(),
            Err(_) => text.into(),
        }
    }

    fn from_json(name: &str, value: &Value) -> Result<Self> {
        match (
            value,
            value["type"].as_str(),
            value["normalizers"].as_array(),
        ) {
            (Value::Null, ..) => Ok(Self::None),
            (_, Some("NFC"), _) => Ok(Self::Nfc),
            (_, Some("Sequence"), Some(list)) if list.is_empty() => Ok(Self::None),
            (_, Some("Sequence"), Some(list)) if list.iter().all(|one| one["type"] == "NFC") => {
                Ok(Self::Nfc)
            }
            (_, kind, _) => {
                let problem = format!(
                    "normalizer `{}` is not supported",
                    kind.unwrap_or("without type")
                );
                Err(Error::text(name, problem))
            }
        }
    }

    fn to_json(self) -> Value {
        if self == Self::Nfc {
            json!({ "type": "NFC" })
        } else {
            Value::Null
        }
    }
}

impl ByteBpe {
    /// The tokenizer of GPT-2's two files. `special_tokens` keep their id if the vocabulary has
    /// them (GPT-2's `<|endoftext|>` is there) and take the next ids otherwise.
    ///
    /// # Errors
    /// JSON or lines of another form, two tokens with one id, a merge that makes no token.
    pub fn from_gpt2_files(
        vocab_json: &str,
        merges_txt: &str,
        special_tokens: &[impl AsRef<str>],
    ) -> Result<Self> {
        let vocab: Value = serde_json::from_str(vocab_json)
            .map_err(|e| Error::text("vocab.json", format!("is not JSON ({e})")))?;
        let names = read_vocab("vocab.json", &vocab)?;
        let lines = merges_txt
            .lines()
            .filter(|line| !line.starts_with("#version"));
        let lines = lines.filter(|line| !line.is_empty());
        let pairs = lines
            .enumerate()
            .map(|(rank, line)| (rank, line.split_once(' ')));
        let merges = read_merges("merges.txt", &names, pairs)?;
        let mut bpe = Self::from_parts(tokens(names), &merges, PreTokenizer::gpt2()?)?;
        bpe.add_special_tokens(special_tokens)?;
        Ok(bpe)
    }

    /// The tokenizer of a byte-level `tokenizer.json`. `name` is the file, for messages.
    ///
    /// # Errors
    /// JSON of another form, a model that is not byte-level BPE, an option that is not supported.
    pub fn from_tokenizer_json(name: &str, text: &str) -> Result<Self> {
        let fault = |problem: String| Error::text(name, problem);
        let file: Value =
            serde_json::from_str(text).map_err(|e| fault(format!("is not JSON ({e})")))?;
        let model = &file["model"];
        // Old files leave the type out.
        if !matches!(model["type"].as_str(), Some("BPE") | None) || !model["merges"].is_array() {
            return Err(fault("expected `model` to be of type BPE".into()));
        }
        let unsupported = ["dropout", "continuing_subword_prefix", "end_of_word_suffix"]
            .into_iter()
            .find(|&key| {
                !matches!(&model[key], Value::Null) && model[key] != "" && model[key] != 0.0
            });
        if let Some(key) = unsupported {
            return Err(fault(format!("`model.{key}` is not one of byte-level BPE")));
        }
        if model["byte_fallback"] == true {
            return Err(fault(
                "`model.byte_fallback` is not one of byte-level BPE".into(),
            ));
        }
        let names = read_vocab(name, &model["vocab"])?;
        let merges = model["merges"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let pairs =
            merges.iter().map(
                |entry| match (entry, entry[0].as_str(), entry[1].as_str()) {
                    (Value::String(line), ..) => line.split_once(' '),
                    (_, Some(left), Some(right)) => Some((left, right)),
                    _ => None,
                },
            );
        let merges = read_merges(name, &names, pairs.enumerate())?;
        let pre_tokenizer = PreTokenizer::from_json(name, &file["pre_tokenizer"])?;
        let mut bpe = Self::from_parts(tokens(names), &merges, pre_tokenizer)?;
        bpe.ignore_merges = model["ignore_merges"] == true;
        bpe.normalizer = Normalizer::from_json(name, &file["normalizer"])?;
        for entry in file["added_tokens"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
        {
            bpe.add(name, read_added(name, entry)?)?;
        }
        Ok(bpe)
    }

    /// Adds special tokens with the ids that follow; one that the vocabulary has keeps its id.
    ///
    /// # Errors
    /// An empty token, or one that was added before.
    pub fn add_special_tokens(&mut self, special_tokens: &[impl AsRef<str>]) -> Result<()> {
        self.add_tokens(special_tokens, true)
    }

    /// Adds whole strings that are one token in any text, with the ids that follow; one that the
    /// vocabulary has keeps its id.
    ///
    /// # Errors
    /// As [`Self::add_special_tokens`].
    pub fn add_mark_tokens(&mut self, mark_tokens: &[impl AsRef<str>]) -> Result<()> {
        self.add_tokens(mark_tokens, false)
    }

    fn add_tokens(&mut self, contents: &[impl AsRef<str>], special: bool) -> Result<()> {
        for content in contents {
            let content = content.as_ref().to_owned();
            let known = self.vocab.get(content.as_bytes()).copied();
            let next = u32::try_from(self.vocab_size());
            let id = known.map_or(next, Ok);
            let id = id.map_err(|_| Error::text("bpe", "no id is left for a special token"))?;
            self.add(
                "bpe",
                AddedToken {
                    id,
                    content,
                    special,
                    normalized: false,
                },
            )?;
        }
        Ok(())
    }

    fn add(&mut self, name: &str, token: AddedToken) -> Result<()> {
        let fault = |problem| Err(Error::text(name, problem));
        if token.content.is_empty() {
            return fault("an added token is empty".to_owned());
        }
        let clash = |other: &&AddedToken| other.id == token.id || other.content == token.content;
        if let Some(other) = self.added.iter().find(clash) {
            return fault(format!(
                "added token `{}` ({}) stands beside `{}` ({})",
                token.content, token.id, other.content, other.id
            ));
        }
        match self.tokens.get(&token.id) {
            Some(known) if *known.bytes != *token.content.as_bytes() => {
                let known = bytes::name_of(&known.bytes);
                fault(format!(
                    "added token `{}` has the id of `{known}`",
                    token.content
                ))
            }
            _ => {
                self.added.push(token);
                Ok(())
            }
        }
    }

    /// A `tokenizer.json` that the tokenizers library loads and that gives the same ids there.
    pub fn to_tokenizer_json(&self) -> String {
        let name_of = |id: u32| {
            let token = self.tokens.get(&id);
            token.map(|token| match token.is_text {
                true => String::from_utf8_lossy(&token.bytes).into_owned(),
                false => bytes::name_of(&token.bytes),
            })
        };
        let mut ids: Vec<u32> = self.tokens.keys().copied().collect();
        ids.sort_unstable();
        let vocab: Map<String, Value> = ids
            .into_iter()
            .filter_map(|id| Some((name_of(id)?, id.into())))
            .collect();
        // Names hold no space, so the older form with one string a merge is clear to all readers.
        let merges: Vec<String> = self
            .ranked()
            .into_iter()
            .filter_map(|(left, right)| Some(format!("{} {}", name_of(left)?, name_of(right)?)))
            .collect();
        let mut added: Vec<&AddedToken> = self.added.iter().collect();
        added.sort_unstable_by_key(|token| token.id);
        let added: Vec<Value> = added
            .into_iter()
            .map(|token| {
                json!({
                    "id": token.id, "content": token.content, "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": token.normalized, "special": token.special
                })
            })
            .collect();
        let file = json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": added,
            "normalizer": self.normalizer.to_json(),
            "pre_tokenizer": self.pre_tokenizer.to_json(),
            "post_processor": null,
            "decoder": {
                "type": "ByteLevel",
                "add_prefix_space": true, "trim_offsets": true, "use_regex": true
            },
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null,
                "continuing_subword_prefix": null, "end_of_word_suffix": null,
                "fuse_unk": false, "byte_fallback": false, "ignore_merges": self.ignore_merges,
                "vocab": vocab, "merges": merges
            }
        });
        format!("{file:#}\n")
    }
}

/// Names and ids of a vocabulary.
type Names<'f> = HashMap<&'f str, u32>;

fn read_vocab<'f>(name: &str, vocab: &'f Value) -> Result<Names<'f>> {
    let fault = |problem: String| Error::text(name, problem);
    let vocab = vocab.as_object();
    let vocab = vocab.ok_or_else(|| fault("expected the vocabulary to be an object".into()))?;
    let (mut names, mut ids) = (HashMap::with_capacity(vocab.len()), HashSet::new());
    for (token, id) in vocab {
        let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
        let number = number.ok_or_else(|| fault(format!("token `{token}`: {id} is not an id")))?;
        if !ids.insert(number) {
            return Err(fault(format!("token `{token}`: id {number} is used twice")));
        }
        names.insert(token.as_str(), number);
    }
    Ok(names)
}

fn tokens(names: Names<'_>) -> HashMap<u32, Token> {
    let token = |(name, id): (&str, u32)| {
        // A control token may be spelled in characters that name no byte: it is kept as text.
        let bytes = bytes::bytes_of(name);
        let is_text = bytes.is_none();
        let bytes = bytes.unwrap_or_else(|| name.as_bytes().to_vec()).into();
        (id, Token { bytes, is_text })
    };
    names.into_iter().map(token).collect()
}

fn read_merges<'f>(
    name: &str,
    names: &Names<'_>,
    pairs: impl Iterator<Item = (usize, Option<(&'f str, &'f str)>)>,
) -> Result<Vec<(u32, u32)>> {
    let id = |rank: usize, token: &str| {
        let problem = || format!("merge {rank}: `{token}` is not in the vocabulary");
        names
            .get(token)
            .copied()
            .ok_or_else(|| Error::text(name, problem()))
    };
    pairs
        .map(|(rank, pair)| {
            let problem = || format!("merge {rank}: expected two tokens");
            let (left, right) = pair.ok_or_else(|| Error::text(name, problem()))?;
            Ok((id(rank, left)?, id(rank, right)?))
        })
        .collect()
}

fn read_added(name: &str, entry: &Value) -> Result<AddedToken> {
    let fault = |problem: String| Error::text(name, problem);
    let content = entry["content"].as_str();
    let content = content.ok_or_else(|| fault("an added token has no `content`".into()))?;
    let id = entry["id"].as_u64().and_then(|id| u32::try_from(id).ok());
    let id = id.ok_or_else(|| fault(format!("added token `{content}` has no id")))?;
    if let Some(key) = ["single_word", "lstrip", "rstrip"]
        .into_iter()
        .find(|&key| entry[key] == true)
    {
        return Err(fault(format!(
            "added token `{content}`: `{key}` is not supported"
        )));
    }
    let special = entry["special"] == true;
    Ok(AddedToken {
        id,
        content: content.into(),
        special,
        normalized: entry["normalized"] == true,
    })
}
