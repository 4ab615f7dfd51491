//! A plane split in two classes, with points: the picture of a classifier.

use super::Exhibit;
use crate::look::{Look, Meaning, right};

/// Columns of the drawing.
const ACROSS: usize = 33;
/// Rows of the drawing.
const DOWN: usize = 11;

/// The square `low..high` in both directions; x runs right, y runs up.
pub struct Region<'a> {
    /// The smallest and largest coordinate.
    pub range: (f64, f64),
    /// The class of a point of the plane.
    pub class: &'a dyn Fn(f64, f64) -> bool,
    /// Points with their true class, drawn as `0` and `1`.
    pub points: &'a [(f64, f64, bool)],
}

impl Exhibit for Region<'_> {
    fn lines(&self, look: Look) -> Vec<String> {
        let (low, high) = self.range;
        let step = |index: usize, of: usize| low + (high - low) * index as f64 / (of - 1) as f64;
        let nearest = |value: f64, of: usize| {
            ((value - low) / (high - low) * (of - 1) as f64)
                .round()
                .clamp(0.0, of as f64 - 1.0) as usize
        };
        let mut lines = Vec::new();
        for down in 0..DOWN {
            let row = DOWN - 1 - down;
            let y = step(row, DOWN);
            let label = if down == 0 || row == 0 {
                format!("{y:.1}")
            } else {
                String::new()
            };
            let mut line = format!("{} {}", right(&label, 4), look.glyph("│", "|"));
            for column in 0..ACROSS {
                let at = |&&(px, py, _): &&(f64, f64, bool)| {
                    nearest(px, ACROSS) == column && nearest(py, DOWN) == row
                };
                let filled = (self.class)(step(column, ACROSS), y);
                line += &match self.points.iter().find(at) {
                    Some(&(_, _, class)) => {
                        let meaning = if class == filled {
                            Meaning::Good
                        } else {
                            Meaning::Bad
                        };
                        look.paint(meaning, if class { "1" } else { "0" })
                    }
                    None if filled => look.glyph("▒", ":").to_owned(),
                    None => " ".into(),
                };
            }
            lines.push(line.trim_end().to_owned());
        }
        let rule = look.glyph("─", "-").repeat(ACROSS);
        lines.push(format!("     {}{rule}", look.glyph("└", "+")));
        let ends = right(&format!("{high:.1}"), ACROSS - 4);
        lines.push(format!("      {low:<4.1}{ends}"));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_half_plane_is_filled_and_points_sit_on_top() {
        let class = |x: f64, y: f64| x + y > 1.5;
        let points = [(0.0, 0.0, false), (1.0, 1.0, true)];
        let region = Region {
            range: (-0.5, 1.5),
            class: &class,
            points: &points,
        };
        let lines = region.lines(Look {
            ascii: true,
            color: false,
        });
        assert_eq!(lines.len(), DOWN + 2);
        assert!(
            lines[0].contains(':') && !lines[DOWN - 1].contains(':'),
            "{lines:#?}"
        );
        assert_eq!(lines.concat().matches(":1:").count(), 1);
        assert_eq!(lines.concat().matches(" 0 ").count(), 1);
    }
}
