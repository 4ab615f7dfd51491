//! Cleaning by rule: what can be mended without knowing what a text means.
//!
//! | | prose | code |
//! |---|---|---|
//! | line ends (`\r\n`, `\r`) | `\n` | `\n` |
//! | U+200B, U+FEFF, and U+200C, U+200D that join nothing | removed | removed |
//! | no-break spaces | a space | a space |
//! | compatibility composition (NFKC) | yes | no: it would change string literals and `x²` |
//! | blanks inside a line | one; a run with a tab is one tab, so that cells stay cells | kept |
//! | blanks at the end of a line | removed | kept |
//! | indentation, line breaks | kept | kept |
//! | empty lines | one at a time, none at the ends | kept |
//!
//! Between code fences (` ``` ` or `~~~`) the rules for code hold in prose too.
//!
//! **Joiners.** U+200D stays between two pictures, where it makes one of them (a family, a flag),
//! and behind a letter of a script whose letters join (Arabic, Indic, Mongolian …). U+200C, which
//! Persian writes inside words, stays between two such letters. Everywhere else they are invisible
//! residue and go.
//!
//! Cleaning twice gives what cleaning once gives.

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Sentences, lists, tables; code between fences.
    Prose,
    /// Code or anything else whose columns matter.
    Code,
}

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';

/// `text` after the rules of `mode`.
///
/// ```
/// use llm_train::quality::{Mode, clean_text};
/// let code = "def f(x):\r\n    return  x\u{200b}\n";
/// assert_eq!(clean_text(code, Mode::Code), "def f(x):\n    return  x\n");
/// assert_eq!(clean_text("ﬁve \u{a0} words\n\n\n\nhere ", Mode::Prose), "five words\n\nhere");
/// ```
pub fn clean_text(text: &str, mode: Mode) -> String {
    let text = visible(&text.replace("\r\n", "\n").replace('\r', "\n"));
    match mode {
        Mode::Code => code(&text),
        // The separators that Unicode has beside the line feed
        Mode::Prose => prose(&text.replace(['\u{85}', '\u{2028}', '\u{2029}'], "\n")),
    }
}

/// Keys of a row that hold text.
const TEXT_KEYS: [&str; 6] = [
    "prompt",
    "completion",
    "instruction",
    "input",
    "output",
    "text",
];

/// Cleans every text of a row, the contents of its messages among them; whether anything changed.
pub fn clean_row(row: &mut Value, mode: Mode) -> bool {
    let mut changed = false;
    for key in TEXT_KEYS {
        changed |= row.get_mut(key).is_some_and(|text| clean_value(text, mode));
    }
    if let Some(Value::Array(messages)) = row.get_mut("messages") {
        for message in messages {
            let content = message.get_mut("content");
            changed |= content.is_some_and(|text| clean_value(text, mode));
        }
    }
    changed
}

fn clean_value(value: &mut Value, mode: Mode) -> bool {
    let Value::String(text) = value else {
        return false;
    };
    let cleaned = clean_text(text, mode);
    let changed = cleaned != *text;
    *text = cleaned;
    changed
}

/// No-break spaces as spaces: in source code they are errors that nobody sees.
fn code(text: &str) -> String {
    text.replace(['\u{a0}', '\u{2007}', '\u{202f}'], " ")
}

/// Without characters of no width, but for joiners that join.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut last = None;
    for (place, c) in text.char_indices() {
        if is_zero_width(c) {
            let mut rest = text[place..].chars();
            let next = rest.find(|c| !is_zero_width(*c));
            if !joins(c, last, next) {
                continue;
            }
        }
        out.push(c);
        last = Some(c);
    }
    out
}

fn is_zero_width(c: char) -> bool {
    matches!(
        c,
        '\u{200b}' | ZERO_WIDTH_NON_JOINER | ZERO_WIDTH_JOINER | '\u{feff}'
    )
}

/// Whether `c` means something between `before` and `after`.
fn joins(c: char, before: Option<char>, after: Option<char>) -> bool {
    let (Some(before), after) = (before, after.unwrap_or(' ')) else {
        return false;
    };
    match c {
        ZERO_WIDTH_JOINER => is_joining_letter(before) || (is_picture(before) && is_picture(after)),
        ZERO_WIDTH_NON_JOINER => is_joining_letter(before) && is_joining_letter(after),
        _ => false,
    }
}

/// Pictures that sequences are made of, and what may stand behind one (variation selector, skin).
fn is_picture(c: char) -> bool {
    matches!(
        c,
        '\u{2194}'..='\u{2199}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{fe0f}'
            | '\u{1f000}'..='\u{1f0ff}' | '\u{1f300}'..='\u{1faff}'
    )
}

/// Letters and marks of scripts in which neighbours change each other's shape.
fn is_joining_letter(c: char) -> bool {
    matches!(
        c,
        '\u{620}'..='\u{6d3}' // Arabic and Persian
            | '\u{6d5}'..='\u{7ff}' // more Arabic, Syriac, N'Ko
            | '\u{840}'..='\u{df5}' // Mandaic, Arabic, the Indic scripts
            | '\u{1000}'..='\u{109f}' // Myanmar
            | '\u{1780}'..='\u{17ff}' // Khmer
            | '\u{1820}'..='\u{18af}' // Mongolian
            | '\u{1b00}'..='\u{1bff}' // Balinese, Sundanese, Batak
            | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}' // Arabic in presentation forms
    )
}

/// A line that opens or closes a block of code: its character, how many, and what follows.
pub(super) fn fence(line: &str) -> Option<(char, usize, &str)> {
    let line = line.trim_start();
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let rest = line.trim_start_matches(mark);
    let count = line.len() - rest.len();
    // `x` between backticks on one line is no block
    (count >= 3 && !(mark == '`' && rest.contains('`'))).then_some((mark, count, rest.trim()))
}

