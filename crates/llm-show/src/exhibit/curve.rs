//! A curve over steps, such as a loss, with an optional reference line.

use super::Exhibit;
use crate::look::{Look, Meaning, right, width};
use crate::number::{count, number};

/// Columns of the drawing.
const ACROSS: usize = 56;
/// Rows of the drawing.
const DOWN: usize = 10;

/// Values at the steps 1, 2, …; NaN and infinity are left out.
#[derive(Clone, Debug)]
pub struct Curve<'a> {
    values: &'a [f64],
    axis: &'a str,
    log: bool,
    reference: Option<(f64, &'a str)>,
}

impl<'a> Curve<'a> {
    /// A curve of `values`; `axis` names the steps (`epoch`).
    pub fn new(values: &'a [f64], axis: &'a str) -> Self {
        Self {
            values,
            axis,
            log: false,
            reference: None,
        }
    }

    /// Draws logarithms, as long as every value is positive.
    #[must_use]
    pub fn log(mut self) -> Self {
        self.log = self.values.iter().all(|&value| value > 0.0);
        self
    }

    /// Draws a line at `value`: a floor, a baseline.
    #[must_use]
    pub fn reference(mut self, value: f64, name: &'a str) -> Self {
        self.reference = Some((value, name));
        self
    }

    fn height(&self, value: f64) -> f64 {
        if self.log { value.ln() } else { value }
    }

    /// The lowest and highest drawn value.
    fn range(&self) -> Option<(f64, f64)> {
        let all = self
            .values
            .iter()
            .copied()
            .chain(self.reference.map(|(value, _)| value));
        let range = all
            .filter(|value| value.is_finite())
            .fold(None, |range, value| match range {
                None => Some((value, value)),
                Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
            });
        // A flat curve still needs a scale.
        range.map(|(low, high)| {
            if low < high {
                (low, high)
            } else {
                (low - 0.5, high + 0.5)
            }
        })
    }

    /// The row of `value`, 0 at the top.
    fn row(&self, value: f64, (low, high): (f64, f64)) -> usize {
        let (low, high) = (self.height(low), self.height(high));
        let share = (high - self.height(value)) / (high - low);
        ((share * (DOWN - 1) as f64).round() as usize).min(DOWN - 1)
    }

    /// What stands where: the reference line, and the curve over it.
    fn cells(&self, across: usize, range: (f64, f64)) -> Vec<Vec<Option<Meaning>>> {
        let mut cells = vec![vec![None; across]; DOWN];
        if let Some((value, _)) = self.reference {
            cells[self.row(value, range)].fill(Some(Meaning::Muted));
        }
        // Several steps share a column when there are more steps than columns.
        for (index, &value) in self
            .values
            .iter()
            .enumerate()
            .filter(|(_, v)| v.is_finite())
        {
            let column = index * across / self.values.len();
            cells[self.row(value, range)][column] = Some(Meaning::Accent);
        }
        cells
    }
}

impl Exhibit for Curve<'_> {
    fn lines(&self, look: Look) -> Vec<String> {
        let Some(range) = self.range() else {
            return vec!["no finite value to draw".into()];
        };
        let across = ACROSS.min(self.values.len().max(2));
        let cells = self.cells(across, range);
        let labels = [number(range.1), number(range.0)];
        let margin = labels.iter().map(|label| width(label)).max().unwrap_or(0);
        let mut lines = Vec::new();
        for (row, cells) in cells.iter().enumerate() {
            let label = match row {
                0 => labels[0].as_str(),
                row if row == DOWN - 1 => labels[1].as_str(),
                _ => "",
            };
            let mut line = format!("{} {}", right(label, margin), look.glyph("│", "|"));
            for cell in cells {
                line += &match cell {
                    Some(Meaning::Accent) => look.paint(Meaning::Accent, look.glyph("•", "*")),
                    Some(_) => look.paint(Meaning::Muted, look.glyph("┄", "-")),
                    None => " ".into(),
                };
            }
            if let Some((value, name)) = self.reference
                && self.row(value, range) == row
            {
                line += "  ";
                line += &look.paint(Meaning::Muted, &look.text(name));
            }
            lines.push(line.trim_end().to_owned());
        }
        let corner = look.glyph("└", "+");
        lines.push(format!(
            "{} {corner}{}",
            " ".repeat(margin),
            look.glyph("─", "-").repeat(across)
        ));
        let last = count(self.values.len() as u64);
        let axis = format!("1{}  {}", right(&last, across - 1), look.text(self.axis));
        lines.push(format!("{}{axis}", " ".repeat(margin + 2)));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_curve_falls_and_meets_its_reference() {
        let values: Vec<f64> = (0..60).map(|step| 2.0 * 0.9f64.powi(step)).collect();
        let curve = Curve::new(&values, "epoch").log().reference(0.004, "floor");
        let lines = curve.lines(Look {
            ascii: true,
            color: false,
        });
        assert_eq!(lines.len(), DOWN + 2);
        assert!(lines[0].starts_with("2.0000 |*"), "{lines:#?}");
        assert!(lines[DOWN - 1].starts_with("0.0040 |") && lines[DOWN - 1].ends_with("floor"));
        assert!(lines[DOWN - 1].contains('*'));
        assert!(lines[DOWN + 1].ends_with("60  epoch"));
        assert!(
            lines
                .iter()
                .all(|line| width(line) <= super::super::COLUMNS)
        );
    }

    #[test]
    fn flat_short_and_non_finite_curves_are_drawn() {
        assert_eq!(
            Curve::new(&[f64::NAN], "step").lines(Look::default()).len(),
            1
        );
        assert_eq!(Curve::new(&[], "step").lines(Look::default()).len(), 1);
        assert_eq!(
            Curve::new(&[1.0], "step").lines(Look::default()).len(),
            DOWN + 2
        );
        assert_eq!(
            Curve::new(&[0.0, 1.0], "step")
                .log()
                .lines(Look::default())
                .len(),
            DOWN + 2
        );
    }
}
