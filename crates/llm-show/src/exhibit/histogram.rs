//! How values are spread: counts in bins of equal width.

use super::bars::bar;
use super::{COLUMNS, Exhibit};
use crate::look::{Look, Meaning, right, width};
use crate::number::{count, number, percent};

/// A distribution is read as one shape, which more rows than this are not.
const MOST_BINS: usize = 40;
/// Columns of the longest bar.
const LONGEST_BAR: usize = 40;

/// Values between `low` and `high` in bins, with number, mean and spread above them.
#[derive(Clone, Debug)]
pub struct Histogram<'a> {
    label: &'a str,
    values: &'a [f64],
    low: f64,
    high: f64,
    bins: usize,
    shares: bool,
}

impl<'a> Histogram<'a> {
    /// `values` in `bins` (1 to 40) between `low` and `high`; those outside, and those that are not
    /// finite, are counted in rows of their own.
    pub fn new(label: &'a str, values: &'a [f64], (low, high): (f64, f64), bins: usize) -> Self {
        let sane = low.is_finite() && high.is_finite() && low < high;
        let (low, high) = if sane { (low, high) } else { (0.0, 1.0) };
        Self {
            label,
            values,
            low,
            high,
            bins: bins.clamp(1, MOST_BINS),
            shares: false,
        }
    }

    /// Writes shares of all values instead of counts.
    #[must_use]
    pub fn shares(mut self) -> Self {
        self.shares = true;
        self
    }

    /// The lower edge of a bin.
    fn edge(&self, bin: usize) -> f64 {
        self.low + (self.high - self.low) * bin as f64 / self.bins as f64
    }

    /// The bin of a value inside; `high` itself belongs to the last one.
    fn bin(&self, value: f64) -> Option<usize> {
        let inside = (self.low..=self.high).contains(&value);
        let share = (value - self.low) / (self.high - self.low);
        inside.then(|| ((share * self.bins as f64) as usize).min(self.bins - 1))
    }

    fn finite(&self) -> impl Iterator<Item = f64> + Clone + '_ {
        self.values
            .iter()
            .copied()
            .filter(|value| value.is_finite())
    }

    /// Mean and standard deviation of all finite values.
    fn mean_and_spread(&self) -> Option<(f64, f64)> {
        let number = self.finite().count() as f64;
        if number == 0.0 {
            return None;
        }
        let mean = self.finite().sum::<f64>() / number;
        let squares = self
            .finite()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>();
        Some((mean, (squares / number).sqrt()))
    }

    fn head(&self, look: Look) -> String {
        let summary = match self.mean_and_spread() {
            Some((mean, spread)) => {
                format!("   mean {}   spread {}", number(mean), number(spread))
            }
            None => String::new(),
        };
        let values = count(self.values.len() as u64);
        format!("{}   {values} values{summary}", look.text(self.label))
    }

    fn amount(&self, of: usize) -> String {
        if self.shares {
            percent(of as f64 / self.values.len().max(1) as f64)
        } else {
            count(of as u64)
        }
    }

    /// What lies outside: words and how many.
    fn outside(&self) -> [(String, usize); 3] {
        let many = |test: &dyn Fn(f64) -> bool| self.values.iter().filter(|v| test(**v)).count();
        [
            (
                format!("below {}", number(self.low)),
                many(&|value| value.is_finite() && value < self.low),
            ),
            (
                format!("above {}", number(self.high)),
                many(&|value| value.is_finite() && value > self.high),
            ),
            ("not finite".into(), many(&|value| !value.is_finite())),
        ]
    }
}

