//! A curve over steps, such as a loss, with a second one and a reference line where they help.

use super::{COLUMNS, Exhibit};
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
    name: &'a str,
    second: Option<(&'a [f64], &'a str)>,
}

/// What stands in a cell of the drawing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Reference,
    First,
    Second,
    Both,
}

impl Mark {
    fn draw(self, look: Look) -> String {
        let (meaning, unicode, ascii) = match self {
            Self::Reference => (Meaning::Muted, "┄", "-"),
            Self::First => (Meaning::Accent, "•", "*"),
            Self::Second => (Meaning::Warn, "○", "o"),
            Self::Both => (Meaning::Accent, "◉", "@"),
        };
        look.paint(meaning, look.glyph(unicode, ascii))
    }
}

impl<'a> Curve<'a> {
    /// A curve of `values`; `axis` names the steps (`epoch`).
    pub fn new(values: &'a [f64], axis: &'a str) -> Self {
        Self {
            values,
            axis,
            log: false,
            reference: None,
            name: "",
            second: None,
        }
    }

    /// Draws logarithms, as long as every value is positive.
    #[must_use]
    pub fn log(mut self) -> Self {
        self.log = true;
        self
    }

    /// Draws a line at `value`: a floor, a baseline.
    #[must_use]
    pub fn reference(mut self, value: f64, name: &'a str) -> Self {
        self.reference = Some((value, name));
        self
    }

    /// Names the curve below the drawing.
    #[must_use]
    pub fn named(mut self, name: &'a str) -> Self {
        self.name = name;
        self
    }

    /// A second curve over the whole axis, such as a validation loss; it may have fewer values.
    #[must_use]
    pub fn versus(mut self, values: &'a [f64], name: &'a str) -> Self {
        self.second = Some((values, name));
        self
    }

