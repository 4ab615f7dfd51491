//! A matrix as a heatmap or as numbers. Rows read (queries), columns are read (keys).

use super::{COLUMNS, Exhibit, Shape};
use crate::look::{Look, Meaning, centre, clip, left, right, width};
use crate::number::number;

/// How a [`Grid`] is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GridStyle {
    /// One glyph a cell on a scale from `low` to `high`, and the row maximum as a number.
    Heatmap {
        /// The value of the lightest glyph.
        low: f64,
        /// The value of the darkest glyph.
        high: f64,
    },
    /// Every value with four decimals.
    Numbers,
}

/// Rows beyond this are counted, not shown.
const MOST_ROWS: usize = 32;
/// Labels longer than this are clipped.
const LONGEST_LABEL: usize = 12;

/// A matrix with named rows and columns; hidden cells are drawn as `·`.
#[derive(Clone, Debug)]
pub struct Grid<'a> {
    /// What the matrix is; the line above it.
    pub title: Option<Shape>,
    /// One label a row.
    pub rows: &'a [String],
    /// One label a column; none for no header.
    pub columns: &'a [String],
    /// Row-major, `rows.len()` times the number of columns.
    pub values: &'a [f64],
    /// Whether the cell at (row, column) is masked.
    pub hidden: fn(usize, usize) -> bool,
    /// Heatmap or numbers.
    pub style: GridStyle,
}

impl<'a> Grid<'a> {
    /// A grid with nothing hidden and no title.
    pub fn new(
        rows: &'a [String],
        columns: &'a [String],
        values: &'a [f64],
        style: GridStyle,
    ) -> Self {
        Self {
            title: None,
            rows,
            columns,
            values,
            hidden: |_, _| false,
            style,
        }
    }

    /// Puts a shape line above the cells.
    #[must_use]
    pub fn title(mut self, title: Shape) -> Self {
        self.title = Some(title);
        self
    }

    /// Draws the cells above the diagonal as hidden.
    #[must_use]
    pub fn causal(mut self) -> Self {
        self.hidden = |row, column| column > row;
        self
    }

    /// The number of columns.
    fn across(&self) -> usize {
        self.values.len() / self.rows.len().max(1)
    }

    fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.across()..(row + 1) * self.across()]
    }

    /// The column of the largest visible value, and that value.
    fn largest(&self, row: usize) -> Option<(usize, f64)> {
        let visible = self.row(row).iter().copied().enumerate();
        visible
            .filter(|&(column, _)| !(self.hidden)(row, column))
            .fold(None, |best, (column, value)| match best {
                Some((_, most)) if value <= most => best,
                _ => Some((column, value)),
            })
    }

    fn cell(&self, row: usize, column: usize, look: Look) -> String {
        if (self.hidden)(row, column) {
            return look.glyph("·", "_").to_owned();
        }
        let value = self.row(row)[column];
        match self.style {
            GridStyle::Numbers => number(value),
            GridStyle::Heatmap { low, high } => look
                .shade((value - low) / (high - low).max(f64::MIN_POSITIVE))
                .to_string(),
        }
    }

    fn head(&self, look: Look) -> Option<String> {
        let legend = match self.style {
            GridStyle::Numbers => String::new(),
            GridStyle::Heatmap { low, high } => format!("{low} {} {high}", look.ramp()),
        };
        let title = self.title.as_ref().map(|title| title.lines(look).concat());
        match (title, legend.is_empty()) {
            (Some(title), true) => Some(title),
            (Some(title), false) => Some(format!("{title}   {legend}")),
            (None, false) => Some(format!("scale  {legend}")),
            (None, true) => None,
        }
    }

    /// The widths of labels, cells and the closing column, and how many columns fit.
    fn layout(&self, look: Look) -> Layout {
        let label = |text: &String| clip(look, &look.text(text), LONGEST_LABEL);
        let rows: Vec<String> = self.rows.iter().take(MOST_ROWS).map(label).collect();
        let names: Vec<String> = self.columns.iter().map(label).collect();
        let label = rows.iter().map(|name| width(name)).max().unwrap_or(0);
        let name = names.iter().map(|name| width(name)).max().unwrap_or(0);
        let value = match self.style {
            GridStyle::Heatmap { .. } => 1,
            GridStyle::Numbers => (0..rows.len())
                .flat_map(|row| (0..self.across()).map(move |column| (row, column)))
                .map(|(row, column)| width(&self.cell(row, column, look)))
                .max()
                .unwrap_or(1),
        };
        let closing = if matches!(self.style, GridStyle::Numbers) {
            0
        } else {
            11
        };
        let room = COLUMNS - 2 - label - closing;
        let roomy = name.max(value).max(3) + 2;
        // Names are dropped before columns are: a cell is worth more than its heading.
        let fits = roomy * self.across() <= room;
        let cell = if fits {
            roomy
        } else {
            (value + 2).max(name.min(4) + 1)
        };
        Layout {
            label,
            cell,
            shown: (room / cell).min(self.across()),
            rows,
            names,
            look,
        }
    }

    fn header(&self, layout: &Layout) -> Option<String> {
        let heat = matches!(self.style, GridStyle::Heatmap { .. });
        if layout.names.is_empty() && !heat {
            return None;
        }
        let mut line = " ".repeat(2 + layout.label);
        for column in 0..layout.shown {
            let name = layout.names.get(column).map_or("", String::as_str);
            line += &layout.place(&clip(layout.look, name, layout.cell - 1), heat);
        }
        line += if heat { "    max" } else { "" };
        Some(layout.look.paint(Meaning::Muted, line.trim_end()))
    }

    fn body(&self, row: usize, layout: &Layout) -> String {
        let (look, heat) = (layout.look, matches!(self.style, GridStyle::Heatmap { .. }));
        let largest = self.largest(row);
        let mut line = format!("  {}", left(&layout.rows[row], layout.label));
        for column in 0..layout.shown {
            let text = layout.place(&self.cell(row, column, look), heat);
            line += &match largest {
                _ if (self.hidden)(row, column) => look.paint(Meaning::Muted, &text),
                Some((at, _)) if heat && at == column => look.paint(Meaning::Accent, &text),
                _ => text,
            };
        }
        if heat {
            line += "    ";
            line += &largest.map_or_else(String::new, |(_, value)| number(value));
        }
        line.trim_end().to_owned()
    }
}

