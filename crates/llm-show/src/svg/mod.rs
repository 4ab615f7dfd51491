//! Pictures for the book and for `--svg FILE`: SVG text, the same for the same data.
//!
//! 1. [`heatmap`]: a matrix as colours, its numbers inside while there is room; also as PNG
//! 2. [`lines`] and [`log_log`]: series over an axis
//! 3. [`bars`]: one value a name
//! 4. [`landscape`]: a function of the plane as filled contours, with the paths of descents
//! 5. [`tree`]: what was joined from what
//!
//! Values that are not finite are left out or hatched, labels are escaped and shortened, and no data
//! is a picture that says so: a picture never fails.
//!
//! ```
//! use llm_show::svg::{Scale, heatmap};
//! let words = ["the".to_owned(), "cat".to_owned()];
//! let values = [1.0, f64::NAN, 0.4, 0.6];
//! let picture = heatmap("weights", &words, &words, &values, Scale { low: 0.0, high: 1.0 });
//! assert!(picture.svg().starts_with("<svg") && picture.svg().contains("0.60"));
//! assert!(picture.png().is_some_and(|bytes| bytes.starts_with(b"\x89PNG")));
//! ```

mod axis;
mod bars;
mod contour;
mod frame;
mod heatmap;
mod landscape;
mod lines;
mod palette;
mod raster;
mod tree;

pub use bars::bars;
pub use heatmap::{Scale, heatmap};
pub use landscape::{Area, landscape};
pub use lines::{Line, lines, log_log};
pub use tree::{Node, tree};

use frame::{PAD, Sheet, Style};
use raster::Raster;

/// A finished picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    svg: String,
    raster: Option<Raster>,
}

impl Picture {
    /// The picture as a text of SVG.
    pub fn svg(&self) -> &str {
        &self.svg
    }

    /// The bytes of a PNG file; heatmaps alone have one. It holds the cells without labels.
    pub fn png(&self) -> Option<Vec<u8>> {
        self.raster.as_ref()?.enlarged().png()
    }

    /// A picture of lines and text.
    fn drawn(sheet: Sheet, height: f64) -> Self {
        Self {
            svg: sheet.finish(height),
            raster: None,
        }
    }

    /// What stands where there is nothing to draw.
    fn nothing(title: &str) -> Self {
        let mut sheet = Sheet::new(title, 420.0);
        let top = sheet.top;
        let size = [420.0 - 2.0 * PAD, 80.0];
        sheet.rect([PAD, top], size, "#f4f5f7", "rx=\"4\"");
        sheet.text([210.0, top + 45.0], Style::QUIET.middle(), "no data");
        Self::drawn(sheet, top + 80.0 + PAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Scale = Scale {
        low: 0.0,
        high: 1.0,
    };

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("<n{index}>")).collect()
    }

    fn line(points: &[(f64, f64)]) -> Line {
        Line {
            name: "a<b & \"c\"".into(),
            points: points.to_vec(),
        }
    }

    /// One picture of each kind over the same awkward numbers.
    fn pictures(values: &[f64]) -> Vec<Picture> {
        let points: Vec<(f64, f64)> = values.iter().map(|&v| (v, v)).collect();
        let swapped: Vec<(f64, f64)> = points.iter().rev().map(|&(x, y)| (y, x)).collect();
        let series = [line(&points), line(&swapped)];
        let named: Vec<(String, f64)> = names(values.len())
            .into_iter()
            .zip(values.iter().copied())
            .collect();
        let first = values.first().copied().unwrap_or(f64::NAN);
        let area = Area {
            x: (first, 1.0),
            y: (-1.0, 1.0),
        };
        let leaf = |label: String| Node {
            label,
            children: Vec::new(),
        };
        let root = Node {
            label: "<root>\u{0}".into(),
            children: names(values.len()).into_iter().map(leaf).collect(),
        };
        let title = "a title <that> is & \"long\" enough to be broken over more than one line of \
                     a picture whatever its width may be";
        vec![
            heatmap(title, &names(values.len()), &names(1), values, UNIT),
            heatmap(
                title,
                &names(1),
                &[],
                values,
                Scale {
                    low: first,
                    high: -first,
                },
            ),
            lines(title, ["x<", "y&"], &series),
            log_log(title, ["x<", "y&"], &series),
            bars(title, "y<", &named),
            landscape(title, ["x<", "y&"], area, |x, y| first * x + y, &series),
            tree(title, &root),
        ]
    }

    /// Tags close in the order in which they open, and no attribute holds a bare sign.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for part in svg.split('<').skip(1) {
            let (tag, text) = part.split_once('>').unwrap();
            assert!(!text.contains('>'), "{text}");
            for entity in text.split('&').skip(1).chain(tag.split('&').skip(1)) {
                let known = ["amp;", "lt;", "gt;", "quot;"];
                assert!(known.iter().any(|k| entity.starts_with(k)), "{entity}");
            }
            assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
            let name = tag.split([' ', '/']).next().unwrap();
            match tag.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop(), Some(closed)),
                None if tag.ends_with('/') => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn no_value_breaks_a_picture() {
        let long: Vec<f64> = (0..300).map(|n| f64::from(n).sin()).collect();
        let cases: [&[f64]; 9] = [
            &[],
            &[0.0],
            &[f64::NAN],
            &[f64::INFINITY, f64::NEG_INFINITY],
            &[1.0, f64::NAN, -1.0],
            &[f64::MAX, f64::MIN],
            &[1e-300, 2e-300],
            &[3.0, 3.0, 3.0],
            &long,
        ];
        for values in cases {
            for (kind, picture) in pictures(values).iter().enumerate() {
                let svg = picture.svg();
                assert_well_formed(svg);
                let numbers = svg.replace("infinite", "");
                assert!(
                    !numbers.contains("NaN") && !numbers.contains("inf"),
                    "{kind}: {svg}"
                );
                assert!(!svg.chars().any(|c| c.is_control() && c != '\n'));
            }
        }
    }

    #[test]
    fn the_same_data_is_the_same_text() {
        let values = [0.1, 0.9, -0.4, 2.5];
        assert_eq!(pictures(&values), pictures(&values));
    }

    #[test]
    fn no_data_says_so() {
        for picture in &pictures(&[])[..5] {
            assert!(picture.svg().contains("no data"), "{}", picture.svg());
            assert!(picture.png().is_none());
        }
        assert!(tree("t", &[]).svg().contains("no data"));
    }
}
