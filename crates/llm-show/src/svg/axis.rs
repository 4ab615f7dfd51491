//! Axes: values to pixels, round numbers at round places.

use super::frame::{HALF_LINE, SMALL, Sheet, Style, text_width};
use super::palette::{INK, RULE};
use crate::number::count;

/// Beyond this a span could overflow.
const LARGEST: f64 = 1e300;
/// Pixels between two ticks, at least about: side by side, and one above the other.
const TICK_ROOM: [f64; 2] = [64.0, 46.0];

/// Whether a value can be drawn.
pub(super) fn usable(value: f64) -> bool {
    value.is_finite() && value.abs() < LARGEST
}

/// The smallest and largest usable value.
pub(super) fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let usable = values.into_iter().filter(|&value| usable(value));
    usable.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

/// A range from low to high that has a length, whatever it was given.
pub(super) fn widened((low, high): (f64, f64)) -> (f64, f64) {
    if !usable(low) || !usable(high) {
        return (0.0, 1.0);
    }
    let (low, high) = (low.min(high), low.max(high));
    // A span that f64 cannot divide is none.
    if high - low > 1e-12 * low.abs().max(high.abs()) {
        return (low, high);
    }
    let pad = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
    (low - pad, high + pad)
}

/// How values are spread over an axis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Spread {
    Linear,
    Log,
}

/// One axis.
pub(super) struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    /// From one tick to the next on a linear axis.
    step: f64,
    spread: Spread,
}

impl Axis {
    /// From the first value of `range` at pixel `from` to the second at `to`.
    pub(super) fn linear(range: (f64, f64), [from, to]: [f64; 2]) -> Self {
        let (low, high) = widened(range);
        let room = TICK_ROOM[usize::from(from > to)];
        Self {
            low,
            high,
            from,
            to,
            step: step((high - low) / ((to - from).abs() / room).clamp(2.0, 8.0)),
            spread: Spread::Linear,
        }
    }

    /// The same with both ends moved out to round numbers.
    pub(super) fn rounded(range: (f64, f64), pixels: [f64; 2]) -> Self {
        let mut axis = Self::linear(range, pixels);
        axis.low = (axis.low / axis.step).floor() * axis.step;
        axis.high = (axis.high / axis.step).ceil() * axis.step;
        axis
    }

    /// Logarithmic; both ends above zero.
    pub(super) fn log((low, high): (f64, f64), [from, to]: [f64; 2]) -> Self {
        let (low, high) = if low < high {
            (low, high)
        } else {
            (low / 2.0, high * 2.0)
        };
        Self {
            low: low.ln(),
            high: high.ln(),
            from,
            to,
            step: 1.0,
            spread: Spread::Log,
        }
    }

    /// The pixel of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = match self.spread {
            Spread::Linear => value,
            Spread::Log => value.ln(),
        };
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Whether a value lies between both ends.
    pub(super) fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Round values on the axis with their texts.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        match self.spread {
            Spread::Linear => {
                let step = self.step;
                let first = (self.low / step - 1e-9).ceil();
                let last = (self.high / step + 1e-9).floor();
                let largest = self.low.abs().max(self.high.abs());
                // The cap guards against a span that f64 cannot count through.
                (0..=((last - first).clamp(0.0, 20.0) as usize))
                    .map(|index| (first + index as f64) * step)
                    .map(|value| (value, tick_text(value, step, largest)))
                    .collect()
            }
            Spread::Log => {
                let range = self.low.exp() * 0.999..=self.high.exp() * 1.001;
                let decades = (self.high - self.low) / std::f64::consts::LN_10;
                let factors: &[f64] = match decades {
                    ..=3.0 => &[1.0, 2.0, 5.0],
                    _ => &[1.0],
                };
                let ticks = (-15..16)
                    .flat_map(|power| factors.iter().map(move |m| m * 10f64.powi(power)))
                    .filter(|tick| range.contains(tick));
                ticks.map(|value| (value, compact(value))).collect()
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten, at least about `rough`.
fn step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let factors = [1.0, 2.0, 5.0].into_iter();
    let mut steps = factors.map(|factor| factor * power);
    steps
        .find(|&step| step >= rough * 0.999)
        .unwrap_or(power * 10.0)
}

/// The number at a tick: as many decimals as the step needs.
fn tick_text(value: f64, step: f64, largest: f64) -> String {
    if value.abs() < step * 1e-6 {
        return "0".into();
    }
    let places = -(step * 1.000_001).log10().floor();
    if !(1e-3..1e6).contains(&largest) {
        let digits = (largest.log10().floor() + places).clamp(0.0, 6.0) as usize;
        return format!("{value:.digits$e}");
    }
    if value.abs() >= 1e4 && step >= 1.0 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(value.abs().round() as u64));
    }
    format!("{value:.*}", places.clamp(0.0, 9.0) as usize)
}

