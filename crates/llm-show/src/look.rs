//! How text looks: colour by meaning, ASCII instead of glyphs, and widths in terminal columns.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that nothing printed here exceeds on its own account.
pub const WIDTH: usize = 80;

/// What a colour means. Colour only repeats what a glyph, a word or the position already says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The thing being looked at.
    Accent,
    /// As it should be.
    Good,
    /// Worth attention.
    Warn,
    /// Wrong.
    Bad,
    /// Beside the point.
    Muted,
}

/// The two choices that change how the same text is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Only ASCII: words for symbols, ` .:-=+*#%@` for shades.
    pub ascii: bool,
    /// ANSI colours.
    pub color: bool,
}

impl Look {
    /// `text` with control characters made visible and, under [`Look::ascii`], symbols spelled
    /// out. Characters that have no ASCII spelling (a learner's own text) stay as they are.
    pub fn text(self, text: &str) -> Cow<'_, str> {
        if !text
            .chars()
            .any(|c| c.is_control() || (self.ascii && !c.is_ascii()))
        {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match self.ascii.then(|| spelled(c)).flatten() {
                Some(word) => out.push_str(word),
                None if c.is_control() => out.extend(c.escape_debug()),
                None => out.push(c),
            }
        }
        Cow::Owned(out)
    }

    /// `unicode`, or `ascii` under [`Look::ascii`].
    pub fn glyph<'t>(self, unicode: &'t str, ascii: &'t str) -> &'t str {
        if self.ascii { ascii } else { unicode }
    }

    /// `text` in the colour of `meaning`, or as it is without colours.
    pub fn paint(self, meaning: Meaning, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let style = match meaning {
            Meaning::Accent => AnsiColor::Cyan.on_default().bold(),
            Meaning::Good => AnsiColor::Green.on_default(),
            Meaning::Warn => AnsiColor::Yellow.on_default(),
            Meaning::Bad => AnsiColor::Red.on_default().bold(),
            Meaning::Muted => Style::new().dimmed(),
        };
        format!("{style}{text}{style:#}")
    }

    /// The glyph for `share` of a scale from 0 to 1; NaN is `?`.
    pub fn shade(self, share: f64) -> char {
        let ramp: &[char] = if self.ascii {
            &[' ', '.', ':', '-', '=', '+', '*', '#', '%', '@']
        } else {
            &['░', '▒', '▓', '█']
        };
        if share.is_nan() {
            return '?';
        }
        let level = (share.clamp(0.0, 1.0) * ramp.len() as f64) as usize;
        ramp[level.min(ramp.len() - 1)]
    }

    /// All shades from low to high, for a legend.
    pub fn ramp(self) -> &'static str {
        if self.ascii {
            " .:-=+*#%@"
        } else {
            "░▒▓█"
        }
    }
}

/// ASCII for the symbols that our own texts use.
fn spelled(c: char) -> Option<&'static str> {
    Some(match c {
        '·' | '−' | '–' | '─' | '┄' => "-",
        '—' => "--",
        '…' => "...",
        '≤' => "<=",
        '≥' => ">=",
        '≠' => "!=",
        '≈' => "~",
        '±' => "+-",
        '×' => "x",
        '→' => "->",
        '←' => "<-",
        '√' => "sqrt ",
        'Σ' => "sum ",
        '∞' => "inf",
        '∂' => "d",
        '∈' => "in",
        'ᵀ' => "^T",
        '²' => "^2",
        '³' => "^3",
        '₀' => "_0",
        '₁' => "_1",
        '₂' => "_2",
        'ₜ' => "_t",
        'ᵢ' => "_i",
        'ⱼ' => "_j",
        'Δ' => "delta",
        'α' => "alpha",
        'β' => "beta",
        'γ' => "gamma",
        'ε' => "epsilon",
        'θ' => "theta",
        'μ' => "mu",
        'π' => "pi",
        'σ' => "sigma",
        '│' => "|",
        '“' | '”' => "\"",
        '‘' | '’' => "'",
        '▼' => "v",
        '▲' => "^",
        _ => return None,
    })
}

/// Terminal columns of `text`.
pub fn width(text: &str) -> usize {
    text.width()
}

/// `text` filled with spaces on the right up to `columns`.
pub fn left(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// `text` filled with spaces on the left up to `columns`.
pub fn right(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

/// `text` in the middle of `columns`; an odd space goes to the left.
pub fn centre(text: &str, columns: usize) -> String {
    let space = columns.saturating_sub(width(text));
    format!(
        "{}{text}{}",
        " ".repeat(space.div_ceil(2)),
        " ".repeat(space / 2)
    )
}

/// `text` cut to `columns` with a closing `…` (`~` in ASCII) when it is longer.
pub fn clip(look: Look, text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used >= columns {
            break;
        }
        kept.push(c);
    }
    kept + look.glyph("…", "~")
}

/// Words of `text` in lines of at most `columns`; a longer word gets a line of its own.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.len() - 1;
        if !lines[line].is_empty() && width(&lines[line]) + 1 + width(word) > columns {
            lines.push(word.to_owned());
            continue;
        }
        if !lines[line].is_empty() {
            lines[line].push(' ');
        }
        lines[line].push_str(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_spells_symbols_and_escapes_control_characters() {
        let plain = Look {
            ascii: true,
            color: false,
        };
        assert_eq!(plain.text("q kᵀ / √D ≤ 1"), "q k^T / sqrt D <= 1");
        assert_eq!(Look::default().text("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
        assert_eq!(Look::default().text("√D"), "√D");
    }

    #[test]
    fn colours_wrap_the_text_and_nothing_else() {
        let look = Look {
            ascii: false,
            color: true,
        };
        let painted = look.paint(Meaning::Good, "ok");
        assert!(painted.starts_with("\u{1b}[") && painted.contains("ok"));
        assert_eq!(Look::default().paint(Meaning::Bad, "no"), "no");
    }

    #[test]
    fn widths_count_columns() {
        assert_eq!(left("日本", 5), "日本 ");
        assert_eq!(right("a", 3), "  a");
        assert_eq!(centre("a", 4), "  a ");
        assert_eq!(clip(Look::default(), "attention", 5), "atte…");
        assert_eq!(clip(Look::default(), "日本語", 4), "日…");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("", 7), [""]);
    }

    #[test]
    fn shades_are_quarters_and_tenths() {
        let unicode = Look::default();
        let got: String = [0.0, 0.24, 0.25, 0.6, 0.75, 1.0, 7.0, -1.0]
            .iter()
            .map(|&share| unicode.shade(share))
            .collect();
        assert_eq!(got, "░░▒▓███░");
        assert_eq!(unicode.shade(f64::NAN), '?');
        assert_eq!(
            Look {
                ascii: true,
                color: false
            }
            .shade(0.55),
            '+'
        );
    }
}
