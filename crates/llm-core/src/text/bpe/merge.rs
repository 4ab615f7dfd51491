//! Encoding: the merges of one piece, lowest rank first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

use super::{ByteBpe, tree};
use crate::Result;

/// Stands for "no neighbour" in [`Symbol`].
const NONE: usize = usize::MAX;

/// Encodes the pieces of one text; pieces seen before are copied.
pub(super) struct Encoder<'a> {
    bpe: &'a ByteBpe,
    /// The ids so far.
    pub(super) ids: Vec<u32>,
    seen: HashMap<Box<[u8]>, Range<usize>>,
}

/// A token of a piece while its neighbours are merged. Dead ones keep their place.
#[derive(Clone, Copy)]
struct Symbol {
    id: u32,
    before: usize,
    after: usize,
    alive: bool,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(bpe: &'a ByteBpe) -> Self {
        Self {
            bpe,
            ids: Vec::new(),
            seen: HashMap::new(),
        }
    }

    /// Appends the ids of `text`, which holds no added token.
    pub(super) fn text(&mut self, text: &str) -> Result<()> {
        let bpe = self.bpe;
        let prefixed;
        let text = if bpe.pre_tokenizer.add_prefix_space && !text.starts_with(' ') {
            prefixed = format!(" {text}");
            prefixed.as_str()
        } else {
            text
        };
        let mut fault = None;
        bpe.pre_tokenizer.pieces(text, &mut |piece| {
            if fault.is_none() {
                fault = self.piece(piece.as_bytes()).err();
            }
        })?;
        fault.map_or(Ok(()), Err)
    }

    fn piece(&mut self, piece: &[u8]) -> Result<()> {
        if let Some(range) = self.seen.get(piece) {
            self.ids.extend_from_within(range.clone());
            return Ok(());
        }
        let start = self.ids.len();
        match self.bpe.vocab.get(piece) {
            Some(&id) if self.bpe.ignore_merges => self.ids.push(id),
            _ => merge_all(self.bpe, piece, &mut self.ids)?,
        }
        self.seen.insert(piece.into(), start..self.ids.len());
        Ok(())
    }
}

/// Appends the ids of `piece`: of all pairs the one with the lowest rank is merged, the leftmost
/// first, until none is left. O(n log n), so a hostile piece without spaces is no trap.
fn merge_all(bpe: &ByteBpe, piece: &[u8], ids: &mut Vec<u32>) -> Result<()> {
    let mut symbols = Vec::with_capacity(piece.len());
    for (at, &byte) in piece.iter().enumerate() {
        let id = bpe.bytes[usize::from(byte)].ok_or_else(|| tree::missing(byte))?;
        let (before, after) = (at.checked_sub(1).unwrap_or(NONE), at + 1);
        let after = if after < piece.len() { after } else { NONE };
        symbols.push(Symbol {
            id,
            before,
            after,
            alive: true,
        });
    }
    let candidate = |symbols: &[Symbol], left: usize| {
        let right = symbols.get(symbols.get(left)?.after)?;
        let pair = (symbols[left].id, right.id);
        bpe.merges
            .get(&pair)
            .map(|merge| Reverse((merge.rank, left, pair)))
    };
    let mut queue: BinaryHeap<_> = (0..symbols.len())
        .filter_map(|left| candidate(&symbols, left))
        .collect();
    while let Some(Reverse((_, left, pair))) = queue.pop() {
        // An entry is out of date if either of its tokens was merged in the meantime.
        let right = symbols[left].after;
        let current = symbols[left].alive
            && symbols
                .get(right)
                .is_some_and(|symbol| (symbols[left].id, symbol.id) == pair);
        let Some(merge) = bpe.merges.get(&pair).filter(|_| current) else {
            continue;
        };
        let after = symbols[right].after;
        symbols[right].alive = false;
        symbols[left] = Symbol {
            id: merge.id,
            after,
            ..symbols[left]
        };
        if let Some(next) = symbols.get_mut(after) {
            next.before = left;
        }
        queue.extend(candidate(&symbols, left));
        queue.extend(candidate(&symbols, symbols[left].before));
    }
    ids.extend(
        symbols
            .iter()
            .filter(|symbol| symbol.alive)
            .map(|symbol| symbol.id),
    );
    Ok(())
}
