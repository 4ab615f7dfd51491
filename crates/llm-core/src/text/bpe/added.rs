//! Added tokens: whole strings that are cut out before the pre-tokenizer sees the text.

/// A token that is matched as a whole string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedToken {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub content: String,
    /// Control, not text: never matched in what a user typed.
    pub special: bool,
    /// Matched after normalization instead of before.
    pub normalized: bool,
}

/// A stretch of text, or an added token found in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Text(&'t str),
    Added(u32),
}

/// `text` cut at the leftmost, then longest, matches of `tokens`. No part of it is lost.
pub(super) fn parts<'t>(text: &'t str, tokens: &[&AddedToken]) -> Vec<Part<'t>> {
    let mut by_first: Vec<Vec<&AddedToken>> = vec![Vec::new(); 256];
    for token in tokens {
        if let Some(&byte) = token.content.as_bytes().first() {
            by_first[usize::from(byte)].push(token);
        }
    }
    for list in &mut by_first {
        list.sort_by_key(|token| std::cmp::Reverse(token.content.len()));
    }
    let (mut out, mut done, mut at) = (Vec::new(), 0, 0);
    while let Some(&byte) = text.as_bytes().get(at) {
        let here = &text.as_bytes()[at..];
        let found = by_first[usize::from(byte)]
            .iter()
            .find(|token| here.starts_with(token.content.as_bytes()));
        let Some(token) = found else {
            at += 1;
            continue;
        };
        // A match begins with the first byte of a character, so both cuts are between characters.
        if done < at {
            out.push(Part::Text(&text[done..at]));
        }
        out.push(Part::Added(token.id));
        at += token.content.len();
        done = at;
    }
    if done < text.len() {
        out.push(Part::Text(&text[done..]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftmost_then_longest() {
        let token = |id, content: &str| AddedToken {
            id,
            content: content.into(),
            special: true,
            normalized: false,
        };
        let all = [token(1, "<a>"), token(2, "<a><b>"), token(3, "é")];
        let all: Vec<_> = all.iter().collect();
        use Part::{Added, Text};
        assert_eq!(
            parts("x<a><b>é<a", &all),
            [Text("x"), Added(2), Added(3), Text("<a")]
        );
        assert_eq!(parts("", &all), []);
        assert_eq!(parts("è", &all), [Text("è")]); // shares its first byte with é
    }
}
