//! A matrix as colours. Rows read (queries), columns are read (keys).

use super::Picture;
use super::axis::{Axis, usable, widened};
use super::frame::{
    HALF_LINE, LABEL_ROOM, Labels, PAD, SMALL, Sheet, Style, every, shortened, text_width, widest,
};
use super::palette::{MUTED, RULE, Rgb, diverging, hex, ink_on, sequential};
use super::raster::{HATCH, Raster};

/// Pixels that the cells may take in each direction.
const ROOM: [f64; 2] = [560.0, 480.0];
/// A cell is not larger.
const LARGEST_CELL: f64 = 52.0;
/// Cells of at least this many pixels are squares.
const SMALLEST_SQUARE: f64 = 12.0;
/// Up to so many rows and columns the values are written into the cells.
const NUMBERED: usize = 12;
/// More cells than this are one embedded image instead of a shape each.
const MOST_SHAPES: usize = 1024;
/// Characters of a label.
const LONGEST_LABEL: usize = 16;
/// Degrees by which labels of narrow columns are turned.
const TURN: f64 = -45.0;
/// The colour bar, and the room that it and its numbers take.
const BAR: f64 = 14.0;
const BAR_ROOM: f64 = 100.0;

/// The values of the first and the last colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The value of the lightest colour, or of the darkest blue.
    pub low: f64,
    /// The value of the darkest colour.
    pub high: f64,
}

impl Scale {
    /// Ends in order and apart.
    fn mended(self) -> Self {
        let (low, high) = widened((self.low, self.high));
        Self { low, high }
    }

    fn colour(self, value: f64) -> Rgb {
        if self.low < 0.0 && self.high > 0.0 {
            // Equal distances from zero are equally strong, also when one side reaches further.
            diverging(value / self.high.max(-self.low))
        } else {
            sequential((value - self.low) / (self.high - self.low))
        }
    }
}

/// Rows from the top and columns from the left; `values` is row-major. Colours run from light to dark,
/// or from blue over white to orange if the scale has zero inside. What is not finite counts as hidden
/// and is hatched. Without `columns` (or `rows`) that side has no labels.
///
/// # Shapes
/// `values` \[rows, columns\]
pub fn heatmap(
    title: &str,
    rows: &[String],
    columns: &[String],
    values: &[f64],
    scale: Scale,
) -> Picture {
    let (down, across) = match (rows.len(), columns.len()) {
        (0, 0) => (1, values.len()),
        (0, across) => (values.len() / across, across),
        (down, 0) => (down, values.len() / down),
        (down, across) => (down, across),
    };
    if down * across == 0 || values.is_empty() {
        return Picture::nothing(title);
    }
    let value = |index: usize| values.get(index).copied().filter(|&value| usable(value));
    let map = Map {
        down,
        across,
        values: (0..down * across).map(value).collect(),
        rows: rows
            .iter()
            .map(|row| shortened(row, LONGEST_LABEL))
            .collect(),
        columns: columns
            .iter()
            .map(|column| shortened(column, LONGEST_LABEL))
            .collect(),
        scale: scale.mended(),
    };
    map.picture(title)
}

struct Map {
    down: usize,
    across: usize,
    values: Vec<Option<f64>>,
    rows: Vec<String>,
    columns: Vec<String>,
    scale: Scale,
}

/// Where the cells are, and how large.
struct Place {
    left: f64,
    top: f64,
    cell: [f64; 2],
}

impl Map {
    fn picture(&self, title: &str) -> Picture {
        let cell = self.cell();
        let [wide, tall] = [cell[0] * self.across as f64, cell[1] * self.down as f64];
        let left = PAD
            + if self.rows.is_empty() {
                0.0
            } else {
                widest(&self.rows) + 8.0
            };
        let mut sheet = Sheet::new(title, (left + wide + BAR_ROOM).max(300.0));
        let place = Place {
            left,
            top: sheet.top + self.header_height(cell[0]),
            cell,
        };
        self.draw_labels(&mut sheet, &place);
        let raster = self.raster();
        self.draw_cells(&mut sheet, &place, &raster);
        let height = tall.max(if self.has_hidden() { 150.0 } else { 110.0 });
        self.draw_scale(&mut sheet, [left + wide + 20.0, place.top], height);
        Picture {
            svg: sheet.finish(place.top + height + PAD),
            raster: Some(raster),
        }
    }

    fn cell(&self) -> [f64; 2] {
        let fit = |room: f64, count: usize| (room / count as f64).min(LARGEST_CELL);
        let [w, h] = [fit(ROOM[0], self.across), fit(ROOM[1], self.down)];
        if w.min(h) >= SMALLEST_SQUARE {
            return [w.min(h); 2];
        }
        [w.min(4.0 * h), h.min(4.0 * w)]
    }

