//! A function of the plane as filled contours, with the paths of descents over it.

use super::axis::{Axis, Plot, compact, placed, usable, widened};
use super::contour::{Point, Samples};
use super::frame::{HALF_LINE, PAD, Sheet, Style};
use super::lines::{draw_end, draw_ends, draw_legend, draw_start, path_data, stroke};
use super::palette::{MUTED, SERIES, hex, sequential};
use super::{Line, Picture};

const WIDTH: f64 = 680.0;
const TALL: f64 = 400.0;
/// Samples in each direction.
const SAMPLES: [usize; 2] = [81, 61];
/// Bands of colour.
const BANDS: usize = 12;
/// Bands near the bottom are narrower: that is where descents go.
const CROWDING: f64 = 1.6;
/// The darkest band: paths have to stay visible on it.
const DARKEST: f64 = 0.72;
/// Room for the scale on the right.
const SCALE_ROOM: f64 = 96.0;
/// Paths of more steps have no dot at each.
const DOTTED: usize = 80;
/// Pixels beyond the edge that a path is followed to.
const BEYOND: f64 = 2_000.0;

/// The part of the plane that is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// The smallest and largest x.
    pub x: (f64, f64),
    /// The smallest and largest y.
    pub y: (f64, f64),
}

/// `f` over `area` in bands of equal height of colour, dark for high, and `paths` from an open circle
/// to a diamond. `f` is asked at 81 times 61 points; where it is not finite it counts as the highest.
pub fn landscape(
    title: &str,
    [x_name, y_name]: [&str; 2],
    area: Area,
    f: impl Fn(f64, f64) -> f64,
    paths: &[Line],
) -> Picture {
    let (x_range, y_range) = (widened(area.x), widened(area.y));
    let [across, down] = SAMPLES;
    let along = |(low, high): (f64, f64), index: usize, of: usize| {
        low + (high - low) * index as f64 / (of - 1) as f64
    };
    let sample =
        |column: usize, row: usize| f(along(x_range, column, across), along(y_range, row, down));
    let samples = Samples::new(across, down, sample);
    let mut sheet = Sheet::new(title, WIDTH);
    draw_legend(&mut sheet, paths.iter().map(|path| path.name.as_str()));
    let plot = Plot {
        left: PAD + Plot::margin(y_range, TALL).max(36.0),
        right: WIDTH - SCALE_ROOM,
        top: sheet.top + 26.0,
        bottom: sheet.top + 26.0 + TALL,
    };
    let levels = levels(&samples.sorted());
    draw_bands(&mut sheet, &plot, &samples, &levels);
    draw_scale(&mut sheet, &plot, &levels);
    let x_axis = Axis::linear(x_range, plot.across());
    let y_axis = Axis::linear(y_range, plot.up());
    // Numbers without rules: rules would look like contours.
    let outside = Plot {
        right: plot.left,
        ..plot
    };
    outside.draw_vertical(&mut sheet, &placed(&y_axis), y_name);
    plot.draw_horizontal(&mut sheet, &placed(&x_axis), x_name);
    sheet.raw(&format!(
        "<clipPath id=\"plot\"><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/></clipPath>",
        plot.left,
        plot.top,
        plot.right - plot.left,
        plot.bottom - plot.top
    ));
    for (index, path) in paths.iter().enumerate() {
        draw_path(&mut sheet, [&x_axis, &y_axis], path, index);
    }
    if !paths.is_empty() {
        draw_ends(&mut sheet, [plot.left + 4.0, plot.bottom + 34.0]);
    }
    Picture::drawn(sheet, plot.bottom + 46.0 + PAD)
}

/// Where one band ends and the next begins, in ascending order.
fn levels(sorted: &[f64]) -> Vec<f64> {
    let (Some(lowest), Some(highest)) = (sorted.first(), sorted.last()) else {
        return Vec::new();
    };
    let level = |band: usize| {
        let share = (band as f64 / BANDS as f64).powf(CROWDING);
        two_digits(sorted[(share * (sorted.len() - 1) as f64) as usize])
    };
    let mut levels: Vec<f64> = (1..BANDS).map(level).collect();
    levels.retain(|level| level > lowest && level <= highest);
    levels.dedup();
    levels
}

