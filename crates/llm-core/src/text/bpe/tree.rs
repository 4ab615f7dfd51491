//! Encoding as the rule says it, one merge after the other, with the tree of what became what.
//!
//! The readable twin of the encoder in `merge.rs`: the same tokens, found by looking at every pair
//! before every merge. That costs the square of a piece's length and is for words, not for books.

use super::{ByteBpe, bytes};
use crate::{Error, Result};

/// A token and the two tokens that became it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Its id.
    pub id: u32,
    /// Its bytes: those of its parts, joined.
    pub bytes: Vec<u8>,
    /// The rank of the merge that made it; a byte was not made.
    pub rank: Option<u32>,
    /// The left and the right part; empty for a byte.
    pub parts: Vec<Tree>,
}

impl ByteBpe {
    /// The tokens of `text` with their trees; their ids are those of [`Self::encode`], as long as
    /// no added token that is not special stands in the text.
    ///
    /// # Errors
    /// A byte that the vocabulary lacks; a pre-tokenizer pattern that gives up.
    pub fn trees(&self, text: &str) -> Result<Vec<Tree>> {
        let mut text = self.normalizer.apply(text).into_owned();
        if self.pre_tokenizer.add_prefix_space && !text.starts_with(' ') && !text.is_empty() {
            text.insert(0, ' ');
        }
        let (mut trees, mut fault) = (Vec::new(), None);
        self.pre_tokenizer
            .pieces(&text, &mut |piece| match self.leaves(piece.as_bytes()) {
                Ok(leaves) => trees.extend(self.merge_in_order(leaves)),
                Err(error) => fault = Some(error),
            })?;
        fault.map_or(Ok(trees), Err)
    }

    /// How `text` is spelled as training goes on: the number of merges known, and the bytes of its
    /// tokens, for no merges and for each merge that changes them.
    ///
    /// # Errors
    /// As [`Self::trees`].
    pub fn stages(&self, text: &str) -> Result<Vec<(usize, Vec<Vec<u8>>)>> {
        let mut stages: Vec<(usize, Vec<Vec<u8>>)> = Vec::new();
        for known in 0..=self.merges.len() {
            let trees = self.after_merges(known).trees(text)?;
            if stages.last().is_none_or(|last| last.1.len() != trees.len()) {
                let bytes = trees.into_iter().map(|tree| tree.bytes);
                stages.push((known, bytes.collect()));
            }
        }
        Ok(stages)
    }

    /// The bytes of `piece` as tokens; or all of it as one token where the file wants that.
    fn leaves(&self, piece: &[u8]) -> Result<Vec<Tree>> {
        let leaf = |id, bytes: &[u8]| Tree {
            id,
            bytes: bytes.to_vec(),
            rank: None,
            parts: Vec::new(),
        };
        if let Some(&id) = self.vocab.get(piece).filter(|_| self.ignore_merges) {
            return Ok(vec![leaf(id, piece)]);
        }
        let of = |byte: &u8| {
            let id = self.bytes[usize::from(*byte)].ok_or_else(|| missing(*byte))?;
            Ok(leaf(id, &[*byte]))
        };
        piece.iter().map(of).collect()
    }

    // ANCHOR: merge
    /// Of all neighbours that have a merge, the pair with the lowest rank becomes one token, the
    /// leftmost first, until no neighbours have one.
    fn merge_in_order(&self, mut row: Vec<Tree>) -> Vec<Tree> {
        loop {
            let pairs = row.windows(2).enumerate();
            let known = pairs.filter_map(|(at, pair)| {
                let merge = self.merges.get(&(pair[0].id, pair[1].id))?;
                Some((merge.rank, at, merge.id))
            });
            // The earliest merge was learnt from the most frequent pair: it comes first here too.
            let Some((rank, at, id)) = known.min() else {
                return row;
            };
            let parts: Vec<Tree> = row.drain(at..at + 2).collect();
            let bytes = parts.iter().flat_map(|part| &part.bytes).copied().collect();
            let rank = Some(rank);
            row.insert(
                at,
                Tree {
                    id,
                    bytes,
                    rank,
                    parts,
                },
            );
        }
    }
    // ANCHOR_END: merge
}

/// The error for a byte that no token holds.
pub(super) fn missing(byte: u8) -> Error {
    let name = bytes::char_of(byte);
    let problem = format!("byte 0x{byte:02X} (`{name}`) is not in the vocabulary");
    Error::text("bpe", problem)
}
