//! Tables: a header, one rule, no sides; numbers stand right-aligned.

use super::Exhibit;
use crate::look::{Look, Meaning, left, right, width};
use crate::number::{count, number};

/// One cell: text stands left, numbers right.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number that is already formatted, with its unit if it has one.
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

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Number(number(value))
    }
}

impl From<usize> for Cell {
    fn from(value: usize) -> Self {
        Self::Number(count(value as u64))
    }
}

impl Cell {
    /// A number in a form of its own: `2.3e-07`, `112.0 KiB`, `+3 %`.
    pub fn number(text: impl Into<String>) -> Self {
        Self::Number(text.into())
    }

    fn text(&self, look: Look) -> String {
        let (Self::Text(text) | Self::Number(text)) = self;
        look.text(text).into_owned()
    }
}

/// Rows of cells under named columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<Cell>>,
    accent: Option<usize>,
    total: bool,
    limit: Option<usize>,
}

impl Table {
    /// A table with these column names.
    pub fn new(header: &[&str]) -> Self {
        let header = header.iter().map(|&name| name.to_owned()).collect();
        Self {
            header,
            ..Self::default()
        }
    }

    /// Adds a row; missing cells are empty, surplus cells are dropped.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    /// As [`Table::row`] for a number of columns known at run time.
    pub fn push(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Accents the row added last.
    pub fn accent(&mut self) {
        self.accent = self.rows.len().checked_sub(1);
    }

    /// Draws a second rule above the last row.
    pub fn total(&mut self) {
        self.total = true;
    }

    /// Shows at most `rows` rows and counts the rest.
    #[must_use]
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }

    fn columns(&self, look: Look) -> Vec<(usize, bool)> {
        (0..self.header.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                let name = look.text(&self.header[column]);
                let widest = cells
                    .clone()
                    .map(|cell| width(&cell.text(look)))
                    .max()
                    .unwrap_or(0);
                let mut cells = cells.peekable();
                // A column of numbers with a word in it ("–" for none) still stands right.
                let numeric =
                    cells.peek().is_some() && cells.any(|cell| matches!(cell, Cell::Number(_)));
                (widest.max(width(&name)), numeric)
            })
            .collect()
    }
}

impl Exhibit for Table {
    fn lines(&self, look: Look) -> Vec<String> {
        let columns = self.columns(look);
        let join = |cells: Vec<String>| -> String {
            let placed = columns
                .iter()
                .zip(cells)
                .map(|(&(columns, numeric), cell)| {
                    if numeric {
                        right(&cell, columns)
                    } else {
                        left(&cell, columns)
                    }
                });
            placed.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let whole = columns
            .iter()
            .map(|&(columns, _)| columns + 2)
            .sum::<usize>()
            .max(2)
            - 2;
        let rule = look.paint(Meaning::Muted, &look.glyph("─", "-").repeat(whole));
        let header = self
            .header
            .iter()
            .map(|name| look.text(name).into_owned())
            .collect();
        let mut lines = vec![look.paint(Meaning::Muted, &join(header)), rule.clone()];
        let shown = self.limit.unwrap_or(usize::MAX).min(self.rows.len());
        for (index, row) in self.rows.iter().take(shown).enumerate() {
            if self.total && index + 1 == self.rows.len() {
                lines.push(rule.clone());
            }
            let mut cells: Vec<String> = row.iter().map(|cell| cell.text(look)).collect();
            cells.resize(self.header.len(), String::new());
            let line = join(cells);
            lines.push(if self.accent == Some(index) {
                look.paint(Meaning::Accent, &line)
            } else {
                line
            });
        }
        if self.rows.len() > shown {
            let more = format!("… {} more rows", self.rows.len() - shown);
            lines.push(look.paint(Meaning::Muted, &look.text(&more)));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_words_left() {
        let mut table = Table::new(&["name", "count", "share"]);
        table.row(["Wq".into(), 272_usize.into(), 0.1109.into()]);
        table.row(["token embedding".into(), 80_usize.into(), "–".into()]);
        table.row(["sum".into(), 1_352_usize.into(), 1.0.into()]);
        table.total();
        assert_eq!(
            table.lines(Look::default()),
            [
                "name             count   share",
                "──────────────────────────────",
                "Wq                 272  0.1109",
                "token embedding     80       –",
                "──────────────────────────────",
                "sum              1,352  1.0000",
            ]
        );
    }

    #[test]
    fn surplus_rows_are_counted() {
        let mut table = Table::new(&["n"]).limit(2);
        for n in 0..46_usize {
            table.row([n.into()]);
        }
        assert_eq!(
            table.lines(Look::default()).last().map(String::as_str),
            Some("… 44 more rows")
        );
        assert_eq!(
            Table::new(&["a", "b"]).lines(Look {
                ascii: true,
                color: false
            })[1],
            "----"
        );
    }
}