/// The value with two digits, as the scale prints it.
fn two_digits(value: f64) -> f64 {
    format!("{value:.1e}").parse().unwrap_or(value)
}

fn band_colour(band: usize, levels: usize) -> String {
    hex(sequential(DARKEST * band as f64 / levels.max(1) as f64))
}

/// The lowest colour everywhere, and over it each level's area, from low to high.
fn draw_bands(sheet: &mut Sheet, plot: &Plot, samples: &Samples, levels: &[f64]) {
    let size = [plot.right - plot.left, plot.bottom - plot.top];
    sheet.rect(
        [plot.left, plot.top],
        size,
        &band_colour(0, levels.len()),
        "",
    );
    let step = [
        size[0] / (SAMPLES[0] - 1) as f64,
        size[1] / (SAMPLES[1] - 1) as f64,
    ];
    // In tenths of a pixel, so that differences between rounded places add up exactly.
    let tenths = |[x, y]: Point| {
        let place = [plot.left + x * step[0], plot.bottom - y * step[1]];
        place.map(|value| (value * 10.0).round() as i64)
    };
    for (band, &level) in levels.iter().enumerate() {
        let outlines = samples.outlines(level);
        let data: String = outlines
            .iter()
            .map(|outline| closed_path(&outline.iter().map(|&p| tenths(p)).collect::<Vec<_>>()))
            .collect();
        if data.is_empty() {
            continue;
        }
        let fill = band_colour(band + 1, levels.len());
        let more = format!("fill=\"{fill}\" stroke=\"#ffffff\" stroke-opacity=\"0.45\"");
        sheet.path(&data, &more);
    }
    sheet.rect(
        [plot.left, plot.top],
        size,
        "none",
        &format!("stroke=\"{MUTED}\""),
    );
}

/// A closed path in relative steps, without the points in the middle of level or upright lines.
fn closed_path(places: &[[i64; 2]]) -> String {
    let mut kept: Vec<[i64; 2]> = Vec::new();
    for &place in places {
        if let [.., a, b] = kept[..]
            && (0..2).any(|axis| a[axis] == b[axis] && b[axis] == place[axis])
        {
            kept.pop();
        }
        if kept.last() != Some(&place) {
            kept.push(place);
        }
    }
    if kept.len() < 3 {
        return String::new();
    }
    let text = |tenths: i64| super::frame::px(tenths as f64 / 10.0);
    let mut data = format!("M{} {}l", text(kept[0][0]), text(kept[0][1]));
    for pair in kept.windows(2) {
        let [dx, dy] = [pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]];
        data += &format!("{} {} ", text(dx), text(dy));
    }
    data.trim_end().to_owned() + "z"
}

/// The bands with the values between them.
fn draw_scale(sheet: &mut Sheet, plot: &Plot, levels: &[f64]) {
    let bands = levels.len() + 1;
    let height = (plot.bottom - plot.top) / bands as f64;
    let x = plot.right + 20.0;
    for band in 0..bands {
        let y = plot.bottom - (band + 1) as f64 * height;
        sheet.rect([x, y], [16.0, height], &band_colour(band, levels.len()), "");
        if let Some(&level) = levels.get(band) {
            sheet.text([x + 22.0, y + HALF_LINE], Style::QUIET, &compact(level));
        }
    }
    let size = [16.0, plot.bottom - plot.top];
    sheet.rect([x, plot.top], size, "none", &format!("stroke=\"{MUTED}\""));
}