    fn has_hidden(&self) -> bool {
        self.values.contains(&None)
    }

    fn raster(&self) -> Raster {
        let colour = |value: &Option<f64>| value.map(|value| self.scale.colour(value));
        Raster {
            across: self.across,
            cells: self.values.iter().map(colour).collect(),
        }
    }

    fn header_height(&self, cell: f64) -> f64 {
        let labels = Labels::fit(&self.columns, cell);
        match labels.widest {
            0.0 => 0.0,
            _ if labels.level => 22.0,
            longest => longest * TURN.to_radians().sin().abs() + 18.0,
        }
    }

    fn draw_labels(&self, sheet: &mut Sheet, place: &Place) {
        let Place {
            left,
            top,
            cell: [w, h],
        } = *place;
        for (row, label) in self.rows.iter().enumerate().step_by(every(LABEL_ROOM, h)) {
            let y = top + (row as f64 + 0.5) * h + HALF_LINE;
            sheet.text([left - 8.0, y], Style::LABEL.end(), label);
        }
        let labels = Labels::fit(&self.columns, w);
        for (column, label) in self.columns.iter().enumerate().step_by(labels.every) {
            let x = left + (column as f64 + 0.5) * w;
            if labels.level {
                sheet.text([x, top - 8.0], Style::LABEL.middle(), label);
            } else {
                sheet.text([x + 3.0, top - 6.0], Style::LABEL.turned(TURN), label);
            }
        }
    }

    fn draw_cells(&self, sheet: &mut Sheet, place: &Place, raster: &Raster) {
        let Place {
            left,
            top,
            cell: [w, h],
        } = *place;
        let size = [w * self.across as f64, h * self.down as f64];
        if self.has_hidden() {
            sheet.raw(&hatch());
        }
        let numbers = self.across.max(self.down) <= NUMBERED;
        let numbers = numbers.then(|| Numbers::new(&self.values, w));
        if raster.cells.len() > MOST_SHAPES {
            let address = raster.address().unwrap_or_default();
            sheet.raw(&format!(
                "<image x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
                 preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" \
                 href=\"{address}\"/>",
                size[0], size[1]
            ));
        } else {
            // Spaces between large cells separate them; small ones read as one surface.
            let gap = if w.min(h) >= SMALLEST_SQUARE {
                1.0
            } else {
                0.0
            };
            for (index, colour) in raster.cells.iter().enumerate() {
                let (row, column) = (index / self.across, index % self.across);
                let at = [left + column as f64 * w, top + row as f64 * h];
                let fill = colour.map_or("url(#hidden)".into(), hex);
                sheet.rect(at, [w - gap, h - gap], &fill, "");
                let text = numbers.as_ref().zip(self.values[index].zip(*colour));
                if let Some((numbers, (value, ground))) = text {
                    let at = [at[0] + w / 2.0, at[1] + h / 2.0 + numbers.size * 0.35];
                    sheet.text(at, numbers.style(ground), &numbers.text(value));
                }
            }
        }
        let frame = format!("stroke=\"{RULE}\"");
        sheet.rect(
            [left - 1.0, top - 1.0],
            [size[0] + 1.0, size[1] + 1.0],
            "none",
            &frame,
        );
    }

    /// The colour bar with its numbers, and what hatched cells mean.
    fn draw_scale(&self, sheet: &mut Sheet, [x, top]: [f64; 2], height: f64) {
        let Scale { low, high } = self.scale;
        let note = if self.has_hidden() { 38.0 } else { 0.0 };
        let bottom = top + (height - note).clamp(90.0, 260.0);
        let axis = Axis::linear((low, high), [bottom, top]);
        let mut stops = String::new();
        // A gradient runs straight through sRGB, so the ramp needs a stop every few steps.
        for index in 0..=16 {
            let share = f64::from(index) / 16.0;
            let colour = hex(self.scale.colour(low + share * (high - low)));
            stops += &format!("<stop offset=\"{share:.4}\" stop-color=\"{colour}\"/>");
        }
        sheet.raw(&format!(
            "<linearGradient id=\"scale\" x1=\"0\" y1=\"1\" x2=\"0\" y2=\"0\">{stops}</linearGradient>"
        ));
        let frame = format!("stroke=\"{RULE}\"");
        sheet.rect([x, top], [BAR, bottom - top], "url(#scale)", &frame);
        for (value, text) in axis.ticks() {
            let y = axis.at(value);
            sheet.line([x + BAR, y], [x + BAR + 4.0, y], MUTED);
            sheet.text([x + BAR + 8.0, y + HALF_LINE], Style::QUIET, &text);
        }
        if self.has_hidden() {
            let y = bottom + 24.0;
            let frame = format!("stroke=\"{RULE}\"");
            sheet.rect([x, y - BAR / 2.0], [BAR, BAR], "url(#hidden)", &frame);
            sheet.text([x + BAR + 8.0, y + HALF_LINE], Style::QUIET, "hidden");
        }
    }
}

