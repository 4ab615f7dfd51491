//! Shape lines: `q = x Wq   [T=5, D=4]   f32`.

use super::Exhibit;
use crate::look::{Look, Meaning, left, width};

/// One tensor: how it was made, its axes by letter, its number type.
#[derive(Clone, Debug)]
pub struct Shape {
    label: String,
    axes: Vec<(char, usize)>,
    dtype: String,
    note: String,
}

impl Shape {
    /// A line `label   [axes]   dtype`; the letters are those of `llm_core::dims`.
    pub fn new(label: impl Into<String>, axes: &[(char, usize)], dtype: &str) -> Self {
        Self {
            label: label.into(),
            axes: axes.to_vec(),
            dtype: dtype.into(),
            note: String::new(),
        }
    }

    /// Adds a remark after the number type.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The axes as they are printed; those that `before` does not have are accented.
    pub(super) fn bracket(&self, before: Option<&[(char, usize)]>, look: Look) -> (String, usize) {
        let plain = |(letter, size): &(char, usize)| format!("{letter}={size}");
        let columns = self
            .axes
            .iter()
            .map(|axis| plain(axis).len() + 2)
            .sum::<usize>()
            .max(2);
        let axes: Vec<String> = self
            .axes
            .iter()
            .map(|axis| match before {
                Some(before) if !before.contains(axis) => look.paint(Meaning::Accent, &plain(axis)),
                _ => plain(axis),
            })
            .collect();
        (format!("[{}]", axes.join(", ")), columns)
    }

    /// The label as it is printed.
    pub(super) fn label(&self, look: Look) -> String {
        look.text(&self.label).into_owned()
    }
}

impl Exhibit for Shape {
    fn lines(&self, look: Look) -> Vec<String> {
        Shapes::from(vec![self.clone()]).lines(look)
    }
}

/// Several tensors, one under the other; an axis that changes from one to the next is accented.
#[derive(Clone, Debug, Default)]
pub struct Shapes(Vec<Shape>);

impl From<Vec<Shape>> for Shapes {
    fn from(shapes: Vec<Shape>) -> Self {
        Self(shapes)
    }
}

impl Exhibit for Shapes {
    fn lines(&self, look: Look) -> Vec<String> {
        let label_columns = self
            .0
            .iter()
            .map(|shape| width(&shape.label(look)))
            .max()
            .unwrap_or(0);
        let axes_columns = self
            .0
            .iter()
            .map(|shape| shape.bracket(None, look).1)
            .max()
            .unwrap_or(0);
        let mut before: Option<&[(char, usize)]> = None;
        let mut lines = Vec::new();
        for shape in &self.0 {
            let (bracket, columns) = shape.bracket(before, look);
            let mut line = format!(
                "{}   {bracket}{}   {}",
                left(&shape.label(look), label_columns),
                " ".repeat(axes_columns - columns),
                shape.dtype,
            );
            if !shape.note.is_empty() {
                line += "   ";
                line += &look.paint(Meaning::Muted, &look.text(&shape.note));
            }
            lines.push(line);
            before = Some(&shape.axes);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_align_their_three_columns() {
        let shapes = Shapes::from(vec![
            Shape::new("x", &[('T', 5), ('C', 8)], "f32"),
            Shape::new("q = x Wq", &[('T', 5), ('D', 16)], "f32").note("k, v alike"),
        ]);
        assert_eq!(
            shapes.lines(Look::default()),
            [
                "x          [T=5, C=8]    f32",
                "q = x Wq   [T=5, D=16]   f32   k, v alike"
            ]
        );
    }

    #[test]
    fn a_changed_axis_is_accented() {
        let shapes = Shapes::from(vec![
            Shape::new("x", &[('T', 5), ('C', 8)], "f32"),
            Shape::new("q", &[('T', 5), ('D', 4)], "f32"),
        ]);
        let lines = shapes.lines(Look {
            ascii: false,
            color: true,
        });
        assert!(!lines[0].contains('\u{1b}'));
        assert!(
            lines[1].contains("m\u{1b}[36mD=4") || lines[1].contains("36mD=4"),
            "{}",
            lines[1]
        );
        assert!(lines[1].starts_with("q   [T=5, "));
    }
}
