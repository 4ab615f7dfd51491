//! The page on stdout: a header, numbered steps, exhibits indented under them.

use std::io::{self, ErrorKind, Write};

use crate::exhibit::{Exhibit, Shape, Shapes};
use crate::look::{Look, Meaning, WIDTH, left, right, width, wrap};

/// Columns that exhibits stand to the right of the step number.
pub const INDENT: usize = 3;

/// Writes lines in the layout of the lessons to any writer.
///
/// A reader that has gone away (`| head -1`) is not an error: the rest is dropped. Any other failure
/// to write is kept and returned by [`Screen::finish`].
pub struct Screen<'w> {
    out: Box<dyn Write + 'w>,
    look: Look,
    steps: usize,
    failure: Option<io::Error>,
}

impl<'w> Screen<'w> {
    /// A page on `out`.
    pub fn new(out: impl Write + 'w, look: Look) -> Self {
        Self {
            out: Box::new(out),
            look,
            steps: 0,
            failure: None,
        }
    }

    /// How text looks here.
    pub fn look(&self) -> Look {
        self.look
    }

    /// Writes one line as it is.
    pub fn line(&mut self, line: &str) {
        if self.failure.is_none()
            && let Err(error) = writeln!(self.out, "{}", line.trim_end())
        {
            self.failure = Some(error);
        }
    }

    /// Writes `text` without a line end and hands it on at once: a token of a stream.
    pub fn raw(&mut self, text: &str) {
        if self.failure.is_none()
            && let Err(error) = self
                .out
                .write_all(text.as_bytes())
                .and_then(|()| self.out.flush())
        {
            self.failure = Some(error);
        }
    }

    /// The title on the left, the facts on the right, the question below.
    pub fn header(&mut self, title: &str, facts: &str, question: &str) {
        let (title, facts) = (self.look.text(title), self.look.text(facts));
        let space = WIDTH.saturating_sub(width(&title) + width(&facts)).max(2);
        let title = self.look.paint(Meaning::Accent, &title);
        let facts = self.look.paint(Meaning::Muted, &facts);
        self.line(&format!("{title}{}{facts}", " ".repeat(space)));
        for line in wrap(&self.look.text(question), WIDTH) {
            self.line(&line);
        }
    }

    /// Opens the next step: a blank line, its number, one sentence.
    pub fn step(&mut self, sentence: &str) {
        self.steps += 1;
        self.line("");
        let number = left(&self.steps.to_string(), INDENT);
        let lines = wrap(&self.look.text(sentence), WIDTH - INDENT);
        for (index, line) in lines.iter().enumerate() {
            let margin = if index == 0 {
                self.look.paint(Meaning::Accent, &number)
            } else {
                " ".repeat(INDENT)
            };
            self.line(&format!("{margin}{line}"));
        }
    }

    /// A remark under the step, wrapped.
    pub fn say(&mut self, text: &str) {
        for line in wrap(&self.look.text(text), WIDTH - INDENT) {
            self.line(&format!("{}{line}", " ".repeat(INDENT)));
        }
    }

    /// One line under the step as it is, for formulas and text whose spaces matter.
    pub fn exhibit_line(&mut self, text: &str) {
        let line = self.look.text(text).into_owned();
        self.line(&format!("{}{line}", " ".repeat(INDENT)));
    }

    /// An exhibit under the step.
    pub fn show(&mut self, exhibit: &impl Exhibit) {
        for line in exhibit.lines(self.look) {
            self.line(&format!("{}{line}", " ".repeat(INDENT)));
        }
    }

    /// One shape line under the step.
    pub fn shape(&mut self, label: &str, axes: &[(char, usize)], dtype: &str) {
        self.show(&Shape::new(label, axes, dtype));
    }

    /// Several shape lines with aligned columns; changed axes are accented.
    pub fn shapes(&mut self, shapes: Vec<Shape>) {
        self.show(&Shapes::from(shapes));
    }

    /// A line of the closing block: `Takeaway  …`, continued under itself.
    pub fn closing(&mut self, name: &str, text: &str) {
        const NAME: usize = 10;
        let lines = wrap(&self.look.text(text), WIDTH - NAME);
        for (index, line) in lines.iter().enumerate() {
            let name = if index == 0 {
                left(name, NAME)
            } else {
                " ".repeat(NAME)
            };
            let name = self.look.paint(Meaning::Accent, &name);
            self.line(&format!("{name}{line}"));
        }
    }

    /// As [`Screen::closing`] for items that are not broken: flags with their values.
    pub fn closing_items(&mut self, name: &str, items: &[&str]) {
        const NAME: usize = 10;
        let mut lines = vec![String::new()];
        for item in items {
            let item = self.look.text(item);
            let line = lines.len() - 1;
            if !lines[line].is_empty() && NAME + width(&lines[line]) + 3 + width(&item) > WIDTH {
                lines.push(item.into_owned());
            } else {
                let space = if lines[line].is_empty() { "" } else { "   " };
                lines[line] += &format!("{space}{item}");
            }
        }
        for (index, line) in lines.iter().enumerate() {
            let name = left(if index == 0 { name } else { "" }, NAME);
            self.line(&format!(
                "{}{line}",
                self.look.paint(Meaning::Accent, &name)
            ));
        }
    }

    /// A result line of a check.
    pub(crate) fn verdict(&mut self, name: &str, claim: &str, holds: bool) {
        const NAME: usize = 40;
        const CLAIM: usize = 20;
        let (name, claim) = (self.look.text(name), self.look.text(claim));
        let verdict = if holds {
            self.look.paint(Meaning::Good, "ok")
        } else {
            self.look.paint(Meaning::Bad, "FAIL")
        };
        let word = self.look.paint(Meaning::Muted, "check");
        // Together at most 3 + 7 + 40 + 2 + 20 + 2 + 4 columns: a line of 80 has room.
        let (name, claim) = (left(&name, NAME), right(&claim, CLAIM));
        self.line(&format!(
            "{}{word}  {name}  {claim}  {verdict}",
            " ".repeat(INDENT)
        ));
    }

    /// Hands everything to the system.
    ///
    /// # Errors
    /// The first write that failed, unless the reader had gone away.
    pub fn finish(mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        match self.failure.map_or(flushed, Err) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(write: impl FnOnce(&mut Screen)) -> String {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, Look::default());
        write(&mut screen);
        screen.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_layout_is_80_columns_with_steps_in_column_1() {
        let text = page(|screen| {
            screen.header(
                "03 · attention math",
                "basics · 3 s · seed 7",
                "Who reads whom?",
            );
            screen.step("One");
            screen.shape("x", &[('T', 5)], "f32");
            screen.verdict("rows sum to 1", "≤ 1e-6", true);
            screen.closing("Takeaway", "a row is a budget");
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(width(lines[0]), WIDTH);
        assert_eq!(lines[1], "Who reads whom?");
        assert_eq!(&lines[2..5], ["", "1  One", "   x   [T=5]   f32"]);
        assert!(
            lines[5].starts_with("   check  rows sum to 1 ") && lines[5].ends_with("≤ 1e-6  ok")
        );
        assert_eq!(lines[6], "Takeaway  a row is a budget");
    }

    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_quiet_and_a_full_disk_is_not() {
        let mut screen = Screen::new(Broken(ErrorKind::BrokenPipe), Look::default());
        screen.step("one");
        screen.raw("two");
        assert!(screen.finish().is_ok());
        let mut screen = Screen::new(Broken(ErrorKind::StorageFull), Look::default());
        screen.line("one");
        assert_eq!(screen.finish().unwrap_err().kind(), ErrorKind::StorageFull);
    }
}