impl Exhibit for Histogram<'_> {
    fn lines(&self, look: Look) -> Vec<String> {
        let mut counts = vec![0; self.bins];
        for bin in self.finite().filter_map(|value| self.bin(value)) {
            counts[bin] += 1;
        }
        let edges: Vec<String> = (0..=self.bins).map(|bin| number(self.edge(bin))).collect();
        let edge = edges.iter().map(|edge| width(edge)).max().unwrap_or(0);
        let to = look.glyph(" … ", " .. ");
        let labels = edges
            .windows(2)
            .map(|pair| format!("{}{to}{}", right(&pair[0], edge), right(&pair[1], edge)));
        let outside = self.outside();
        let most = outside
            .iter()
            .map(|row| row.1)
            .chain(counts.iter().copied());
        let amounts = most.map(|of| width(&self.amount(of))).max().unwrap_or(1);
        let label = (2 * edge + width(to)).max(edge + width("below "));
        let mark = look.glyph("  ◂ mean", "  < mean");
        let longest = LONGEST_BAR.min(COLUMNS.saturating_sub(label + amounts + 4 + width(mark)));
        let row = |text: &str, of: usize| {
            format!(
                "{}  {}",
                right(text, label),
                right(&self.amount(of), amounts)
            )
        };

        let full = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let mean = self.mean_and_spread().and_then(|(mean, _)| self.bin(mean));
        let mut lines = vec![self.head(look)];
        for (bin, (text, &of)) in labels.zip(&counts).enumerate() {
            let mut line = row(&text, of) + "  " + &bar(of as f64 / full, longest, look);
            if mean == Some(bin) {
                line = line.trim_end().to_owned() + &look.paint(Meaning::Muted, mark);
            }
            lines.push(line.trim_end().to_owned());
        }
        // Nothing outside is the rule and needs no row.
        let outside = outside.iter().filter(|(_, of)| *of > 0);
        lines.extend(outside.map(|(text, of)| look.paint(Meaning::Muted, &row(text, *of))));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASCII: Look = Look {
        ascii: true,
        color: false,
    };

    #[test]
    fn values_fall_into_their_bins_and_both_ends_belong() {
        let values = [0.0, 0.1, 0.2, 0.6, 1.0, -3.0, 2.0, 2.5, f64::NAN];
        let lines = Histogram::new("x", &values, (0.0, 1.0), 2).lines(ASCII);
        assert_eq!(
            lines,
            [
                "x   9 values   mean 0.4250   spread 1.5498",
                "0.0000 .. 0.5000  3  ########################################  < mean",
                "0.5000 .. 1.0000  2  ###########################",
                "    below 0.0000  1",
                "    above 1.0000  2",
                "      not finite  1",
            ]
        );
    }

    #[test]
    fn shares_and_odd_ranges() {
        let values = [0.25, 0.75, 0.8, 0.9];
        let lines = Histogram::new("x", &values, (0.0, 1.0), 2)
            .shares()
            .lines(ASCII);
        assert!(
            lines[1].contains("25.00 %") && lines[2].contains("75.00 %"),
            "{lines:#?}"
        );
        for range in [
            (1.0, 1.0),
            (f64::NAN, 2.0),
            (0.0, f64::INFINITY),
            (2.0, 1.0),
        ] {
            let lines = Histogram::new("x", &values, range, 0).lines(ASCII);
            assert_eq!(lines.len(), 2, "{lines:#?}");
        }
        let none = Histogram::new("x", &[], (0.0, 1.0), 3).lines(ASCII);
        assert_eq!(none[0], "x   0 values");
        assert_eq!(none.len(), 4);
    }

    #[test]
    fn rows_stay_within_the_page() {
        let values: Vec<f64> = (0..9_999).map(|n| f64::from(n) * 1e-9).collect();
        for look in [ASCII, Look::default()] {
            for bins in [1, 7, 99] {
                let lines = Histogram::new("x", &values, (-1e-5, 1e-5), bins).lines(look);
                assert_eq!(lines.len(), 1 + bins.min(MOST_BINS));
                assert!(
                    lines.iter().all(|line| width(line) <= COLUMNS),
                    "{lines:#?}"
                );
                assert!(lines.iter().filter(|line| line.contains("mean")).count() == 2);
            }
        }
    }
}
