//! Byte-level BPE from scratch: training, encoding, decoding, `tokenizer.json`.
//!
//! A text is bytes, so no character is unknown. Training merges the most frequent pair of
//! neighbours into a new token until the vocabulary is full; encoding repeats the merges in the
//! order in which they were learnt. A [`PreTokenizer`] first cuts the text into pieces that no
//! merge crosses. Special tokens stand outside: they are matched as whole strings, and only by
//! [`ByteBpe::encode_with_special`].
//!
//! ```
//! use llm_core::text::bpe::{PreTokenizer, Trainer};
//! let trainer = Trainer { min_frequency: 2, ..Trainer::new(264, PreTokenizer::gpt2()?) };
//! let bpe = trainer.train(["low lower lowest"])?;
//! let ids = bpe.encode("lower 🙂")?;
//! assert_eq!(bpe.token_bytes(ids[0]), Some(&b"low"[..]));
//! assert_eq!(bpe.decode(&ids)?, "lower 🙂");
//! # Ok::<(), llm_core::Error>(())
//! ```
//!
//! Papers: Gage 1994, Sennrich et al. 2016 (<https://arxiv.org/abs/1508.07909>), Radford et al. 2019.

mod added;
mod bytes;
mod files;
mod merge;
mod ranks;
mod split;
mod train;
mod tree;

use std::collections::{HashMap, HashSet};

pub use added::AddedToken;
pub(super) use bytes::bytes_of as byte_level_bytes;
pub use split::PreTokenizer;
pub use train::{Round, Trainer};
pub use tree::Tree;

use crate::{Error, Result};
use added::Part;

/// A byte-level BPE tokenizer.
#[derive(Clone, Debug)]
pub struct ByteBpe {
    vocab: HashMap<Box<[u8]>, u32>,
    tokens: HashMap<u32, Token>,
    /// The id of each byte that stands alone.
    bytes: [Option<u32>; 256],
    /// A pair of neighbours, its rank (lower is merged first) and what it becomes.
    merges: HashMap<(u32, u32), Merge>,
    added: Vec<AddedToken>,
    pre_tokenizer: PreTokenizer,
    normalizer: files::Normalizer,
    /// A piece that is a token as it stands is not built from merges (Llama 3).
    ignore_merges: bool,
}

/// One entry of the vocabulary.
#[derive(Clone, Debug)]
struct Token {
    bytes: Box<[u8]>,
    /// The name in the file is the text itself, not the names of its bytes.
    is_text: bool,
}

/// What becomes of a pair.
#[derive(Clone, Copy, Debug)]
struct Merge {
    rank: u32,
    id: u32,
}

impl ByteBpe {
    /// A tokenizer with the tokens `vocab` by id and the pairs `merges` by rank.
    fn from_parts(
        vocab: HashMap<u32, Token>,
        merges: &[(u32, u32)],
        pre_tokenizer: PreTokenizer,
    ) -> Result<Self> {
        let mut bpe = Self {
            vocab: HashMap::with_capacity(vocab.len()),
            tokens: vocab,
            bytes: [None; 256],
            merges: HashMap::with_capacity(merges.len()),
            added: Vec::new(),
            pre_tokenizer,
            normalizer: files::Normalizer::default(),
            ignore_merges: false,
        };
        for (&id, token) in bpe.tokens.iter().filter(|(_, token)| !token.is_text) {
            bpe.vocab.insert(token.bytes.clone(), id);
            if let [byte] = *token.bytes {
                bpe.bytes[usize::from(byte)] = Some(id);
            }
        }
        for (&pair, rank) in merges.iter().zip(0..) {
            let parts = [pair.0, pair.1].map(|id| bpe.token_bytes(id).unwrap_or_default());
            let whole = parts.concat();
            let Some(&id) = bpe.vocab.get(whole.as_slice()) else {
                let [left, right] = parts.map(bytes::name_of);
                let problem = format!("merge {rank} `{left} {right}` makes no token of the list");
                return Err(Error::text("bpe", problem));
            };
            bpe.merges.insert(pair, Merge { rank, id });
        }
        Ok(bpe)
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        let added = self.added.iter().map(|token| token.id);
        let last = self.tokens.keys().copied().chain(added).max();
        last.map_or(0, |id| id as usize + 1)
    }

    /// The added tokens in file order; special ones among them.
    pub fn added_tokens(&self) -> &[AddedToken] {
        &self.added
    }

    /// The rule that cuts a text into pieces.
    pub fn pre_tokenizer(&self) -> &PreTokenizer {
        &self.pre_tokenizer
    }

