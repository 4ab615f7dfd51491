//! Rows that are nearly the same: MinHash finds candidates, the sets of shingles decide.
//!
//! A text is the set of its runs of five words (*shingles*), and two texts are as alike as their
//! sets, by Jaccard's index |A ∩ B| / |A ∪ B|. Comparing all pairs is out of the question. The least
//! value of a random hash function over a set is the same for two sets with just this probability,
//! so 80 such functions are taken in 16 bands of five; rows that agree in a whole band are
//! candidates: with an index of 0.8 they do so with a probability of 1 − (1 − 0.8⁵)¹⁶ = 99.8 %, with
//! 0.4 in 15 of 100 cases (Broder 1997; Indyk and Motwani 1998).
//!
//! Candidates are then compared by their whole sets. Only those of rows that agree with a later one
//! are held at the same time, and no more than a budget: a second reading of the files makes them,
//! and where the budget is used up, a further one goes on from there.

use std::collections::HashMap;

use unicode_normalization::char::is_combining_mark;

use super::forms::{Kind, normal_form};
use crate::{Error, Result};

/// Words of a shingle.
const WORDS: usize = 5;
/// Bands, and hash functions in each.
const BANDS: usize = 16;
const ROWS_PER_BAND: usize = 5;
/// Rows of one band that a row is compared with, at each end of those that agree. Only sets in which
/// thousands of rows share a frame have more.
const COMPARED: usize = 128;
/// Bytes of shingles that are held at a time.
pub const BUDGET_BYTES: usize = 256 << 20;
/// Where the hash functions come from: one seed, one result.
const SEED: u64 = 0x5eed_0f5e_75a1_1ce5;
/// The index from which rows are nearly the same, if nothing else is said.
pub const THRESHOLD: f64 = 0.8;

/// A row that is nearly an earlier one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearPair {
    /// The later row.
    pub row: u32,
    /// The first row that is like it.
    pub of: u32,
    /// Jaccard's index of the two.
    pub jaccard: f64,
}

/// The shingles of several texts together: hashes in ascending order, each once.
///
/// Words are compared as [`Kind::Nfkc`] says; signs count as words, and so do the characters of
/// scripts that put no spaces between words. A text of fewer than five words is one shingle.
pub fn shingles(texts: &[&str]) -> Vec<u64> {
    let mut words = Vec::new();
    for text in texts {
        words_of(&normal_form(text, Kind::Nfkc), &mut words);
    }
    let hash = |words: &[u64]| words.iter().fold(SEED, |hash, word| mix(hash ^ word));
    let mut all: Vec<u64> = match words.len() {
        0 => Vec::new(),
        1..WORDS => vec![hash(&words)],
        _ => words.windows(WORDS).map(hash).collect(),
    };
    all.sort_unstable();
    all.dedup();
    all
}

/// Adds the hash of each word of `text`.
fn words_of(text: &str, words: &mut Vec<u64>) {
    /// FNV-1a's start and factor.
    const START: u64 = 0xcbf2_9ce4_8422_2325;
    const FACTOR: u64 = 0x0000_0100_0000_01b3;
    let mut word: Option<u64> = None;
    for c in text.chars() {
        let inside = c.is_alphanumeric() || is_combining_mark(c);
        if !inside || is_a_word(c) {
            words.extend(word.take().map(mix));
        }
        if c.is_whitespace() {
            continue;
        }
        let hash = (word.unwrap_or(START) ^ u64::from(c)).wrapping_mul(FACTOR);
        if inside && !is_a_word(c) {
            word = Some(hash);
        } else {
            words.push(mix(hash));
        }
    }
    words.extend(word.map(mix));
}

/// Whether a character is a word of its own: Thai and its neighbours, kana, Han.
fn is_a_word(c: char) -> bool {
    matches!(
        c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
            | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3ffff}'
    )
}

/// The finaliser of splitmix64: each bit of the result depends on all bits of `x`.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Jaccard's index of two sets in ascending order; 0 for two empty ones.
pub fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    let mut both = 0_usize;
    while let (Some(x), Some(y)) = (left.peek(), right.peek()) {
        let order = x.cmp(y);
        both += usize::from(order.is_eq());
        if order.is_le() {
            left.next();
        }
        if order.is_ge() {
            right.next();
        }
    }
    let either = a.len() + b.len() - both;
    if either == 0 {
        return 0.0;
    }
    both as f64 / either as f64
}

