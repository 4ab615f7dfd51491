//! When two texts count as the same.
//!
//! Four forms, each made from the one before, so that whatever is equal under one is equal under
//! all that follow:
//!
//! | kind | the texts are equal |
//! |---|---|
//! | exact | as they are |
//! | case | in lower case |
//! | whitespace | and with runs of white space as one space |
//! | nfkc | and after Unicode's compatibility composition (ﬁ is fi, Ａ is A, é is e + ́), without invisible characters |
//!
//! Only 128 bits of a SHA-256 of each form are kept, and forms that are equal are kept once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization;

/// How two texts are equal, the strictest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Character by character.
    Exact,
    /// But for upper and lower case.
    Case,
    /// But for case and white space.
    Whitespace,
    /// But for case, white space, invisible characters and the ways Unicode writes the same.
    Nfkc,
}

impl Kind {
    /// All kinds, the strictest first.
    pub const ALL: [Self; 4] = [Self::Exact, Self::Case, Self::Whitespace, Self::Nfkc];

    /// The name in reports and flags.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Case => "case",
            Self::Whitespace => "whitespace",
            Self::Nfkc => "nfkc",
        }
    }
}

/// `text` as texts of this kind are compared.
///
/// ```
/// use llm_train::quality::{Kind, normal_form};
/// assert_eq!(normal_form("Two  ﬁnches\u{200b}", Kind::Nfkc), "two finches");
/// assert_eq!(normal_form("Two  Words", Kind::Case), "two  words");
/// ```
pub fn normal_form(text: &str, kind: Kind) -> String {
    let steps = Kind::ALL.into_iter().filter(|step| *step <= kind);
    steps.fold(text.to_owned(), |form, step| {
        next_form(&form, step).into_owned()
    })
}

/// The form of `kind` from the form of the kind before it.
fn next_form(form: &str, kind: Kind) -> Cow<'_, str> {
    match kind {
        Kind::Exact => Cow::Borrowed(form),
        Kind::Case => Cow::Owned(lower(form)),
        Kind::Whitespace => Cow::Owned(spaced(form)),
        // Nothing composes, decomposes or is invisible in ASCII
        Kind::Nfkc if form.is_ascii() => Cow::Borrowed(form),
        Kind::Nfkc => {
            let visible = form.chars().filter(|c| !is_invisible(*c));
            // The composition can bring capitals (™ is TM), and lower case what composes
            let low = lower(&visible.nfkc().collect::<String>());
            Cow::Owned(spaced(&low.nfkc().collect::<String>()))
        }
    }
}

/// Lower case, character by character: both small sigmas are one.
fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let low = text.chars().flat_map(char::to_lowercase);
    low.map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

/// Words with one space between them.
fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Characters that take no room and that a reader cannot see.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
    )
}

/// Whether nothing of `text` can be seen.
pub fn is_blank(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_whitespace() || c.is_control() || is_invisible(c))
}

/// 128 bits of SHA-256.
pub(super) type Digest = (u64, u64);