    /// Every value that is drawn.
    fn drawn(&self) -> impl Iterator<Item = f64> + '_ {
        let second = self.second.map_or(&[][..], |(values, _)| values);
        let reference = self.reference.map(|(value, _)| value);
        let all = self.values.iter().chain(second).copied().chain(reference);
        all.filter(|value| value.is_finite())
    }

    /// The lowest and highest drawn value.
    fn range(&self) -> Option<(f64, f64)> {
        let range = self.drawn().fold(None, |range, value| match range {
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
        let log = self.log && low > 0.0;
        let height = |value: f64| if log { value.ln() } else { value };
        let share = (height(high) - height(value)) / (height(high) - height(low));
        ((share * (DOWN - 1) as f64).round() as usize).min(DOWN - 1)
    }

    /// What stands where: the reference line, and the curves over it.
    fn cells(&self, across: usize, range: (f64, f64)) -> Vec<Vec<Option<Mark>>> {
        let mut cells = vec![vec![None; across]; DOWN];
        if let Some((value, _)) = self.reference.filter(|(value, _)| value.is_finite()) {
            cells[self.row(value, range)].fill(Some(Mark::Reference));
        }
        let second = self.second.map_or(&[][..], |(values, _)| values);
        for (values, mark) in [(self.values, Mark::First), (second, Mark::Second)] {
            // Several steps share a column when there are more steps than columns.
            let finite = values.iter().enumerate().filter(|(_, v)| v.is_finite());
            for (index, &value) in finite {
                let cell = &mut cells[self.row(value, range)][index * across / values.len()];
                let crossed =
                    mark == Mark::Second && matches!(cell, Some(Mark::First | Mark::Both));
                *cell = Some(if crossed { Mark::Both } else { mark });
            }
        }
        cells
    }

    /// Names of what is drawn, except a reference that is named beside its row.
    fn legend(&self, cells: &[Vec<Option<Mark>>], beside: bool, look: Look) -> Option<String> {
        let both = cells.iter().flatten().any(|cell| *cell == Some(Mark::Both));
        let second = self.second.map_or("", |(_, name)| name);
        let reference = self
            .reference
            .filter(|(value, _)| !beside && value.is_finite())
            .map_or("", |(_, name)| name);
        let entries = [
            (Mark::First, self.name),
            (Mark::Second, second),
            (Mark::Both, if both { "both" } else { "" }),
            (Mark::Reference, reference),
        ];
        let named = entries.into_iter().filter(|(_, name)| !name.is_empty());
        let texts: Vec<String> = named
            .map(|(mark, name)| format!("{} {}", mark.draw(look), look.text(name)))
            .collect();
        (!texts.is_empty()).then(|| texts.join("   "))
    }
}

impl Exhibit for Curve<'_> {
    fn lines(&self, look: Look) -> Vec<String> {
        let Some(range) = self.range() else {
            return vec!["no finite value to draw".into()];
        };
        let longest = self.second.map_or(0, |(values, _)| values.len());
        let across = ACROSS.min(self.values.len().max(longest).max(2));
        let cells = self.cells(across, range);
        let labels = [number(range.1), number(range.0)];
        let margin = labels.iter().map(|label| width(label)).max().unwrap_or(0);
        // A name that does not fit beside its row stands in the legend.
        let reference = self.reference.filter(|(value, _)| value.is_finite());
        let room = COLUMNS.saturating_sub(margin + 4 + across);
        let beside = reference.filter(|(_, name)| width(&look.text(name)) <= room);
        let mut lines = Vec::new();
        for (row, cells) in cells.iter().enumerate() {
            let label = match row {
                0 => labels[0].as_str(),
                row if row == DOWN - 1 => labels[1].as_str(),
                _ => "",
            };
            let mut line = format!("{} {}", right(label, margin), look.glyph("│", "|"));
            for cell in cells {
                line += &cell.map_or(" ".into(), |mark| mark.draw(look));
            }
            if let Some((value, name)) = beside
                && self.row(value, range) == row
            {
                line += "  ";
                line += &look.paint(Meaning::Muted, &look.text(name));
            }
            lines.push(line.trim_end().to_owned());
        }
        let indent = " ".repeat(margin);
        let rule = look.glyph("─", "-").repeat(across);
        lines.push(format!("{indent} {}{rule}", look.glyph("└", "+")));
        let last = count(self.values.len().max(longest) as u64);
        let axis = format!("1{}  {}", right(&last, across - 1), look.text(self.axis));
        lines.push(format!("{indent}  {axis}"));
        let legend = self.legend(&cells, beside.is_some(), look);
        lines.extend(legend.map(|legend| format!("{indent}  {legend}")));
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

    #[test]
    fn two_curves_have_two_marks_and_a_legend() {
        let train: Vec<f64> = (0..60).map(|step| 2.0 * 0.9f64.powi(step)).collect();
        let valid = [2.0, f64::NAN, 1.5];
        let curve = Curve::new(&train, "step").named("training");
        let curve = curve
            .versus(&valid, "validation")
            .reference(0.1, "the entropy floor");
        let lines = curve.lines(Look {
            ascii: true,
            color: false,
        });
        assert!(lines[0].starts_with("2.0000 |@"), "{lines:#?}");
        assert!(lines[2].contains('o'), "{lines:#?}");
        let legend = "        * training   o validation   @ both   - the entropy floor";
        assert_eq!(lines.last().map(String::as_str), Some(legend));
        assert!(
            lines.iter().all(|line| width(line) <= COLUMNS),
            "{lines:#?}"
        );
    }

    #[test]
    fn logarithms_need_positive_values() {
        let flat = Curve::new(&[1.0, 0.0], "step").log().lines(Look::default());
        assert!(flat[DOWN - 1].starts_with("0.0000 │"), "{flat:#?}");
        let bad = Curve::new(&[1.0, 2.0], "step").reference(f64::NAN, "floor");
        assert!(!bad.lines(Look::default()).concat().contains('┄'));
    }
}