struct Layout {
    label: usize,
    cell: usize,
    shown: usize,
    rows: Vec<String>,
    names: Vec<String>,
    look: Look,
}

impl Layout {
    fn place(&self, text: &str, heat: bool) -> String {
        if heat {
            centre(text, self.cell)
        } else {
            right(text, self.cell)
        }
    }
}

impl Exhibit for Grid<'_> {
    fn lines(&self, look: Look) -> Vec<String> {
        let layout = self.layout(look);
        let mut lines = Vec::new();
        lines.extend(self.head(look));
        lines.extend(self.header(&layout));
        lines.extend((0..layout.rows.len()).map(|row| self.body(row, &layout)));
        let (more_rows, more_columns) = (
            self.rows.len() - layout.rows.len(),
            self.across() - layout.shown,
        );
        let elided = [(more_rows, "rows"), (more_columns, "columns")];
        for (more, what) in elided.into_iter().filter(|&(more, _)| more > 0) {
            lines.push(look.paint(
                Meaning::Muted,
                &look.text(&format!("  … {more} more {what}")),
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    const UNIT: GridStyle = GridStyle::Heatmap {
        low: 0.0,
        high: 1.0,
    };

    #[test]
    fn a_heatmap_shows_its_scale_its_mask_and_the_row_maximum() {
        let names = names("the cat");
        let values = [1.0, 0.0, 0.3869, 0.6131];
        let grid = Grid::new(&names, &names, &values, UNIT).causal();
        assert_eq!(
            grid.lines(Look::default()),
            [
                "scale  0 ░▒▓█ 1",
                "      the  cat     max",
                "  the  █    ·      1.0000",
                "  cat  ▒    ▓      0.6131"
            ]
        );
        let plain = grid.lines(Look {
            ascii: true,
            color: false,
        });
        assert_eq!(plain[0], "scale  0  .:-=+*#%@ 1");
        assert_eq!(plain[2], "  the  @    _      1.0000");
    }

    #[test]
    fn numbers_are_right_aligned() {
        let rows = names("a b");
        let grid = Grid::new(&rows, &[], &[1.0, -2.5, 0.25, 1e-9], GridStyle::Numbers);
        assert_eq!(
            grid.lines(Look::default()),
            ["  a     1.0000    -2.5000", "  b     0.2500  1.000e-09"]
        );
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let labels: Vec<String> = (0..64).map(|n| format!("token{n}")).collect();
        let values = vec![0.5; 64 * 64];
        let lines = Grid::new(&labels, &labels, &values, UNIT).lines(Look::default());
        assert!(
            lines.iter().all(|line| width(line) <= COLUMNS),
            "{lines:#?}"
        );
        assert!(lines.iter().any(|line| line == "  … 32 more rows"));
        assert!(lines.iter().any(|line| line.contains("more columns")));
    }

    #[test]
    fn nan_is_visible_and_an_empty_grid_is_empty() {
        let names = names("a");
        let lines = Grid::new(&names, &names, &[f64::NAN], UNIT).lines(Look::default());
        assert!(
            lines[2].contains('?') && lines[2].contains("nan"),
            "{lines:?}"
        );
        assert!(
            Grid::new(&[], &[], &[], GridStyle::Numbers)
                .lines(Look::default())
                .is_empty()
        );
    }
}
