//! One value a name.

use super::Picture;
use super::axis::{Axis, Plot, compact, placed, range, usable};
use super::frame::{Labels, PAD, SMALL, Sheet, Style, shortened, text_width, widest};
use super::palette::{INK, SERIES};

/// Pixels that the bars may take, and what one takes at least and at most.
const ROOM: f64 = 640.0;
const SLOTS: [f64; 2] = [5.0, 84.0];
const TALL: f64 = 260.0;
/// Characters of a label.
const LONGEST_LABEL: usize = 28;
/// Degrees by which labels are turned that do not stand side by side.
const TURN: f64 = -40.0;
/// Numbers in a smaller size are left out.
const SMALLEST_NUMBER: f64 = 9.0;
/// Room for the number above the highest bar, as a share of the axis.
const HEADROOM: f64 = 0.05;

/// A bar for each value, from zero up or down, its number at its end while there is room.
pub fn bars(title: &str, y_name: &str, bars: &[(String, f64)]) -> Picture {
    let Some((low, high)) = range(bars.iter().map(|bar| bar.1)) else {
        return Picture::nothing(title);
    };
    let (low, high) = (low.min(0.0), high.max(0.0));
    let names = bars.iter().map(|bar| shortened(&bar.0, LONGEST_LABEL));
    let names: Vec<String> = names.collect();
    let slot = (ROOM / bars.len() as f64).clamp(SLOTS[0], SLOTS[1]);
    let labels = Labels::fit(&names, slot);
    let size = number_size(bars, slot);
    let headroom = size.map_or(0.0, |_| HEADROOM * (high - low));
    let range = (low, high + headroom);
    let (sin, cos) = TURN.to_radians().sin_cos();
    // The first turned label reaches to the left of its bar.
    let first = widest(&names[..1]) * cos - slot / 2.0;
    let reach = if labels.level { 0.0 } else { first };
    let left = PAD + Plot::margin(range, TALL).max(reach).max(36.0);
    let right = left + slot * bars.len() as f64 + 4.0;
    let mut sheet = Sheet::new(title, (right + PAD).max(360.0));
    let top = sheet.top + 26.0;
    let plot = Plot {
        left,
        right,
        top,
        bottom: top + TALL,
    };
    let axis = Axis::rounded(range, plot.up());
    plot.draw_vertical(&mut sheet, &placed(&axis), y_name);
    let middle = |index: usize| left + (index as f64 + 0.5) * slot + 2.0;
    draw_bars(&mut sheet, &axis, bars, (slot, &middle), size);
    let zero = axis.at(0.0);
    sheet.line([left, zero], [right, zero], INK);
    for (index, name) in names.iter().enumerate().step_by(labels.every) {
        if labels.level {
            let at = [middle(index), plot.bottom + 18.0];
            sheet.text(at, Style::LABEL.middle(), name);
        } else {
            let at = [middle(index) + 5.0, plot.bottom + 14.0];
            sheet.text(at, Style::LABEL.end().turned(TURN), name);
        }
    }
    let below = if labels.level {
        24.0
    } else {
        labels.widest * sin.abs() + 20.0
    };
    Picture::drawn(sheet, plot.bottom + below + PAD)
}

/// The font size in which all numbers fit above their bars, if it is not too small.
fn number_size(bars: &[(String, f64)], slot: f64) -> Option<f64> {
    let good = bars.iter().filter(|bar| usable(bar.1));
    let widths = good.map(|bar| text_width(&compact(bar.1)));
    let size = SMALL * ((slot - 6.0) / widths.fold(1.0, f64::max)).min(1.0);
    (size >= SMALLEST_NUMBER).then_some(size)
}

/// Bars around their middles, with numbers of this size at their ends.
fn draw_bars(
    sheet: &mut Sheet,
    axis: &Axis,
    bars: &[(String, f64)],
    (slot, middle): (f64, &dyn Fn(usize) -> f64),
    size: Option<f64>,
) {
    let wide = (slot * 0.72).max(slot - 18.0);
    let zero = axis.at(0.0);
    for (index, &(_, value)) in bars.iter().enumerate().filter(|(_, bar)| usable(bar.1)) {
        let (x, end) = (middle(index), axis.at(value));
        let colour = SERIES[usize::from(value < 0.0)];
        let at = [x - wide / 2.0, zero.min(end)];
        sheet.rect(at, [wide, (zero - end).abs()], colour, "");
        if let Some(size) = size {
            let y = if value < 0.0 {
                end + size + 3.0
            } else {
                end - 5.0
            };
            let style = Style {
                size,
                ..Style::LABEL.middle()
            };
            sheet.text([x, y], style, &compact(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(values: &[f64]) -> Vec<(String, f64)> {
        let bars = values.iter().enumerate();
        bars.map(|(index, &value)| (format!("n{index}"), value))
            .collect()
    }

    /// y and height of each bar.
    fn drawn(svg: &str) -> Vec<(f64, f64)> {
        let number = |line: &str, key: &str| {
            let rest = line.split_once(&format!(" {key}=\"")).unwrap().1;
            rest.split('"').next().unwrap().parse::<f64>().unwrap()
        };
        svg.lines()
            .filter(|line| line.starts_with("<rect x=") && line.contains("#"))
            .map(|line| (number(line, "y"), number(line, "height")))
            .collect()
    }

    #[test]
    fn heights_are_in_proportion_and_start_at_zero() {
        let bars = drawn(bars("t", "y", &named(&[1.0, 2.0, -1.0, f64::NAN])).svg());
        assert_eq!(bars.len(), 3);
        let [one, two, minus] = [bars[0], bars[1], bars[2]];
        assert!((two.1 - 2.0 * one.1).abs() < 0.2, "{bars:?}");
        assert!((one.1 - minus.1).abs() < 0.2 && (one.0 + one.1 - minus.0).abs() < 0.2);
    }

    #[test]
    fn labels_of_many_bars_are_thinned() {
        let svg = bars("t", "y", &named(&[1.0; 128])).svg().to_owned();
        assert_eq!(drawn(&svg).len(), 128);
        let labels = svg.matches(">n").count();
        assert!((8..64).contains(&labels), "{labels}");
    }
}