/// The path with a light edge, a dot a step, its start and its end if they are in the picture.
fn draw_path(sheet: &mut Sheet, [x_axis, y_axis]: [&Axis; 2], path: &Line, index: usize) {
    let place = |&(x, y): &(f64, f64)| {
        let place = [x_axis.at(x), y_axis.at(y)];
        // A descent that diverges leaves the picture and soon every number that a viewer takes.
        let near = place.iter().all(|pixel| pixel.abs() < BEYOND);
        (usable(x) && usable(y) && near).then_some(place)
    };
    let places: Vec<Option<Point>> = path.points.iter().map(place).collect();
    let data = path_data(&places);
    if data.is_empty() {
        return;
    }
    let line = "fill=\"none\" clip-path=\"url(#plot)\"";
    let edge = "stroke=\"#ffffff\" stroke-width=\"5\" stroke-opacity=\"0.8\"";
    sheet.path(&data, &format!("{line} {edge} stroke-linejoin=\"round\""));
    sheet.path(&data, &format!("{line} {}", stroke(index)));
    let colour = SERIES[index % SERIES.len()];
    let visible = |at: usize| {
        let &(x, y) = path.points.get(at)?;
        (x_axis.contains(x) && y_axis.contains(y)).then_some([x_axis.at(x), y_axis.at(y)])
    };
    if path.points.len() <= DOTTED {
        for place in (0..path.points.len()).filter_map(visible) {
            sheet.circle(
                place,
                2.5,
                colour,
                "stroke=\"#ffffff\" stroke-width=\"0.8\"",
            );
        }
    }
    if let Some(end) = visible(path.points.len() - 1) {
        draw_end(sheet, end, colour);
    }
    if let Some(start) = visible(0) {
        draw_start(sheet, start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: Area = Area {
        x: (-2.0, 2.0),
        y: (-2.0, 2.0),
    };

    fn bowl(x: f64, y: f64) -> f64 {
        x * x + y * y
    }

    #[test]
    fn bands_are_crowded_near_the_bottom() {
        let sorted: Vec<f64> = (0..=1000).map(f64::from).collect();
        let levels = levels(&sorted);
        assert_eq!(levels.len(), BANDS - 1);
        assert!(levels[1] - levels[0] < levels[10] - levels[9], "{levels:?}");
        assert!(levels.iter().all(|&level| level == two_digits(level)));
        assert!(super::levels(&[1.0; 9]).is_empty());
    }

    #[test]
    fn paths_have_a_start_and_an_end_inside_only() {
        let path = |points: &[(f64, f64)]| Line {
            name: "descent".into(),
            points: points.to_vec(),
        };
        let circles = |paths: &[Line]| {
            let picture = landscape("t", ["x", "y"], SQUARE, bowl, paths);
            let svg = picture.svg();
            (
                svg.matches("<circle").count(),
                svg.matches("7 -7 7").count(),
            )
        };
        // Two dots, a start; one start in the legend; a diamond each.
        assert_eq!(circles(&[path(&[(1.0, 1.0), (0.0, 0.0)])]), (4, 2));
        assert_eq!(circles(&[path(&[(1.0, 1.0), (9e9, f64::NAN)])]), (3, 1));
        assert_eq!(circles(&[]), (0, 0));
    }

    #[test]
    fn flat_and_broken_functions_have_a_picture() {
        for f in [|_, _| 1.0, |_, _| f64::NAN, |x: f64, _| 1.0 / x] {
            let svg = landscape("t", ["x", "y"], SQUARE, f, &[]).svg().to_owned();
            assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"));
        }
    }

    #[test]
    fn a_landscape_is_small_enough_for_a_page() {
        let svg = landscape("t", ["x", "y"], SQUARE, bowl, &[])
            .svg()
            .to_owned();
        assert!(svg.len() < 60_000, "{} bytes", svg.len());
    }

    #[test]
    fn closed_paths_skip_what_lies_between() {
        let square = [[0, 0], [10, 0], [20, 0], [20, 20], [20, 20], [0, 20]];
        assert_eq!(closed_path(&square), "M0 0l2 0 0 2 -2 0z");
        assert_eq!(closed_path(&square[..2]), "");
    }
}
