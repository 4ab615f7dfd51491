//! Four vocabularies under one roof: three of OpenAI's from tiktoken-rs, and our own.
//!
//! tiktoken-rs carries the vocabulary files inside, so nothing is downloaded. Its lists take a
//! second to read in a debug build, and are read when they are first asked for.

use anyhow::{Context, Result};
use llm_core::text::bpe::{ByteBpe, PreTokenizer};
use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton, r50k_base_singleton};

/// The tokenizer of this project's model.
const OURS: &str = include_str!("../../../../output_models/deeper-base/tokenizer.json");

/// A vocabulary with its encoder.
pub struct Vocabulary {
    /// Its name, and the model that made it known.
    pub name: &'static str,
    /// One more than its largest id.
    pub entries: usize,
    encoder: Encoder,
}

enum Encoder {
    Tiktoken(&'static CoreBPE),
    Ours(Box<ByteBpe>),
}

/// What a text can be made of: one sentence in three languages, and what is no sentence.
pub const KINDS: [(&str, &str); 6] = [
    ("English", "The children walked home through the quiet town."),
    ("German", "Die Kinder gingen durch die stille Stadt nach Hause."),
    ("Hindi", "बच्चे शांत शहर से होकर घर गए।"),
    ("number", "3141592653589793"),
    ("code", "for i in range(10):\n    total += i\n"),
    ("emoji", "👩‍🚀🙂"),
];

/// Ours and the three of OpenAI, from short to long.
///
/// # Errors
/// None in practice: all four are inside.
pub fn all() -> Result<[Vocabulary; 4]> {
    Ok([Vocabulary::ours()?, Vocabulary::r50k(), Vocabulary::cl100k(), Vocabulary::o200k()])
}

/// How many tokens a user's text has in each of `all`.
///
/// # Errors
/// As [`Vocabulary::ids`].
pub fn counts(all: &[Vocabulary; 4], text: &str) -> Result<[usize; 4]> {
    let mut counts = [0; 4];
    for (count, vocabulary) in counts.iter_mut().zip(all) {
        *count = vocabulary.ids(text)?.len();
    }
    Ok(counts)
}

impl Vocabulary {
    /// `r50k_base`, the vocabulary of GPT-2 and GPT-3.
    pub fn r50k() -> Self {
        Self::tiktoken("r50k (GPT-2)", 50_257, r50k_base_singleton())
    }

    /// `cl100k_base`, the vocabulary of GPT-3.5 and GPT-4.
    pub fn cl100k() -> Self {
        Self::tiktoken("cl100k (GPT-4)", 100_277, cl100k_base_singleton())
    }

    /// `o200k_base`, the vocabulary of GPT-4o and its successors.
    pub fn o200k() -> Self {
        Self::tiktoken("o200k (GPT-4o)", 200_019, o200k_base_singleton())
    }

    /// The vocabulary of this project's model: 2,048 entries learnt from simple English.
    ///
    /// # Errors
    /// None in practice: the file is inside.
    pub fn ours() -> Result<Self> {
        let bpe = ByteBpe::from_tokenizer_json("deeper-base/tokenizer.json", OURS)?;
        Ok(Self { name: "ours", entries: bpe.vocab_size(), encoder: Encoder::Ours(Box::new(bpe)) })
    }

    fn tiktoken(name: &'static str, entries: usize, bpe: &'static CoreBPE) -> Self {
        let encoder = Encoder::Tiktoken(bpe);
        Self { name, entries, encoder }
    }

    /// The ids of `text` as a user's text: no string in it means a special token.
    ///
    /// # Errors
    /// None in practice: every byte is a token in all four.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        match &self.encoder {
            Encoder::Tiktoken(bpe) => Ok(bpe.encode_ordinary(text)),
            Encoder::Ours(bpe) => Ok(bpe.encode(text)?),
        }
    }

    /// The ids of `text` in which the strings of special tokens mean these tokens.
    ///
    /// # Errors
    /// As [`Self::ids`].
    pub fn ids_with_special(&self, text: &str) -> Result<Vec<u32>> {
        match &self.encoder {
            Encoder::Tiktoken(bpe) => Ok(bpe.encode_with_special_tokens(text)),
            Encoder::Ours(bpe) => Ok(bpe.encode_with_special(text)?),
        }
    }

    /// The bytes of a token.
    ///
    /// # Errors
    /// An id that no token has.
    pub fn bytes(&self, id: u32) -> Result<Vec<u8>> {
        match &self.encoder {
            Encoder::Tiktoken(bpe) => Ok(bpe.decode_bytes(&[id])?),
            Encoder::Ours(bpe) => Ok(bpe.decode_bytes(&[id])?),
        }
    }

    /// The tokens of a user's text as bytes.
    ///
    /// # Errors
    /// As [`Self::ids`].
    pub fn pieces(&self, text: &str) -> Result<Vec<Vec<u8>>> {
        self.ids(text)?.into_iter().map(|id| self.bytes(id)).collect()
    }

    /// Bytes of the longest token of a user's text.
    ///
    /// # Errors
    /// As [`Self::ids`].
    pub fn longest(&self, text: &str) -> Result<usize> {
        let pieces = self.pieces(text)?;
        Ok(pieces.iter().map(Vec::len).max().unwrap_or(0))
    }

    /// llm-core's own encoder over the first `count` tokens of this list, with the rule `split`
    /// for where words end. The list is all it gets: the merges follow from the order.
    ///
    /// # Errors
    /// A `count` that reaches beyond the ordinary tokens, a rule that does not exist.
    pub fn in_our_encoder(&self, count: u32, split: &str) -> Result<ByteBpe> {
        let ranks = (0..count).map(|id| Ok((self.bytes(id)?, id)));
        let ranks = ranks.collect::<Result<Vec<_>>>();
        let ranks = ranks.with_context(|| format!("{}: {count} tokens", self.name))?;
        Ok(ByteBpe::from_ranks(self.name, ranks, PreTokenizer::named(split)?)?)
    }
}