/// For each band a key: the least values of its hash functions, mixed to 32 bits.
fn band_keys(shingles: &[u64]) -> [u32; BANDS] {
    let mut state = SEED;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(state)
    };
    std::array::from_fn(|_| {
        let mut key = 0;
        for _ in 0..ROWS_PER_BAND {
            let (factor, offset) = (next() | 1, next());
            let hash = |shingle: &u64| shingle.wrapping_mul(factor).wrapping_add(offset);
            key = mix(key ^ shingles.iter().map(hash).min().unwrap_or_default());
        }
        (key >> 32) as u32
    })
}

/// The bands of all rows, to be asked which rows may be alike.
#[derive(Debug, Default)]
pub struct Bands {
    /// For each band, key and row in one number.
    tables: Vec<Vec<u64>>,
}

impl Bands {
    /// Adds a row; rows come in ascending order.
    pub fn add(&mut self, row: u32, shingles: &[u64]) {
        self.tables.resize_with(BANDS, Vec::new);
        if shingles.is_empty() {
            return;
        }
        for (table, key) in self.tables.iter_mut().zip(band_keys(shingles)) {
            table.push(entry(key, row));
        }
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let entries = self.tables.iter().map(Vec::capacity).sum::<usize>();
        entries * size_of::<u64>()
    }

    /// No more rows will come.
    pub fn sort(mut self) -> Sorted {
        let mut rows = 0;
        for table in &mut self.tables {
            table.sort_unstable();
            let last = table.iter().map(|entry| row_of(*entry)).max();
            rows = rows.max(last.map_or(0, |row| row as usize + 1));
        }
        let (mut earlier, mut later) = (vec![false; rows], vec![false; rows]);
        for table in &self.tables {
            for pair in table.windows(2) {
                let [a, b] = [pair[0], pair[1]];
                if a >> 32 == b >> 32 {
                    // Rows of one key stand in ascending order
                    later[row_of(a) as usize] = true;
                    earlier[row_of(b) as usize] = true;
                }
            }
        }
        Sorted {
            tables: self.tables,
            earlier,
            later,
        }
    }
}

fn entry(key: u32, row: u32) -> u64 {
    u64::from(key) << 32 | u64::from(row)
}

fn row_of(entry: u64) -> u32 {
    entry as u32
}

/// [`Bands`] in the order of their keys.
#[derive(Debug)]
pub struct Sorted {
    tables: Vec<Vec<u64>>,
    /// For each row, whether it agrees in a band with an earlier or a later one.
    earlier: Vec<bool>,
    later: Vec<bool>,
}

fn is_set(flags: &[bool], row: u32) -> bool {
    flags.get(row as usize).copied().unwrap_or_default()
}

