//! Training: which pairs become tokens.
//!
//! The corpus is kept as its distinct pieces with their counts. Each round merges the pair with
//! the largest count; pair counts are updated only for pieces that hold the pair, and a heap of
//! possibly outdated entries finds the next one. Counts only fall and first places only move
//! right once a pair exists, so an outdated entry always stands too early: it is corrected when
//! it comes up, and the order is exact.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use super::{AddedToken, ByteBpe, PreTokenizer, Token, added, bytes};
use crate::text::visible;
use crate::{Error, Result};

/// How a tokenizer is trained.
///
/// Ties: of the pairs with the largest count the one *seen first* is merged, that is the one whose
/// leftmost occurrence in the text, as merged so far, comes first (a repeated piece counts where
/// it first stood). Pairs that overlap count once: `aaa` holds one pair `aa`.
#[derive(Clone, Debug)]
pub struct Trainer {
    /// Tokens in all: 256 bytes, merges, special tokens. Fewer if the text has no more pairs.
    pub vocab_size: usize,
    /// A pair seen less often is not merged.
    pub min_frequency: u64,
    /// Where the text is cut before pairs are counted.
    pub pre_tokenizer: PreTokenizer,
    /// They take the last ids, in this order; inside the text they are cut out.
    pub special_tokens: Vec<String>,
    /// Whole strings that are one token in any text, a user's too (`<think>`). They are cut out as
    /// special tokens are, and take the ids behind those.
    pub mark_tokens: Vec<String>,
}

/// One round of training: what was merged, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Bytes of the left token of the pair.
    pub left: Vec<u8>,
    /// Bytes of the right one.
    pub right: Vec<u8>,
    /// How often the pair stood in the text.
    pub count: usize,
    /// How many pairs had this count, the merged one among them: from 2 on, the tie rule chose.
    pub tied: usize,
    /// Tokens of the text when the round was over.
    pub tokens: usize,
}

impl Round {
    /// Left and right, for [`visible::tokens`].
    pub fn pair(&self) -> [&[u8]; 2] {
        [&self.left, &self.right]
    }
}

impl std::fmt::Display for Round {
    /// The pair and its count in ASCII: `th|e 4`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", visible::tokens(self.pair(), true), self.count)
    }
}

type Pair = (u32, u32);

/// A distinct piece of the text.
struct Word {
    ids: Vec<u32>,
    count: u64,
}

/// What is known of a pair.
#[derive(Default)]
struct Seen {
    count: u64,
    /// Words that held the pair when it arose, ascending; those before `first` no longer do.
    words: Vec<u32>,
    first: usize,
}

/// Priority of a pair: count, then the earlier word, then the earlier byte in it.
type Key = (u64, Reverse<u32>, Reverse<u32>);

/// The state between two rounds.
struct Rounds {
    words: Vec<Word>,
    tokens: Vec<Box<[u8]>>,
    ids: HashMap<Box<[u8]>, u32>,
    pairs: HashMap<Pair, Seen>,
    queue: BinaryHeap<(Key, Reverse<Pair>)>,
}

impl Trainer {
    /// A trainer without special tokens that merges pairs seen at least twice.
    pub fn new(vocab_size: usize, pre_tokenizer: PreTokenizer) -> Self {
        Self {
            vocab_size,
            min_frequency: 2,
            pre_tokenizer,
            special_tokens: Vec::new(),
            mark_tokens: Vec::new(),
        }
    }

    /// Learns the merges of `texts`, which are separate: no pair spans two of them.
    ///
    /// # Errors
    /// A vocabulary smaller than the bytes and special tokens; a special token that is empty or
    /// given twice; a pre-tokenizer pattern that gives up.
    pub fn train<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Result<ByteBpe> {
        self.learn(texts, None)
    }

