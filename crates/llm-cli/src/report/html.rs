//! A page of HTML that needs nothing else: one style, no scripts, every text escaped.

/// Forbids everything but the style and pictures of the page itself, should a text ever slip through.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

const STYLE: &str = "
:root{color-scheme:light dark;--ground:#fff;--ink:#24292f;--muted:#5b636d;--rule:#dfe3e8;--soft:#f5f7f9;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ground:#16191f;--ink:#d8dee6;--muted:#9aa4b2;--rule:#333a45;--soft:#1e232b;--bad:#ff8a80}
figure svg{filter:invert(.9) hue-rotate(180deg)}}
body{background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--rule)}
p.muted{color:var(--muted);margin:.2rem 0}p.bad{color:var(--bad);font-weight:600}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(22rem,1fr));gap:1rem}
figure{margin:0}figure svg{width:100%;height:auto}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--rule);overflow-wrap:anywhere}
th{color:var(--muted);font-weight:500}td.n{text-align:right;white-space:nowrap}
pre{background:var(--soft);padding:.8rem;overflow-x:auto;font-size:.85rem}
";

/// A page being written.
pub(super) struct Page {
    title: String,
    body: String,
}

/// A cell of a table.
pub(super) enum Cell {
    Text(String),
    Number(String),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Page {
    /// A page with its heading.
    pub(super) fn new(title: &str) -> Self {
        Self {
            title: escaped(title),
            body: format!("<h1>{}</h1>\n", escaped(title)),
        }
    }

    /// The heading of a section.
    pub(super) fn section(&mut self, title: &str) {
        self.body += &format!("<h2>{}</h2>\n", escaped(title));
    }

    /// A sentence.
    pub(super) fn say(&mut self, text: &str) {
        self.body += &format!("<p>{}</p>\n", escaped(text));
    }

    /// A sentence beside the point.
    pub(super) fn muted(&mut self, text: &str) {
        self.body += &format!("<p class=\"muted\">{}</p>\n", escaped(text));
    }

    /// What is wrong.
    pub(super) fn bad(&mut self, text: &str) {
        self.body += &format!("<p class=\"bad\">{}</p>\n", escaped(text));
    }

    /// Text as it is, in lines.
    pub(super) fn verbatim(&mut self, text: &str) {
        self.body += &format!("<pre>{}</pre>\n", escaped(text));
    }

    /// Pictures beside one another; they escape their own texts.
    pub(super) fn figures(&mut self, pictures: &[llm_show::svg::Picture]) {
        self.body += "<div class=\"figures\">\n";
        for picture in pictures {
            self.body += &format!("<figure>{}</figure>\n", picture.svg());
        }
        self.body += "</div>\n";
    }

    /// A table; without names it has no header.
    pub(super) fn table(&mut self, names: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) {
        self.body += "<div class=\"wide\"><table>\n";
        if !names.is_empty() {
            let cells: String = names
                .iter()
                .map(|n| format!("<th>{}</th>", escaped(n)))
                .collect();
            self.body += &format!("<tr>{cells}</tr>\n");
        }
        for row in rows {
            let cells: String = row.iter().map(cell).collect();
            self.body += &format!("<tr>{cells}</tr>\n");
        }
        self.body += "</table></div>\n";
    }

    /// The whole page.
    pub(super) fn finish(self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
            self.title, self.body
        )
    }
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => format!("<td>{}</td>", escaped(text)),
        Cell::Number(text) => format!("<td class=\"n\">{}</td>", escaped(text)),
    }
}

/// `text` with no character that HTML or a terminal would act on.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            // Marks that turn the direction of a line would show another text than there is.
            c if c.is_control()
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c) =>
            {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_markup() {
        let hostile = "</pre><script>alert(1)</script>\"' onload=x &amp; \u{1b}[31m \u{202e}abc\0";
        let mut page = Page::new(hostile);
        page.section(hostile);
        page.say(hostile);
        page.muted(hostile);
        page.bad(hostile);
        page.verbatim(hostile);
        page.table(
            &[hostile],
            [vec![hostile.into(), Cell::Number(hostile.into())]],
        );
        let html = page.finish();
        for word in ["<script", "\"' ", "x &amp; ", "\u{1b}", "\u{202e}", "\0"] {
            assert!(!html.contains(word), "{word:?}");
        }
        assert_eq!(html.matches("</pre>").count(), 1);
    }

    #[test]
    fn a_page_asks_for_nothing_else() {
        let html = Page::new("run").finish();
        for word in ["http://", "https://", "src=", "url(", "@import"] {
            assert!(!html.contains(word), "{word}");
        }
        assert!(html.contains("default-src 'none'"));
    }
}