/// A number in two or three digits where that is enough: `0.05`, `12`, `2,048`, `3.2e-5`.
pub(super) fn compact(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".into();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    match size {
        100.0..1e6 => format!("{sign}{}", count(size.round() as u64)),
        1e-3..100.0 => {
            let places = (1.0 - size.log10().floor()).clamp(0.0, 5.0) as usize;
            let text = format!("{value:.places$}");
            let short = match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.'),
                false => &text,
            };
            short.to_owned()
        }
        _ => format!("{value:.1e}").replace(".0e", "e"),
    }
}

/// The rectangle that data is drawn in.
#[derive(Clone, Copy)]
pub(super) struct Plot {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Plot {
    /// Pixels of the horizontal axis.
    pub(super) fn across(&self) -> [f64; 2] {
        [self.left, self.right]
    }

    /// Pixels of the vertical axis: values grow upwards.
    pub(super) fn up(&self) -> [f64; 2] {
        [self.bottom, self.top]
    }

    /// Room for vertical tick texts on the left of an axis over `range`.
    pub(super) fn margin(range: (f64, f64), height: f64) -> f64 {
        let ticks = Axis::rounded(range, [height, 0.0]).ticks();
        let widest = ticks.iter().map(|tick| text_width(&tick.1));
        widest.fold(0.0, f64::max) + 14.0
    }

    /// Rules and numbers of a vertical axis, its name above.
    pub(super) fn draw_vertical(&self, sheet: &mut Sheet, ticks: &[(f64, String)], name: &str) {
        for (y, text) in ticks {
            sheet.line([self.left, *y], [self.right, *y], RULE);
            let style = Style::QUIET.end();
            sheet.text([self.left - 7.0, y + HALF_LINE], style, text);
        }
        let shift = text_width(name).min(self.left - 16.0);
        let at = [self.left - shift, self.top - 15.0];
        sheet.text(at, Style::LABEL, name);
    }

    /// Marks and numbers of a horizontal axis, its name below.
    pub(super) fn draw_horizontal(&self, sheet: &mut Sheet, ticks: &[(f64, String)], name: &str) {
        sheet.line([self.left, self.bottom], [self.right, self.bottom], INK);
        for (x, text) in ticks {
            sheet.line([*x, self.bottom], [*x, self.bottom + 5.0], INK);
            let at = [*x, self.bottom + 7.0 + SMALL];
            sheet.text(at, Style::QUIET.middle(), text);
        }
        let at = [(self.left + self.right) / 2.0, self.bottom + 26.0 + SMALL];
        sheet.text(at, Style::LABEL.middle(), name);
    }
}

/// Ticks with pixels instead of values.
pub(super) fn placed(axis: &Axis) -> Vec<(f64, String)> {
    let ticks = axis.ticks().into_iter();
    ticks.map(|(value, text)| (axis.at(value), text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(range: (f64, f64)) -> Vec<String> {
        let axis = Axis::rounded(range, [300.0, 0.0]);
        axis.ticks().into_iter().map(|tick| tick.1).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(texts((0.0, 1.0))[..2], ["0", "0.2"]);
        assert_eq!(texts((0.0, 9.0)), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(texts((-0.2, 0.2)).first().map(String::as_str), Some("-0.2"));
        assert_eq!(texts((0.0, 48_000.0))[1], "10,000");
        assert_eq!(texts((0.0, 4e9))[1], "1e9");
        assert_eq!(texts((0.0, 4e-6))[1], "1e-6");
    }

    #[test]
    fn degenerate_ranges_still_have_a_length() {
        let infinite = (f64::NEG_INFINITY, f64::INFINITY);
        for range in [
            (0.0, 0.0),
            (3.0, 3.0),
            (2.0, 1.0),
            infinite,
            (1e16, 1e16 + 2.0),
        ] {
            let (low, high) = widened(range);
            assert!(low < high, "{range:?}");
            let axis = Axis::linear(range, [0.0, 100.0]);
            assert!(
                axis.at(low).is_finite() && !axis.ticks().is_empty(),
                "{range:?}"
            );
        }
        assert_eq!(range([f64::NAN, 2.0, f64::INFINITY, 1.0]), Some((1.0, 2.0)));
        assert_eq!(range([f64::NAN]), None);
    }

    #[test]
    fn compact_numbers_keep_two_digits() {
        let cases = [
            (0.0, "0"),
            (0.05, "0.05"),
            (1.5, "1.5"),
            (12.0, "12"),
            (-12.4, "-12"),
            (2048.0, "2,048"),
            (3.2e-5, "3.2e-5"),
            (1e7, "1e7"),
            (50.0, "50"),
        ];
        for (value, expected) in cases {
            assert_eq!(compact(value), expected);
        }
    }
}