    /// As [`Self::train`], with the story of each merge: the n-th round made the n-th merge.
    ///
    /// # Errors
    /// As [`Self::train`].
    pub fn train_traced<'t>(
        &self,
        texts: impl IntoIterator<Item = &'t str>,
    ) -> Result<(ByteBpe, Vec<Round>)> {
        let mut trace = Vec::new();
        let bpe = self.learn(texts, Some(&mut trace))?;
        Ok((bpe, trace))
    }

    fn learn<'t>(
        &self,
        texts: impl IntoIterator<Item = &'t str>,
        mut trace: Option<&mut Vec<Round>>,
    ) -> Result<ByteBpe> {
        let added = self.special_tokens.len() + self.mark_tokens.len();
        let Some(merges_wanted) = self.vocab_size.checked_sub(256 + added) else {
            let problem = format!(
                "vocab_size {} is less than 256 bytes and {added} special tokens",
                self.vocab_size,
            );
            return Err(Error::text("bpe trainer", problem));
        };
        let mut rounds = Rounds::new(self.words(texts)?);
        let (mut merges, mut known) = (Vec::new(), HashSet::new());
        while rounds.tokens.len() < 256 + merges_wanted {
            let Some(pair) = rounds.next(self.min_frequency.max(1)) else {
                break;
            };
            // A merged pair comes back when its left or right token arises by another merge.
            if known.insert(pair) {
                merges.push(pair);
                if let Some(trace) = &mut trace {
                    trace.push(rounds.describe(pair));
                }
            }
            rounds.merge(pair);
            if let Some(round) = trace.as_mut().and_then(|trace| trace.last_mut()) {
                round.tokens = rounds.token_count();
            }
        }
        let tokens = rounds.tokens.into_iter().zip(0..);
        let vocab = tokens
            .map(|(bytes, id)| {
                (
                    id,
                    Token {
                        bytes,
                        is_text: false,
                    },
                )
            })
            .collect();
        let mut bpe = ByteBpe::from_parts(vocab, &merges, self.pre_tokenizer.clone())?;
        bpe.add_special_tokens(&self.special_tokens)?;
        bpe.add_mark_tokens(&self.mark_tokens)?;
        Ok(bpe)
    }

    /// The distinct pieces in the order in which they first stand.
    fn words<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Result<Vec<Word>> {
        let special = |content: &String| AddedToken {
            id: 0,
            content: content.clone(),
            special: true,
            normalized: false,
        };
        let added = self.special_tokens.iter().chain(&self.mark_tokens);
        let special: Vec<AddedToken> = added.map(special).collect();
        let special: Vec<&AddedToken> = special.iter().collect();
        let mut byte_ids = [0; 256];
        for (byte, id) in bytes::alphabet().zip(0..) {
            byte_ids[usize::from(byte)] = id;
        }
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut words: Vec<Word> = Vec::new();
        for text in texts {
            for part in added::parts(text, &special) {
                let added::Part::Text(text) = part else {
                    continue;
                };
                self.pre_tokenizer.pieces(text, &mut |piece| {
                    let place = *places.entry(piece).or_insert_with(|| {
                        let ids = piece
                            .bytes()
                            .map(|byte| byte_ids[usize::from(byte)])
                            .collect();
                        words.push(Word { ids, count: 0 });
                        words.len() - 1
                    });
                    words[place].count += 1;
                })?;
            }
        }
        Ok(words)
    }
}

// ANCHOR: pairs
/// Calls `each` with every pair of neighbours in `ids` and the index of its left one. A pair that
/// overlaps the same pair before it (`aaa`) is left out.
fn each_pair(ids: &[u32], mut each: impl FnMut(Pair, usize)) {
    let mut counted_at = None;
    for (at, pair) in ids.windows(2).enumerate() {
        let pair = (pair[0], pair[1]);
        let overlaps =
            pair.0 == pair.1 && at > 0 && counted_at == Some(at - 1) && ids[at - 1] == pair.0;
        if !overlaps {
            each(pair, at);
            counted_at = Some(at);
        }
    }
}
// ANCHOR_END: pairs

impl Rounds {
    fn new(words: Vec<Word>) -> Self {
        let tokens: Vec<Box<[u8]>> = bytes::alphabet().map(|byte| [byte].into()).collect();
        let ids = tokens.iter().cloned().zip(0..).collect();
        let pairs = HashMap::new();
        let mut rounds = Self {
            words,
            tokens,
            ids,
            pairs,
            queue: BinaryHeap::new(),
        };
        let pairs = &mut rounds.pairs;
        for (word, place) in rounds.words.iter().zip(0..) {
            each_pair(&word.ids, |pair, _| {
                let seen: &mut Seen = pairs.entry(pair).or_default();
                seen.count += word.count;
                if seen.words.last() != Some(&place) {
                    seen.words.push(place);
                }
            });
        }
        let all: Vec<Pair> = rounds.pairs.keys().copied().collect();
        all.into_iter().for_each(|pair| rounds.enqueue(pair));
        rounds
    }