impl Sorted {
    /// Earlier rows that agree with this one in a band and that `is_held`, in ascending order.
    fn candidates(&self, row: u32, keys: [u32; BANDS], is_held: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut rows = Vec::new();
        for (table, key) in self.tables.iter().zip(keys) {
            let start = table.partition_point(|other| *other < entry(key, 0));
            let end = table.partition_point(|other| *other < entry(key, row));
            let same = table.get(start..end).unwrap_or_default().iter();
            let held = |other: &&u64| is_held(row_of(**other));
            rows.extend(same.clone().filter(held).take(COMPARED).map(|e| row_of(*e)));
            if end - start > COMPARED {
                rows.extend(same.rev().filter(held).take(COMPARED).map(|e| row_of(*e)));
            }
        }
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}

/// How near rows are compared.
#[derive(Clone, Copy, Debug)]
pub struct Compare {
    /// The index from which rows are nearly the same.
    pub threshold: f64,
    /// Whether rows that were found near to another are left out of what later rows are compared
    /// with, as when they are removed.
    pub removing: bool,
    /// Bytes of shingles that may be held at a time; at least those of one row are.
    pub budget_bytes: usize,
}

/// For each row that is nearly an earlier one, the first such row; by row.
///
/// `read` calls its argument with every row that was added to the bands and its texts, in order;
/// others may be among them. It is called once, and again where the budget is too small.
///
/// # Errors
/// What `read` reports.
pub fn pairs(
    sorted: &Sorted,
    compare: Compare,
    mut read: impl FnMut(&mut dyn FnMut(u32, &[&str])) -> Result<()>,
) -> Result<Vec<NearPair>> {
    let mut found: HashMap<u32, NearPair> = HashMap::new();
    let mut from = 0;
    loop {
        let mut pass = Pass {
            sorted,
            compare,
            from,
            held: HashMap::new(),
            bytes: 0,
            full: None,
        };
        read(&mut |row, texts| pass.row(row, texts, &mut found))?;
        match pass.full {
            None => break,
            Some(next) if next > from => from = next,
            Some(_) => return Err(Error::input("data", "changed while it was read")),
        }
    }
    let mut found: Vec<NearPair> = found.into_values().collect();
    found.sort_unstable_by_key(|pair| pair.row);
    Ok(found)
}

/// One reading: what is held of the rows from `from` on.
struct Pass<'s> {
    sorted: &'s Sorted,
    compare: Compare,
    from: u32,
    held: HashMap<u32, Vec<u64>>,
    bytes: usize,
    /// The first row that there was no room for.
    full: Option<u32>,
}

