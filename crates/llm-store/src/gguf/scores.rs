//! Merges in an order as scores of tokens.
//!
//! The kind `llama` of llama.cpp joins, again and again, the two neighbours whose union is the
//! token with the highest score. A list of merges says the same if a token's score falls with the
//! place of its merges, and if every two tokens whose union is a token may be merged. Both are
//! true of the lists made from a SentencePiece model; they are checked, since a list from
//! elsewhere would give other tokens without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::tokens::{NORMAL, Vocabulary};
use crate::error::printable;
use crate::{Error, Result};

/// The score of each token: merged ones by their place, the earliest the highest; single characters
/// below them; 0 for bytes and special tokens, which are never merged.
///
/// # Errors
/// A list of merges that scores cannot say.
pub(super) fn scores(
    path: &Path,
    vocabulary: &Vocabulary,
    merges: &[(&str, &str)],
) -> Result<Vec<f32>> {
    let pairs: BTreeSet<(&str, &str)> = merges.iter().copied().collect();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut last = String::new();
    for (first, second) in merges {
        let union = format!("{first}{second}");
        if union != last && places.contains_key(&union) {
            let union = printable(&union);
            let what = format!("the merges that give `{union}` do not stand together");
            return Err(Error::not_in_gguf(path, what));
        }
        let next = places.len();
        places.entry(union.clone()).or_insert(next);
        last = union;
    }
    let tokens = vocabulary.texts.iter().zip(&vocabulary.kinds);
    let normal = tokens.filter(|(_, kind)| **kind == NORMAL);
    let normal: BTreeSet<&str> = normal.filter_map(|(text, _)| text.as_deref()).collect();
    for token in &normal {
        for (cut, _) in token.char_indices().skip(1) {
            let (first, second) = token.split_at(cut);
            let both = normal.contains(first) && normal.contains(second);
            if both && !pairs.contains(&(first, second)) {
                let (first, second) = (printable(first), printable(second));
                let what = format!("`{first}` and `{second}` give a token but are no merge");
                return Err(Error::not_in_gguf(path, what));
            }
        }
    }
    let all = places.len();
    let score = |(id, (text, kind)): (usize, (&Option<String>, &i32))| match text {
        Some(text) if *kind == NORMAL => {
            let place = places.get(text).copied();
            -(place.unwrap_or(all + id) as f32)
        }
        _ => 0.0,
    };
    let tokens = vocabulary.texts.iter().zip(&vocabulary.kinds);
    Ok(tokens.enumerate().map(score).collect())
}
