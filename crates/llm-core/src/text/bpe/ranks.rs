//! Vocabularies of tiktoken: tokens in order of rank, and no list of merges.
//!
//! Tiktoken keeps one list. Of all neighbours it merges those whose joined bytes have the lowest
//! rank, and the rank is the id. So the merge behind a token is found again: spell the token in
//! the tokens below it, and two are left.

use std::collections::HashMap;

use super::{ByteBpe, PreTokenizer, Token, bytes};
use crate::{Error, Result};

impl ByteBpe {
    /// The tokenizer of a tiktoken vocabulary: each token's bytes, with its rank as its id. As
    /// there, a piece that is a token is taken as it stands.
    ///
    /// # Errors
    /// A rank or a token that comes twice, a token that two smaller ones cannot make.
    pub fn from_ranks(
        name: &str,
        ranks: impl IntoIterator<Item = (Vec<u8>, u32)>,
        pre_tokenizer: PreTokenizer,
    ) -> Result<Self> {
        let fault = |problem: String| Error::text(name, problem);
        let mut by_bytes: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut vocab: HashMap<u32, Token> = HashMap::new();
        for (bytes, rank) in ranks {
            let token = Token {
                bytes: bytes.as_slice().into(),
                is_text: false,
            };
            if vocab.insert(rank, token).is_some() {
                return Err(fault(format!("rank {rank} is used twice")));
            }
            if let Some(other) = by_bytes.insert(bytes, rank) {
                return Err(fault(format!("ranks {other} and {rank} are one token")));
            }
        }
        let mut ids: Vec<u32> = vocab.keys().copied().collect();
        ids.sort_unstable();
        let mut merges = Vec::with_capacity(ids.len());
        for id in ids {
            let whole = &*vocab[&id].bytes;
            if whole.len() > 1 {
                let parts = parts(&by_bytes, whole, id);
                let pair = parts.ok_or_else(|| {
                    let token = bytes::name_of(whole);
                    fault(format!("rank {id}: no two tokens below make `{token}`"))
                })?;
                merges.push(pair);
            }
        }
        let mut bpe = Self::from_parts(vocab, &merges, pre_tokenizer)?;
        bpe.ignore_merges = true;
        Ok(bpe)
    }
}

// ANCHOR: parts
/// The two tokens of lower rank that `whole` consists of just before it becomes one.
fn parts(ranks: &HashMap<Vec<u8>, u32>, whole: &[u8], limit: u32) -> Option<(u32, u32)> {
    // Where each token so far begins, and where the last one ends.
    let mut cuts: Vec<usize> = (0..=whole.len()).collect();
    while cuts.len() > 3 {
        let pairs = cuts.windows(3).enumerate();
        let ranked = pairs.filter_map(|(at, cut)| {
            let rank = ranks.get(&whole[cut[0]..cut[2]])?;
            (*rank < limit).then_some((*rank, at))
        });
        let (_, at) = ranked.min()?;
        cuts.remove(at + 1);
    }
    let rank = |from: usize, to: usize| ranks.get(&whole[from..to]).copied();
    Some((rank(0, cuts[1])?, rank(cuts[1], whole.len())?))
}
// ANCHOR_END: parts
