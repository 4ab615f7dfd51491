//! The sheet that every picture is drawn on: shapes and texts in pixels, escaped and finite.

use unicode_width::UnicodeWidthChar;

use super::palette::{INK, MUTED};

/// Between the edge of a picture and what is drawn.
pub(super) const PAD: f64 = 16.0;
/// Font size of labels and numbers.
pub(super) const SMALL: f64 = 12.0;
const TITLE: f64 = 15.0;
/// Pixels that a label needs in the direction in which labels follow one another.
pub(super) const LABEL_ROOM: f64 = 15.0;
/// Line height of the title, as a multiple of its size.
const LEADING: f64 = 1.3;

/// A picture being drawn; the title stands on it already.
pub(super) struct Sheet {
    title: String,
    width: f64,
    body: String,
    /// Where the next thing below the title may start.
    pub(super) top: f64,
}

impl Sheet {
    /// A sheet of `width` pixels with its title, in as many lines as it needs.
    pub(super) fn new(title: &str, width: f64) -> Self {
        let mut sheet = Self {
            title: escaped(title),
            width,
            body: String::new(),
            top: PAD,
        };
        for line in wrapped(title, width - 2.0 * PAD) {
            let baseline = sheet.top + TITLE;
            let style = Style {
                size: TITLE,
                bold: true,
                ..Style::LABEL
            };
            sheet.text([PAD, baseline], style, &line);
            sheet.top += TITLE * LEADING;
        }
        sheet.top += 10.0;
        sheet
    }

    /// Width in pixels.
    pub(super) fn width(&self) -> f64 {
        self.width
    }

    /// A filled rectangle; `more` holds further attributes.
    pub(super) fn rect(&mut self, [x, y]: [f64; 2], [w, h]: [f64; 2], fill: &str, more: &str) {
        let [x, y, w, h] = [x, y, w, h].map(px);
        self.element(&format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"{fill}\"{}",
            spaced(more)
        ));
    }

    /// A straight line.
    pub(super) fn line(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], stroke: &str) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(px);
        self.element(&format!(
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"{stroke}\""
        ));
    }

    /// A circle; `more` holds stroke and the like.
    pub(super) fn circle(&mut self, [x, y]: [f64; 2], radius: f64, fill: &str, more: &str) {
        let [x, y, r] = [x, y, radius].map(px);
        self.element(&format!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"{fill}\"{}",
            spaced(more)
        ));
    }

    /// A path; `more` holds fill and stroke.
    pub(super) fn path(&mut self, d: &str, more: &str) {
        self.element(&format!("<path d=\"{d}\"{}", spaced(more)));
    }

    /// A line of text whose baseline starts, is centred or ends at `at`.
    pub(super) fn text(&mut self, at: [f64; 2], style: Style, text: &str) {
        let [x, y] = at.map(px);
        let mut more = String::new();
        if style.anchor != "start" {
            more += &format!(" text-anchor=\"{}\"", style.anchor);
        }
        if style.size != SMALL {
            more += &format!(" font-size=\"{}\"", px(style.size));
        }
        if style.bold {
            more += " font-weight=\"bold\"";
        }
        if style.mono {
            more += " font-family=\"monospace\"";
        }
        if style.turn != 0.0 {
            more += &format!(" transform=\"rotate({} {x} {y})\"", px(style.turn));
        }
        self.body += &format!(
            "<text x=\"{x}\" y=\"{y}\" fill=\"{}\"{more}>{}</text>\n",
            style.fill,
            escaped(text)
        );
    }

    /// Anything else, as it is.
    pub(super) fn raw(&mut self, element: &str) {
        self.body += element;
        self.body.push('\n');
    }

    fn element(&mut self, start: &str) {
        self.raw(&format!("{start}/>"));
    }

    /// The whole picture, `height` pixels tall.
    pub(super) fn finish(self, height: f64) -> String {
        let (width, height) = (px(self.width.ceil()), px(height.ceil()));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" \
             font-family=\"Helvetica, Arial, sans-serif\" font-size=\"{SMALL}\">\n\
             <title>{}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{}</svg>\n",
            self.title, self.body
        )
    }
}

/// How a text is set.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) size: f64,
    pub(super) anchor: &'static str,
    pub(super) bold: bool,
    pub(super) mono: bool,
    pub(super) fill: &'static str,
    /// Degrees, clockwise.
    pub(super) turn: f64,
}

impl Style {
    /// Labels: small, starting at their place.
    pub(super) const LABEL: Self = Self {
        size: SMALL,
        anchor: "start",
        bold: false,
        mono: false,
        fill: INK,
        turn: 0.0,
    };
    /// Axis numbers and notes.
    pub(super) const QUIET: Self = Self {
        fill: MUTED,
        ..Self::LABEL
    };

    /// The same, centred at its place.
    pub(super) const fn middle(self) -> Self {
        Self {
            anchor: "middle",
            ..self
        }
    }

    /// The same, ending at its place.
    pub(super) const fn end(self) -> Self {
        Self {
            anchor: "end",
            ..self
        }
    }

    /// The same, turned clockwise.
    pub(super) const fn turned(self, degrees: f64) -> Self {
        Self {
            turn: degrees,
            ..self
        }
    }
}