    /// The bytes of a token; `None` if no token has this id.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        let added = || self.added.iter().find(|token| token.id == id);
        let token = self.tokens.get(&id).map(|token| &*token.bytes);
        token.or_else(|| added().map(|token| token.content.as_bytes()))
    }

    /// The id of an added token or of the token with exactly the bytes of `text`.
    pub fn token_to_id(&self, text: &str) -> Option<u32> {
        let added = self.added.iter().find(|token| token.content == text);
        added
            .map(|token| token.id)
            .or_else(|| self.vocab.get(text.as_bytes()).copied())
    }

    /// The merges in rank order, as pairs of token bytes.
    pub fn merges(&self) -> Vec<(&[u8], &[u8])> {
        let bytes = |id| self.token_bytes(id).unwrap_or_default();
        self.ranked()
            .into_iter()
            .map(|(left, right)| (bytes(left), bytes(right)))
            .collect()
    }

    fn ranked(&self) -> Vec<(u32, u32)> {
        let mut pairs: Vec<_> = self.merges.iter().collect();
        pairs.sort_unstable_by_key(|(_, merge)| merge.rank);
        pairs.into_iter().map(|(&pair, _)| pair).collect()
    }

    /// This tokenizer as it was after its first `count` merges.
    #[must_use]
    pub fn after_merges(&self, count: usize) -> Self {
        let mut bpe = self.clone();
        bpe.merges.retain(|_, merge| (merge.rank as usize) < count);
        let merges = bpe.merges.iter();
        let mut kept: HashSet<u32> = merges
            .flat_map(|(&(left, right), merge)| [left, right, merge.id])
            .collect();
        kept.extend(bpe.added.iter().map(|token| token.id));
        kept.extend(bpe.bytes.iter().flatten());
        bpe.tokens.retain(|id, _| kept.contains(id));
        bpe.vocab.retain(|_, id| kept.contains(id));
        bpe
    }

    /// The ids of `text` as ordinary text: a special token's string is spelled out.
    ///
    /// # Errors
    /// A byte that the vocabulary lacks; a pre-tokenizer pattern that gives up.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_parts(text, false)
    }

    /// The ids of `text`, in which the strings of special tokens mean these tokens. Only for text
    /// that no user wrote.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_with_special(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_parts(text, true)
    }

    fn encode_parts(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let mut encoder = merge::Encoder::new(self);
        let wanted = |normalized| {
            let fits = move |token: &&AddedToken| {
                token.normalized == normalized && (special || !token.special)
            };
            self.added.iter().filter(fits).collect::<Vec<_>>()
        };
        // Tokens that ask for it are looked for after normalization, the others before.
        let (raw, normalized) = (wanted(false), wanted(true));
        for part in added::parts(text, &raw) {
            let text = match part {
                Part::Added(id) => {
                    encoder.ids.push(id);
                    continue;
                }
                Part::Text(text) => self.normalizer.apply(text),
            };
            for part in added::parts(&text, &normalized) {
                match part {
                    Part::Added(id) => encoder.ids.push(id),
                    Part::Text(text) => encoder.text(text)?,
                }
            }
        }
        Ok(encoder.ids)
    }

    /// The tokens of `text` as bytes, as in [`Self::encode`].
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn pieces(&self, text: &str) -> Result<Vec<&[u8]>> {
        let ids = self.encode(text)?;
        let bytes = |&id: &u32| self.token_bytes(id).unwrap_or_default();
        Ok(ids.iter().map(bytes).collect())
    }

    /// How many bytes of `texts` a token holds on average; NaN without text.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn bytes_per_token(&self, texts: &[impl AsRef<str>]) -> Result<f64> {
        let (mut bytes, mut tokens) = (0, 0);
        for text in texts {
            bytes += text.as_ref().len();
            tokens += self.encode(text.as_ref())?.len();
        }
        Ok(bytes as f64 / tokens as f64)
    }

    /// The bytes of `ids`, special tokens spelled out.
    ///
    /// # Errors
    /// An id that no token has.
    pub fn decode_bytes(&self, ids: &[u32]) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for &id in ids {
            let token = self.token_bytes(id);
            let unknown = || Error::text("bpe", format!("no token has the id {id}"));
            bytes.extend_from_slice(token.ok_or_else(unknown)?);
        }
        Ok(bytes)
    }

    /// The text of `ids`; bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// An id that no token has.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.decode_bytes(ids)?).into_owned())
    }
}