    /// The current priority of `pair`, `None` if it is gone.
    fn key(&mut self, pair: Pair) -> Option<Key> {
        let seen = self.pairs.get_mut(&pair).filter(|seen| seen.count > 0)?;
        while let Some(&place) = seen.words.get(seen.first) {
            let ids = &self.words[place as usize].ids;
            if let Some(at) = ids.windows(2).position(|two| (two[0], two[1]) == pair) {
                // Merges move indices but never bytes, so places are counted in bytes.
                let lengths = ids[..at].iter().map(|&id| self.tokens[id as usize].len());
                let byte = u32::try_from(lengths.sum::<usize>()).unwrap_or(u32::MAX);
                return Some((seen.count, Reverse(place), Reverse(byte)));
            }
            seen.first += 1;
        }
        None
    }

    fn enqueue(&mut self, pair: Pair) {
        if let Some(key) = self.key(pair) {
            self.queue.push((key, Reverse(pair)));
        }
    }

    /// `pair` as it stands before it is merged; a look at every pair, so only for a trace.
    fn describe(&self, pair: Pair) -> Round {
        let count = self.pairs.get(&pair).map_or(0, |seen| seen.count);
        Round {
            left: self.tokens[pair.0 as usize].to_vec(),
            right: self.tokens[pair.1 as usize].to_vec(),
            count: count as usize,
            tied: self
                .pairs
                .values()
                .filter(|seen| seen.count == count)
                .count(),
            tokens: 0,
        }
    }

    fn token_count(&self) -> usize {
        let words = self.words.iter();
        words.map(|word| word.count as usize * word.ids.len()).sum()
    }

    /// The pair to merge next, `None` if all are rarer than `min_frequency`.
    fn next(&mut self, min_frequency: u64) -> Option<Pair> {
        while let Some((key, Reverse(pair))) = self.queue.pop() {
            match self.key(pair) {
                Some(now) if now == key => return (key.0 >= min_frequency).then_some(pair),
                Some(now) => self.queue.push((now, Reverse(pair))),
                None => {}
            }
        }
        None
    }

    /// Merges `pair` in every word that holds it.
    fn merge(&mut self, pair: Pair) {
        let Some(seen) = self.pairs.remove(&pair) else {
            return;
        };
        let whole = [
            &*self.tokens[pair.0 as usize],
            &*self.tokens[pair.1 as usize],
        ]
        .concat();
        // The same bytes can be reached by two merges (ab·c and a·bc): they are one token.
        let next_id = self.tokens.len() as u32;
        let new = *self.ids.entry(whole.clone().into()).or_insert(next_id);
        if new == next_id {
            self.tokens.push(whole.into());
        }
        let mut changes: BTreeMap<Pair, i64> = BTreeMap::new();
        let mut arisen: BTreeMap<Pair, Vec<u32>> = BTreeMap::new();
        for &place in &seen.words[seen.first..] {
            let word = &mut self.words[place as usize];
            let merged = merged(&word.ids, pair, new);
            if merged.len() == word.ids.len() {
                continue;
            }
            let count = word.count.cast_signed();
            each_pair(&word.ids, |old, _| {
                *changes.entry(old).or_default() -= count
            });
            each_pair(&merged, |now, _| {
                *changes.entry(now).or_default() += count;
                if now.0 == new || now.1 == new {
                    arisen.entry(now).or_default().push(place);
                }
            });
            word.ids = merged;
        }
        changes.remove(&pair);
        for (changed, difference) in changes {
            let seen = self.pairs.entry(changed).or_default();
            seen.count = seen.count.saturating_add_signed(difference);
        }
        for (pair, places) in arisen {
            let seen = self.pairs.entry(pair).or_default();
            seen.words.drain(..seen.first);
            seen.words.extend(places);
            seen.words.sort_unstable();
            seen.words.dedup();
            seen.first = 0;
            self.enqueue(pair);
        }
    }
}

/// `ids` with each `pair`, from the left, replaced by `new`.
fn merged(ids: &[u32], pair: Pair, new: u32) -> Vec<u32> {
    let mut out = Vec::with_capacity(ids.len());
    let mut at = 0;
    while at < ids.len() {
        let here = ids[at] == pair.0 && ids.get(at + 1) == Some(&pair.1);
        out.push(if here { new } else { ids[at] });
        at += if here { 2 } else { 1 };
    }
    out
}