/// Whether `line` closes the block that `opened` opened.
pub(super) fn closes(opened: (char, usize), line: &str) -> bool {
    fence(line)
        .is_some_and(|(mark, count, rest)| mark == opened.0 && count >= opened.1 && rest.is_empty())
}

fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut opened = None;
    let mut gap = false;
    for line in text.split('\n') {
        let cleaned = match opened {
            None => prose_line(line),
            Some(_) => code(line),
        };
        match opened {
            Some(fence) if closes(fence, &cleaned) => opened = None,
            None => opened = fence(&cleaned).map(|(mark, count, _)| (mark, count)),
            Some(_) => {}
        }
        if cleaned.is_empty() && opened.is_none() {
            gap = true;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if gap { "\n\n" } else { "\n" });
        }
        gap = false;
        out.push_str(&cleaned);
    }
    out
}

/// One line: composed, its indentation kept, blanks after it one at a time, none at its end.
fn prose_line(line: &str) -> String {
    const BLANKS: [char; 2] = [' ', '\t'];
    let line: String = line.nfkc().collect();
    let words = line.trim_start_matches(BLANKS);
    if words.is_empty() {
        return String::new();
    }
    let mut out = line[..line.len() - words.len()].to_owned();
    let mut rest = words.trim_end_matches(BLANKS);
    while let Some(start) = rest.find(BLANKS) {
        let behind = rest[start..].trim_start_matches(BLANKS);
        let blanks = &rest[start..rest.len() - behind.len()];
        out.push_str(&rest[..start]);
        out.push(if blanks.contains('\t') { '\t' } else { ' ' });
        rest = behind;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(mode: Mode, cases: &[(&str, &str)]) {
        for (text, want) in cases {
            let once = clean_text(text, mode);
            assert_eq!(once, *want, "{text:?}");
            assert_eq!(clean_text(&once, mode), once, "twice: {text:?}");
        }
    }

    #[test]
    fn prose_keeps_lines_lists_and_tables() {
        cases(
            Mode::Prose,
            &[
                ("", ""),
                (" \u{200b}\n\n", ""),
                ("one\r\ntwo\rthree\u{2028}four", "one\ntwo\nthree\nfour"),
                ("two  words\u{a0}\u{3000}here  ", "two words here"),
                ("- a\n  - b\n\n\n\n- c", "- a\n  - b\n\n- c"),
                ("| a  | b |\n|----|---|", "| a | b |\n|----|---|"),
                ("name\t 1\nlong name \t\t2", "name\t1\nlong name\t2"),
                ("\n\n  indented\n", "  indented"),
                ("ﬁ Ａ ½ cafe\u{301}", "fi A 1⁄2 café"),
                ("A\u{30a}ngstrom", "Ångstrom"),
            ],
        );
    }

    #[test]
    fn fenced_code_in_prose_is_code() {
        let text =
            "See  here:\n```python\nif x:\n    y  =  'ﬁ'\n\n\n    z\u{a0}= 1\n```\nand  there";
        let want = "See here:\n```python\nif x:\n    y  =  'ﬁ'\n\n\n    z = 1\n```\nand there";
        cases(Mode::Prose, &[(text, want)]);
        cases(
            Mode::Prose,
            &[
                ("~~~\na  b\n```\n~~~~\na  b", "~~~\na  b\n```\n~~~~\na b"),
                ("```x``` a  b", "```x``` a b"),
                ("｀｀｀\na  b", "```\na  b"),
            ],
        );
    }

    #[test]
    fn code_keeps_columns() {
        cases(
            Mode::Code,
            &[
                (
                    "def f():\r\n\tif x:\r\n\t\treturn  'ﬁ²'  \r\n\r\n\r\n",
                    "def f():\n\tif x:\n\t\treturn  'ﬁ²'  \n\n\n",
                ),
                ("\u{feff}a\u{a0}= 1\u{200b};", "a = 1;"),
            ],
        );
    }

    #[test]
    fn joiners_stay_where_they_join() {
        let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
        let heart = "❤\u{fe0f}\u{200d}🔥";
        let skin = "👩🏽\u{200d}🚀";
        let persian = "می\u{200c}خواهم";
        let hindi = "क्\u{200d}ष क्\u{200c}ष";
        for text in [family, heart, skin, persian, hindi] {
            cases(Mode::Prose, &[(text, text)]);
            cases(Mode::Code, &[(text, text)]);
        }
        cases(
            Mode::Prose,
            &[
                ("a\u{200d}b\u{200c}c", "abc"),
                ("👨\u{200d} and", "👨 and"),
                ("\u{200d}👨", "👨"),
                ("می\u{200c}\u{200c}\u{200b}خواهم", persian),
                ("می\u{200c} خواهم", "می خواهم"),
                ("e\u{200b}\u{301}", "é"),
            ],
        );
    }

    #[test]
    fn rows_keep_their_keys_and_their_order() {
        let text = r#"{"id":" 7 ","messages":[{"role":"user","content":"a  b"}],"input":null}"#;
        let mut row: Value = serde_json::from_str(text).unwrap();
        assert!(clean_row(&mut row, Mode::Prose));
        assert_eq!(row.to_string(), text.replace("a  b", "a b"));
        assert!(!clean_row(&mut row, Mode::Prose));
    }

    #[test]
    fn combining_marks_stay_with_their_letters() {
        cases(
            Mode::Prose,
            &[
                ("Việt Nam", "Việt Nam"),
                ("Vie\u{323}\u{302}t", "Vi\u{1ec7}t"),
                ("q\u{307}\u{323}", "q\u{323}\u{307}"),
                ("न\u{93f}", "नि"),
            ],
        );
    }
}