/// The digest of several texts; their borders count.
pub(super) fn digest<T: AsRef<str>>(texts: &[T]) -> Digest {
    let mut hasher = Sha256::new();
    for text in texts.iter().map(AsRef::as_ref) {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let bytes = hasher.finalize();
    let half = |from: usize| {
        let eight = bytes.iter().skip(from).take(8);
        eight.fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
    };
    (half(0), half(8))
}

/// The digests of one text, or of several in a row, under the four kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digests([Digest; 4]);

impl Digests {
    pub(super) fn of(texts: &[&str]) -> Self {
        let mut forms: Vec<Cow<str>> = texts.iter().map(|text| Cow::Borrowed(*text)).collect();
        let mut last = digest(&forms);
        Self(Kind::ALL.map(|kind| {
            let next: Vec<String> = forms
                .iter()
                .map(|form| next_form(form, kind).into_owned())
                .collect();
            if next != forms {
                last = digest(&next);
                forms = next.into_iter().map(Cow::Owned).collect();
            }
            last
        }))
    }

    /// The digest of the loosest kind.
    pub(super) fn loosest(&self) -> Digest {
        let [.., last] = self.0;
        last
    }

    /// Without the kinds that are looser than `kind`.
    pub(super) fn up_to(mut self, kind: Kind) -> Self {
        let mut last = None;
        for (step, digest) in Kind::ALL.into_iter().zip(&mut self.0) {
            match last {
                Some(last) if step > kind => *digest = last,
                _ => last = Some(*digest),
            }
        }
        self
    }

    /// Each different digest with the strictest kind that gives it.
    fn distinct(&self) -> impl Iterator<Item = (Kind, Digest)> {
        let mut last = None;
        Kind::ALL
            .into_iter()
            .zip(self.0)
            .filter(move |(_, digest)| last.replace(*digest) != Some(*digest))
    }
}

/// The rows seen so far, to be found by any kind.
///
/// A digest stands once, with the strictest kind under which a row has it and the first such row.
#[derive(Debug, Default)]
pub(super) struct Ladder(HashMap<Digest, (u32, Kind)>);

impl Ladder {
    /// An earlier row of the same text and the strictest kind under which it is the same.
    pub(super) fn find(&self, digests: &Digests) -> Option<(u32, Kind)> {
        let mut steps = digests.distinct();
        steps.find_map(|(kind, digest)| {
            let (row, own) = self.0.get(&digest)?;
            // A text can be equal to another one's lower case: both kinds have to allow it
            Some((*row, kind.max(*own)))
        })
    }

    /// Adds a row.
    pub(super) fn insert(&mut self, digests: &Digests, row: u32) {
        for (kind, digest) in digests.distinct() {
            match self.0.entry(digest) {
                Slot::Vacant(slot) => {
                    slot.insert((row, kind));
                }
                Slot::Occupied(mut slot) if slot.get().1 > kind => {
                    slot.insert((row, kind));
                }
                Slot::Occupied(_) => {}
            }
        }
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        map_bytes::<Digest, (u32, Kind)>(self.0.capacity())
    }
}

/// About the bytes of a hash map: seven of eight slots can be taken, each with a byte beside it.
pub(super) fn map_bytes<K, V>(capacity: usize) -> usize {
    capacity * 8 / 7 * (size_of::<(K, V)>() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nfkc_form_is_its_own_form() {
        let planes = ('\0'..='\u{1ffff}').chain('\u{e0000}'..='\u{e0fff}');
        for c in planes {
            let once = normal_form(&c.to_string(), Kind::Nfkc);
            let twice = normal_form(&once, Kind::Nfkc);
            assert_eq!(once, twice, "U+{:04X}", u32::from(c));
        }
    }

    fn found(earlier: &[&str], text: &str) -> Option<(u32, Kind)> {
        let mut ladder = Ladder::default();
        for (row, text) in earlier.iter().enumerate() {
            ladder.insert(&Digests::of(&[text]), row as u32);
        }
        ladder.find(&Digests::of(&[text]))
    }

    #[test]
    fn the_strictest_kind_is_named_in_both_directions() {
        let pairs = [
            ("A cat", "A cat", Kind::Exact),
            ("A cat", "a CAT", Kind::Case),
            ("A cat", "A  cat\n", Kind::Whitespace),
            ("A cat", "a\tCAT", Kind::Whitespace),
            ("A cat", "Ａ cat", Kind::Nfkc),
            ("caf\u{e9}", "cafe\u{301}", Kind::Nfkc),
            ("a cat", "a c\u{200b}at", Kind::Nfkc),
            ("ΟΔΟΣ", "οδος", Kind::Case),
        ];
        for (a, b, kind) in pairs {
            assert_eq!(found(&[a], b), Some((0, kind)), "{a:?} {b:?}");
            assert_eq!(found(&[b], a), Some((0, kind)), "{b:?} {a:?}");
        }
        assert_eq!(found(&["A cat"], "A bat"), None);
        assert_eq!(found(&["A cat"], "Acat"), None);
    }

    #[test]
    fn a_stricter_match_wins_over_an_earlier_looser_one() {
        let rows = ["A  cat", "A CAT", "a cat"];
        assert_eq!(found(&rows, "a cat"), Some((2, Kind::Exact)));
        assert_eq!(found(&rows[..2], "a cat"), Some((1, Kind::Case)));
        assert_eq!(found(&rows[..1], "a cat"), Some((0, Kind::Whitespace)));
    }

    #[test]
    fn looser_kinds_can_be_left_out() {
        let found = |a, b, kind| {
            let mut ladder = Ladder::default();
            ladder.insert(&Digests::of(&[a]).up_to(kind), 0);
            ladder.find(&Digests::of(&[b]).up_to(kind))
        };
        assert_eq!(found("A cat", "a cat", Kind::Exact), None);
        assert_eq!(found("A cat", "a cat", Kind::Case), Some((0, Kind::Case)));
        assert_eq!(found("A cat", "a  cat", Kind::Case), None);
        assert_eq!(
            found("a cat", "a  cat", Kind::Nfkc),
            Some((0, Kind::Whitespace))
        );
    }

    #[test]
    fn borders_between_texts_count() {
        assert_ne!(Digests::of(&["ab", "c"]), Digests::of(&["a", "bc"]));
        assert_eq!(
            Digests::of(&["A ", "b"]).loosest(),
            Digests::of(&["a", "B"]).loosest()
        );
    }

    #[test]
    fn what_cannot_be_seen_is_blank() {
        assert!(is_blank("") && is_blank(" \u{200b}\u{feff}\u{a0}\u{0}\n"));
        assert!(!is_blank("\u{200b}.") && !is_blank("\u{fffd}"));
    }
}