/// How far below the middle of a line of labels its baseline is.
pub(super) const HALF_LINE: f64 = SMALL * 0.35;

fn spaced(attributes: &str) -> String {
    if attributes.is_empty() {
        String::new()
    } else {
        format!(" {attributes}")
    }
}

/// Pixels with at most one decimal. What is not finite becomes 0, so that no viewer stumbles.
pub(super) fn px(value: f64) -> String {
    let tenths = (value * 10.0).round();
    if !tenths.is_finite() || tenths == 0.0 {
        return "0".into();
    }
    let text = format!("{:.1}", tenths / 10.0);
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Text that XML takes: its own signs as entities, control characters made visible.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.extend(c.escape_debug()),
            c => out.push(c),
        }
    }
    out
}

/// `text` cut to `most` characters with a closing `…`.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Pixels that `text` takes at [`SMALL`], estimated for wide fonts: readers have different ones.
pub(super) fn text_width(text: &str) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | ' ' | '!' => 0.34,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '-' | '/' => 0.44,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.98,
        'A'..='Z' => 0.72,
        // A control character is written as its escape.
        c if c.is_control() => 0.62 * c.escape_debug().count() as f64,
        c => 0.64 * c.width().unwrap_or(1) as f64,
    };
    text.chars().map(em).sum::<f64>() * SMALL
}

/// The widest of these texts.
pub(super) fn widest<'t>(texts: impl IntoIterator<Item = &'t String>) -> f64 {
    texts
        .into_iter()
        .map(|text| text_width(text))
        .fold(0.0, f64::max)
}

/// How labels below or above neighbouring things are set.
pub(super) struct Labels {
    /// Side by side instead of turned.
    pub(super) level: bool,
    /// Every how many there is one.
    pub(super) every: usize,
    /// Pixels of the longest.
    pub(super) widest: f64,
}

impl Labels {
    /// For things that are `room` pixels apart: all of them level if they fit; turned while a turned
    /// line has room; else short ones level and long ones turned, with some left out.
    pub(super) fn fit(labels: &[String], room: f64) -> Self {
        let widest = widest(labels);
        let short = widest <= 3.0 * LABEL_ROOM && room < LABEL_ROOM;
        let level = short || widest <= room - 4.0;
        let needed = if short { widest + 8.0 } else { LABEL_ROOM };
        let every = if level && !short {
            1
        } else {
            every(needed, room)
        };
        Self {
            level,
            every,
            widest,
        }
    }
}

/// Every how many things of `size` pixels there is room for a label that needs `room`: a number
/// that people count in.
pub(super) fn every(room: f64, size: f64) -> usize {
    let least = (room / size).ceil().max(1.0) as usize;
    let steps = [1, 2, 4, 5, 8, 10, 16, 20, 25, 32, 50, 64, 100];
    steps
        .into_iter()
        .find(|&step| step >= least)
        .unwrap_or(least)
}

/// The words of a title in lines of at most `room` pixels.
fn wrapped(text: &str, room: f64) -> Vec<String> {
    // Bold letters are a tenth wider.
    let scale = 1.1 * TITLE / SMALL;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let longer = format!("{} {word}", lines[last]);
        if lines[last].is_empty() {
            lines[last].push_str(word);
        } else if text_width(&longer) * scale <= room {
            lines[last] = longer;
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_control_characters_do_no_harm() {
        assert_eq!(escaped("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
        assert_eq!(escaped("\u{0}\n\u{1b}"), "\\0\\n\\u{1b}");
        assert_eq!(escaped("\u{ffff}√"), "\u{fffd}√");
    }

    #[test]
    fn pixels_are_short_and_finite() {
        let cases = [
            (1.0, "1"),
            (1.25, "1.3"),
            (-0.04, "0"),
            (-3.16, "-3.2"),
            (f64::NAN, "0"),
            (f64::INFINITY, "0"),
            (f64::MAX, "0"),
        ];
        for (value, expected) in cases {
            assert_eq!(px(value), expected, "{value}");
        }
    }

    #[test]
    fn labels_are_level_while_they_fit_and_thinned_when_nothing_does() {
        let names = |text: &str| vec![text.to_owned(); 3];
        let fit = |text: &str, room: f64| {
            let labels = Labels::fit(&names(text), room);
            (labels.level, labels.every)
        };
        assert_eq!(fit("cat", 50.0), (true, 1));
        assert_eq!(fit("attention", 50.0), (false, 1));
        assert_eq!(fit("attention", 8.0), (false, 2));
        assert_eq!(fit("12", 8.0), (true, 4));
        assert_eq!((every(15.0, 0.1), every(15.0, 5.0)), (150, 4));
    }

    #[test]
    fn texts_are_cut_and_titles_wrapped() {
        assert_eq!(shortened("attention", 5), "atte…");
        assert_eq!(shortened("attention", 9), "attention");
        assert_eq!(wrapped("one two three", 60.0), ["one", "two", "three"]);
        assert_eq!(wrapped("one two three", 600.0), ["one two three"]);
        assert!(text_width("www") > text_width("iii"));
    }
}
