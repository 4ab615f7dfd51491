//! Private characters that show which part of a rendered conversation came from where.
//!
//! A user may type `<|im_end|>`. In the rendered text nothing tells it from the template's own, so
//! before rendering a private character is put behind the first character of what the user wrote
//! and a special token begins with. After rendering it is taken out again, and a special token is
//! believed only where no such mark stands in it. Assistant spans of `{% generation %}` blocks are
//! marked in the same way. The result is compared with the plain rendering: a template on which
//! the marks have an influence is not trusted with them.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::{Map, Value};

/// Three characters that occur in none of the texts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    pub(super) guard: char,
    pub(super) open: char,
    pub(super) close: char,
}

/// Which of a user's characters get a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strength {
    /// Every one that a special token begins with: safe whatever the template does to the text.
    Every,
    /// Where a special token stands, or begins at the end of the text: for templates that look
    /// for other strings with the same first character, such as `</think>`.
    Whole,
}

/// A rendered conversation without its marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) text: String,
    /// Byte positions behind a user's character that a special token could begin with, ascending.
    pub(super) guards: Vec<usize>,
    /// The bytes of `{% generation %}` blocks.
    pub(super) generation: Vec<Range<usize>>,
}

impl Marks {
    /// Marks that none of `texts` holds; `None` if they use up the private planes.
    pub(super) fn absent_from<'t>(texts: impl IntoIterator<Item = &'t str>) -> Option<Self> {
        let is_private = |c: &char| *c >= '\u{F0000}';
        let used: BTreeSet<char> = texts
            .into_iter()
            .flat_map(|text| text.chars().filter(is_private))
            .collect();
        let mut free = ('\u{F0000}'..='\u{FFFFD}').filter(|c| !used.contains(c));
        Some(Self {
            guard: free.next()?,
            open: free.next()?,
            close: free.next()?,
        })
    }

    /// `text` with a guard behind each character that needs one.
    pub(super) fn guarded(self, text: &str, special: &[&str], strength: Strength) -> String {
        let mut out = String::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            out.push(c);
            let rest = &text[at..];
            let needs = |token: &&str| match strength {
                Strength::Every => token.starts_with(c),
                Strength::Whole => rest.starts_with(token) || token.starts_with(rest),
            };
            if special.iter().any(needs) {
                out.push(self.guard);
            }
        }
        out
    }

    /// `value` with guards in every string and key.
    pub(super) fn guarded_json(self, value: &Value, special: &[&str], strength: Strength) -> Value {
        let again = |value| self.guarded_json(value, special, strength);
        match value {
            Value::String(text) => self.guarded(text, special, strength).into(),
            Value::Array(list) => list.iter().map(again).collect(),
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| (self.guarded(key, special, strength), again(value)))
                .collect::<Map<String, Value>>()
                .into(),
            other => other.clone(),
        }
    }

    /// Takes the marks out of a rendering; `None` if blocks do not close in order.
    pub(super) fn read(self, marked: &str) -> Option<Rendered> {
        let mut rendered = Rendered::default();
        let mut opened = Vec::new();
        for c in marked.chars() {
            let here = rendered.text.len();
            if c == self.guard {
                rendered.guards.push(here);
            } else if c == self.open {
                opened.push(here);
            } else if c == self.close {
                let start = opened.pop()?;
                // Of nested blocks the outer one counts.
                if opened.is_empty() {
                    rendered.generation.push(start..here);
                }
            } else {
                rendered.text.push(c);
            }
        }
        opened.is_empty().then_some(rendered)
    }
}

impl Rendered {
    /// Whether the user had a hand in the special token at `range`.
    pub(super) fn is_users(&self, range: &Range<usize>) -> bool {
        let first = self.guards.partition_point(|&guard| guard <= range.start);
        self.guards
            .get(first)
            .is_some_and(|&guard| guard <= range.end)
    }
}

/// Every string and key in `value`.
pub(super) fn strings<'v>(value: &'v Value, out: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => out.push(text),
        Value::Array(list) => list.iter().for_each(|value| strings(value, out)),
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            out.push(key);
            strings(value, out);
        }),
        _ => {}
    }
}