impl Pass<'_> {
    fn row(&mut self, row: u32, texts: &[&str], found: &mut HashMap<u32, NearPair>) {
        let (earlier, later) = (
            is_set(&self.sorted.earlier, row),
            is_set(&self.sorted.later, row),
        );
        if row < self.from || !(earlier || later) {
            return;
        }
        let shingles = shingles(texts);
        if earlier && !found.contains_key(&row) {
            found.extend(self.first_like(row, &shingles).map(|pair| (row, pair)));
        }
        let removed = self.compare.removing && found.contains_key(&row);
        if !later || removed || self.full.is_some() {
            return;
        }
        self.bytes += shingles.len() * size_of::<u64>();
        if self.bytes > self.compare.budget_bytes && !self.held.is_empty() {
            self.full = Some(row);
            return;
        }
        self.held.insert(row, shingles);
    }

    fn first_like(&self, row: u32, shingles: &[u64]) -> Option<NearPair> {
        let keys = band_keys(shingles);
        let is_held = |other| self.held.contains_key(&other);
        let candidates = self.sorted.candidates(row, keys, is_held).into_iter();
        let mut pairs = candidates.filter_map(|of| {
            let jaccard = jaccard(self.held.get(&of)?, shingles);
            Some(NearPair { row, of, jaccard })
        });
        pairs.find(|pair| pair.jaccard >= self.compare.threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_signs_and_single_characters() {
        let words = |text: &str| {
            let mut words = Vec::new();
            words_of(text, &mut words);
            words.len()
        };
        assert_eq!(words("the cat's hat: 3.5!"), 10);
        assert_eq!(words("你好，世界"), 5);
        assert_eq!(words("नमस्ते दुनिया"), 2);
        assert_eq!(words(" \n"), 0);
    }

    #[test]
    fn shingles_are_windows_of_five_words() {
        assert_eq!(shingles(&[]).len(), 0);
        assert_eq!(shingles(&["one two"]).len(), 1);
        assert_eq!(shingles(&["a b c d e"]).len(), 1);
        assert_eq!(shingles(&["a b c", "d e f g"]).len(), 3);
        assert_eq!(shingles(&["a a a a a a a a"]).len(), 1);
        assert_eq!(shingles(&["One  TWO"]), shingles(&["one two"]));
        assert_ne!(shingles(&["3 + 4"]), shingles(&["3 - 4"]));
    }

    #[test]
    fn the_index_of_jaccard_counts_shared_shingles() {
        assert_eq!(jaccard(&[1, 2, 3, 4], &[2, 3, 5]), 0.4);
        assert_eq!(jaccard(&[1], &[1]), 1.0);
        assert_eq!(jaccard(&[1], &[]), 0.0);
        assert_eq!(jaccard(&[], &[]), 0.0);
    }

    /// Rows of 60 words, some of them earlier rows with a few words changed.
    fn corpus(rows: usize) -> Vec<String> {
        let mut state = 1_u64;
        let mut draw = move |below: u64| {
            state = mix(state);
            state % below
        };
        let mut all: Vec<Vec<u64>> = Vec::new();
        for row in 0..rows {
            let mut words: Vec<u64> = match row.checked_sub(1 + draw(30) as usize) {
                Some(of) if draw(2) == 0 => all[of].clone(),
                _ => (0..60).map(|_| draw(5000)).collect(),
            };
            for _ in 0..draw(6) {
                let place = draw(words.len() as u64) as usize;
                words[place] = draw(5000);
            }
            all.push(words);
        }
        let text = |words: &Vec<u64>| words.iter().map(|w| format!("w{w} ")).collect();
        all.iter().map(text).collect()
    }

    fn found(texts: &[String], compare: Compare) -> Vec<NearPair> {
        let mut bands = Bands::default();
        for (row, text) in texts.iter().enumerate() {
            bands.add(row as u32, &shingles(&[text]));
        }
        let read = |visit: &mut dyn FnMut(u32, &[&str])| {
            for (row, text) in texts.iter().enumerate() {
                visit(row as u32, &[text]);
            }
            Ok(())
        };
        pairs(&bands.sort(), compare, read).unwrap()
    }

    fn brute_force(texts: &[String], threshold: f64, removing: bool) -> Vec<NearPair> {
        let sets: Vec<Vec<u64>> = texts.iter().map(|text| shingles(&[text])).collect();
        let mut found: Vec<NearPair> = Vec::new();
        for row in 0..sets.len() {
            let like = |of: &usize| jaccard(&sets[*of], &sets[row]) >= threshold;
            let gone = |of: &usize| found.iter().any(|pair| pair.row as usize == *of);
            let first = (0..row).find(|of| like(of) && !(removing && gone(of)));
            found.extend(first.map(|of| NearPair {
                row: row as u32,
                of: of as u32,
                jaccard: jaccard(&sets[of], &sets[row]),
            }));
        }
        found
    }

    const COMPARE: Compare = Compare {
        threshold: THRESHOLD,
        removing: false,
        budget_bytes: BUDGET_BYTES,
    };

    #[test]
    fn candidates_find_what_all_pairs_find() {
        let texts = corpus(1000);
        for removing in [false, true] {
            let compare = Compare {
                removing,
                ..COMPARE
            };
            let (got, want) = (
                found(&texts, compare),
                brute_force(&texts, THRESHOLD, removing),
            );
            let hits = want.iter().filter(|pair| got.contains(pair)).count();
            assert!(want.len() > 100, "{} pairs to find", want.len());
            assert_eq!(hits, got.len(), "every pair found is one");
            // A pair at the threshold is missed with a probability of 0.2 %, one above it less
            assert!(hits * 100 >= want.len() * 99, "{hits} of {}", want.len());
        }
    }

    #[test]
    fn a_small_budget_takes_more_readings_and_finds_the_same() {
        let texts = corpus(200);
        for removing in [false, true] {
            let compare = Compare {
                removing,
                ..COMPARE
            };
            let small = Compare {
                budget_bytes: 4000,
                ..compare
            };
            assert_eq!(found(&texts, small), found(&texts, compare));
            let none = Compare {
                budget_bytes: 0,
                ..compare
            };
            assert_eq!(found(&texts, none), found(&texts, compare));
        }
    }

    #[test]
    fn many_rows_of_one_frame_stay_quick_and_right() {
        let texts: Vec<String> = (0..1000)
            .map(|row| {
                format!("please write a short poem in four lines about the number {row} today")
            })
            .collect();
        let got = found(&texts, COMPARE);
        assert_eq!(got, brute_force(&texts, THRESHOLD, false));
        let same = vec!["a b c d e f g".to_string(); 1000];
        assert_eq!(found(&same, COMPARE).len(), 999);
        assert!(found(&same, COMPARE).iter().all(|pair| pair.of == 0));
    }
}
