//! Bars and sparklines.

use super::Exhibit;
use crate::look::{Look, Meaning, clip, left, right, width};
use crate::number::number;

/// Columns of the longest bar.
const LONGEST_BAR: usize = 40;
/// Labels longer than this are clipped.
const LONGEST_LABEL: usize = 20;

/// Horizontal bars from zero; the longest value fills the width.
#[derive(Clone, Debug, Default)]
pub struct Bars {
    bars: Vec<(String, f64)>,
    full: Option<f64>,
}

impl Bars {
    /// Bars for these labels and values; a negative or non-finite value has no bar, only its number.
    pub fn new(bars: impl IntoIterator<Item = (String, f64)>) -> Self {
        Self {
            bars: bars.into_iter().collect(),
            full: None,
        }
    }

    /// Makes `value` the full width, so that several groups of bars share one scale.
    #[must_use]
    pub fn full(mut self, value: f64) -> Self {
        self.full = Some(value);
        self
    }
}

impl Exhibit for Bars {
    fn lines(&self, look: Look) -> Vec<String> {
        let labels: Vec<String> = self
            .bars
            .iter()
            .map(|(label, _)| clip(look, &look.text(label), LONGEST_LABEL))
            .collect();
        let numbers: Vec<String> = self.bars.iter().map(|&(_, value)| number(value)).collect();
        let label_columns = labels.iter().map(|label| width(label)).max().unwrap_or(0);
        let number_columns = numbers.iter().map(|text| width(text)).max().unwrap_or(0);
        let largest = self
            .bars
            .iter()
            .map(|&(_, value)| value)
            .fold(0.0, f64::max);
        let full = self.full.unwrap_or(largest).max(f64::MIN_POSITIVE);
        let lines = self.bars.iter().zip(labels.iter().zip(&numbers));
        lines
            .map(|((_, value), (label, text))| {
                let bar = bar((value / full).clamp(0.0, 1.0), LONGEST_BAR, look);
                let (label, text) = (left(label, label_columns), right(text, number_columns));
                format!("{label}  {text}  {bar}").trim_end().to_owned()
            })
            .collect()
    }
}

/// A bar of `share` of `columns`, in eighths of a column where glyphs allow.
pub(super) fn bar(share: f64, columns: usize, look: Look) -> String {
    if look.ascii {
        return "#".repeat((share * columns as f64).round() as usize);
    }
    let eighths = (share * (8 * columns) as f64).round() as usize;
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    look.paint(Meaning::Accent, &("█".repeat(eighths / 8) + rest))
}

/// One glyph a value between the smallest and the largest; not-a-number is `?`.
///
/// More than `columns` values are averaged into `columns` buckets.
pub fn sparkline(values: &[f64], columns: usize, look: Look) -> String {
    let columns = columns.min(values.len());
    let buckets: Vec<f64> = (0..columns)
        .map(|bucket| {
            let part =
                &values[bucket * values.len() / columns..(bucket + 1) * values.len() / columns];
            part.iter().sum::<f64>() / part.len() as f64
        })
        .collect();
    let finite = || buckets.iter().copied().filter(|value| value.is_finite());
    let (low, high) = (
        finite().fold(f64::INFINITY, f64::min),
        finite().fold(f64::MIN, f64::max),
    );
    let glyphs: Vec<char> = look.glyph("▁▂▃▄▅▆▇█", "_.-~=+*#").chars().collect();
    buckets
        .iter()
        .map(|&value| {
            if !value.is_finite() {
                return '?';
            }
            let share = (value - low) / (high - low).max(f64::MIN_POSITIVE);
            glyphs[((share * glyphs.len() as f64) as usize).min(glyphs.len() - 1)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_share_one_scale() {
        let bars = Bars::new([("a".to_owned(), 0.5), ("long".to_owned(), 1.0)]);
        let lines = bars.lines(Look {
            ascii: true,
            color: false,
        });
        assert_eq!(lines[0], format!("a     0.5000  {}", "#".repeat(20)));
        assert_eq!(lines[1], format!("long  1.0000  {}", "#".repeat(40)));
        assert_eq!(
            Bars::new([("n".to_owned(), f64::NAN)]).lines(Look::default()),
            ["n  nan"]
        );
        assert_eq!(
            bars.full(2.0).lines(Look::default())[0],
            "a     0.5000  ██████████"
        );
    }

    #[test]
    fn a_sparkline_spans_lowest_to_highest() {
        assert_eq!(sparkline(&[0.0, 1.0, f64::NAN], 9, Look::default()), "▁█?");
        assert_eq!(
            sparkline(
                &[2.0; 4],
                2,
                Look {
                    ascii: true,
                    color: false
                }
            ),
            "__"
        );
        assert_eq!(sparkline(&[], 9, Look::default()), "");
    }
}