/// Diagonal lines for cells without a value.
fn hatch() -> String {
    let [ground, line] = HATCH.map(hex);
    format!(
        "<pattern id=\"hidden\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"{ground}\"/>\
         <line x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" stroke=\"{line}\" stroke-width=\"2\"/></pattern>"
    )
}

/// How values are written into cells: all with the same decimals, small enough to fit.
struct Numbers {
    decimals: Option<usize>,
    size: f64,
}

impl Numbers {
    fn new(values: &[Option<f64>], cell: f64) -> Self {
        let largest = values
            .iter()
            .flatten()
            .fold(0.0, |most, v| f64::max(most, v.abs()));
        let whole = values.iter().flatten().all(|value| value.fract() == 0.0);
        let decimals = match largest {
            1e4.. => None,
            _ if whole => Some(0),
            100.0.. => Some(0),
            10.0.. => Some(1),
            0.095.. => Some(2),
            0.0095.. => Some(3),
            _ => None,
        };
        let mut numbers = Self {
            decimals,
            size: 11.5,
        };
        let widest = values
            .iter()
            .flatten()
            .map(|&value| text_width(&numbers.text(value)));
        let widest = widest.fold(1.0, f64::max) / SMALL;
        numbers.size = numbers.size.min((cell - 4.0) / widest);
        numbers
    }

    fn text(&self, value: f64) -> String {
        let text = match self.decimals {
            Some(decimals) => format!("{value:.decimals$}"),
            None if value == 0.0 => "0".into(),
            None => format!("{value:.1e}"),
        };
        // A rounded -0.001 is no negative number to a reader.
        match text.strip_prefix('-') {
            Some(size) if !size.contains(|c: char| ('1'..='9').contains(&c)) => size.to_owned(),
            _ => text,
        }
    }

    fn style(&self, ground: Rgb) -> Style {
        Style {
            size: self.size,
            fill: ink_on(ground),
            ..Style::LABEL.middle()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("n{index}")).collect()
    }

    const UNIT: Scale = Scale {
        low: 0.0,
        high: 1.0,
    };

    #[test]
    fn values_stand_in_small_maps_only() {
        let small = heatmap("t", &names(2), &names(2), &[1.0, 0.0, 0.25, 0.75], UNIT);
        let whole = heatmap("t", &names(2), &[], &[3.0, 14.0], UNIT);
        assert!(whole.svg().contains(">14<") && !whole.svg().contains("14.0"));
        for text in [">1.00<", ">0.00<", ">0.25<", ">0.75<"] {
            assert!(small.svg().contains(text), "{text}");
        }
        assert!(!small.svg().contains("hidden"));
        let large = heatmap("t", &names(13), &names(13), &[0.25; 169], UNIT);
        assert!(!large.svg().contains(">0.25<"));
        assert_eq!(
            large.svg().matches(&hex(UNIT.colour(0.25))).count(),
            169 + 1
        );
    }

    #[test]
    fn hidden_and_missing_cells_are_hatched() {
        let values = [1.0, f64::NAN, f64::NEG_INFINITY];
        let svg = heatmap("t", &names(2), &names(2), &values, UNIT)
            .svg()
            .to_owned();
        // Three cells and the one beside the scale.
        assert_eq!(svg.matches("fill=\"url(#hidden)\"").count(), 4);
    }

    #[test]
    fn large_maps_are_one_image() {
        let picture = heatmap("t", &names(64), &names(64), &vec![0.5; 4096], UNIT);
        assert_eq!(picture.svg().matches("<image").count(), 1);
        assert!(picture.svg().len() < 20_000, "{}", picture.svg().len());
        assert!(picture.png().is_some());
    }

    #[test]
    fn scales_with_zero_inside_have_two_directions() {
        let both = Scale {
            low: -1.0,
            high: 2.0,
        };
        assert_eq!(both.colour(0.0), diverging(0.0));
        assert_eq!(both.colour(2.0), diverging(1.0));
        assert_eq!(both.colour(-1.0), diverging(-0.5));
        assert_eq!(UNIT.colour(7.0), sequential(1.0));
    }

    #[test]
    fn numbers_share_their_decimals_and_fit() {
        let numbers = |values: &[f64]| {
            let values: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
            Numbers::new(&values, 40.0)
        };
        assert_eq!(numbers(&[0.5, -0.001]).text(-0.001), "0.00");
        assert_eq!(numbers(&[0.02]).text(0.02), "0.020");
        assert_eq!(numbers(&[-250.0]).text(-250.0), "-250");
        assert_eq!(numbers(&[3e7]).text(3e7), "3.0e7");
        assert!(numbers(&[-1.5e-100]).size < 11.0);
    }
}
