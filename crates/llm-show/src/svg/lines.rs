//! Series over linear or logarithmic axes.

use super::Picture;
use super::axis::{Axis, Plot, compact, placed, range, usable};
use super::frame::{HALF_LINE, PAD, Sheet, Style, px, shortened, text_width};
use super::palette::{DASHES, INK, MUTED, SERIES};

const WIDTH: f64 = 680.0;
/// Height of the part that holds the data.
const TALL: f64 = 300.0;
/// Lines of more points have no dot at each.
const DOTTED: usize = 40;
/// Up to so many different x are marked where they are on a logarithmic axis.
const MARKED: usize = 10;
/// Characters of a name in the legend.
const LONGEST_NAME: usize = 40;

/// A named series.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What the legend says.
    pub name: String,
    /// x and y; a point that is not finite interrupts the line.
    pub points: Vec<(f64, f64)>,
}

/// `lines` with both axes linear.
pub fn lines(title: &str, names: [&str; 2], lines: &[Line]) -> Picture {
    chart(title, names, lines, |_| true, false)
}

/// `lines` with both axes logarithmic; points that are not above zero are left out, and few
/// different x are marked where they are.
pub fn log_log(title: &str, names: [&str; 2], lines: &[Line]) -> Picture {
    chart(title, names, lines, |(x, y)| x > 0.0 && y > 0.0, true)
}

fn chart(
    title: &str,
    [x_name, y_name]: [&str; 2],
    lines: &[Line],
    good: impl Fn((f64, f64)) -> bool,
    log: bool,
) -> Picture {
    let good = |&&(x, y): &&(f64, f64)| usable(x) && usable(y) && good((x, y));
    let points = || lines.iter().flat_map(|line| &line.points).filter(good);
    let (Some(x_range), Some(y_range)) =
        (range(points().map(|p| p.0)), range(points().map(|p| p.1)))
    else {
        return Picture::nothing(title);
    };
    let mut sheet = Sheet::new(title, WIDTH);
    draw_legend(&mut sheet, lines.iter().map(|line| line.name.as_str()));
    let margin = if log {
        72.0
    } else {
        Plot::margin(y_range, TALL)
    };
    let plot = Plot {
        left: PAD + margin.max(36.0),
        right: WIDTH - PAD - 24.0,
        top: sheet.top + 26.0,
        bottom: sheet.top + 26.0 + TALL,
    };
    let (x_axis, y_axis) = if log {
        (
            Axis::log(x_range, plot.across()),
            Axis::log(y_range, plot.up()),
        )
    } else {
        (
            Axis::linear(x_range, plot.across()),
            Axis::rounded(y_range, plot.up()),
        )
    };
    plot.draw_vertical(&mut sheet, &placed(&y_axis), y_name);
    let mut marks: Vec<f64> = points().map(|p| p.0).collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    if log && marks.len() <= MARKED {
        let at = |&mark: &f64| (x_axis.at(mark), compact(mark));
        plot.draw_horizontal(
            &mut sheet,
            &marks.iter().map(at).collect::<Vec<_>>(),
            x_name,
        );
    } else {
        plot.draw_horizontal(&mut sheet, &placed(&x_axis), x_name);
    }
    for (index, line) in lines.iter().enumerate() {
        let at = |p: &(f64, f64)| good(&p).then(|| [x_axis.at(p.0), y_axis.at(p.1)]);
        let places: Vec<Option<[f64; 2]>> = line.points.iter().map(at).collect();
        draw_series(&mut sheet, &thinned(&places), index);
    }
    Picture::drawn(sheet, plot.bottom + 46.0 + PAD)
}

/// The stroke of the line at `index`, the same in the legend.
pub(super) fn stroke(index: usize) -> String {
    let colour = SERIES[index % SERIES.len()];
    let dash = match DASHES[index % DASHES.len()] {
        "" => String::new(),
        dash => format!(" stroke-dasharray=\"{dash}\""),
    };
    format!("stroke=\"{colour}\" stroke-width=\"2\" stroke-linejoin=\"round\"{dash}")
}

/// Names with their strokes below the title, in as many rows as they need.
pub(super) fn draw_legend<'n>(sheet: &mut Sheet, names: impl IntoIterator<Item = &'n str>) {
    let mut x = PAD;
    for (index, name) in names.into_iter().enumerate() {
        let name = shortened(name, LONGEST_NAME);
        if name.is_empty() {
            continue;
        }
        let room = 34.0 + text_width(&name);
        if x > PAD && x + room > sheet.width() - PAD {
            x = PAD;
            sheet.top += 20.0;
        }
        let y = sheet.top + 8.0;
        let path = format!("M{} {}h26", px(x), px(y));
        sheet.path(&path, &format!("fill=\"none\" {}", stroke(index)));
        sheet.text([x + 33.0, y + HALF_LINE], Style::LABEL, &name);
        x += room + 22.0;
    }
    if x > PAD {
        sheet.top += 24.0;
    }
}

/// The path through these places, interrupted where there is none.
pub(super) fn path_data(places: &[Option<[f64; 2]>]) -> String {
    let mut data = String::new();
    let mut pen = 'M';
    for place in places {
        match place {
            Some([x, y]) => {
                data += &format!("{pen}{} {}", px(*x), px(*y));
                pen = 'L';
            }
            None => pen = 'M',
        }
    }
    data
}

fn draw_series(sheet: &mut Sheet, places: &[Option<[f64; 2]>], index: usize) {
    let data = path_data(places);
    if data.is_empty() {
        return;
    }
    sheet.path(&data, &format!("fill=\"none\" {}", stroke(index)));
    let colour = SERIES[index % SERIES.len()];
    let alone = |at: usize| {
        let near = [at.checked_sub(1), Some(at + 1)].into_iter().flatten();
        !near.filter_map(|at| places.get(at)).any(Option::is_some)
    };
    for (at, place) in places.iter().enumerate() {
        // A point without neighbours has no line to be seen by.
        if let Some(place) = place
            && (places.len() <= DOTTED || alone(at))
        {
            sheet.circle(*place, 3.0, colour, "stroke=\"#ffffff\"");
        }
    }
}

/// At most four points a pixel column: the first, the lowest, the highest, the last.
fn thinned(places: &[Option<[f64; 2]>]) -> Vec<Option<[f64; 2]>> {
    if places.len() <= 2 * WIDTH as usize {
        return places.to_vec();
    }
    let column = |place: &Option<[f64; 2]>| place.map(|[x, _]| x.round() as i64);
    let mut kept = Vec::new();
    for run in places.chunk_by(|a, b| column(a) == column(b)) {
        let height = |&at: &usize| run[at].map_or(0.0, |[_, y]| y);
        let order = |a: &usize, b: &usize| height(a).total_cmp(&height(b));
        let last = run.len() - 1;
        let least = (0..run.len()).min_by(order).unwrap_or(0);
        let most = (0..run.len()).max_by(order).unwrap_or(0);
        let mut shown = [0, least, most, last];
        shown.sort_unstable();
        let mut before = None;
        for at in shown {
            if before != Some(at) {
                kept.push(run[at]);
            }
            before = Some(at);
        }
    }
    kept
}

/// What marks the start and the end of a path, and their words in a legend at `at`.
pub(super) fn draw_ends(sheet: &mut Sheet, [x, y]: [f64; 2]) {
    draw_start(sheet, [x, y]);
    sheet.text([x + 10.0, y + HALF_LINE], Style::QUIET, "start");
    draw_end(sheet, [x + 66.0, y], MUTED);
    sheet.text([x + 76.0, y + HALF_LINE], Style::QUIET, "end");
}

/// An open circle.
pub(super) fn draw_start(sheet: &mut Sheet, at: [f64; 2]) {
    sheet.circle(
        at,
        5.0,
        "#ffffff",
        &format!("stroke=\"{INK}\" stroke-width=\"2\""),
    );
}

/// A filled diamond.
pub(super) fn draw_end(sheet: &mut Sheet, [x, y]: [f64; 2], colour: &str) {
    let data = format!("M{} {}l7 7 -7 7 -7 -7z", px(x), px(y - 7.0));
    sheet.path(
        &data,
        &format!("fill=\"{colour}\" stroke=\"#ffffff\" stroke-width=\"1.5\""),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[(f64, f64)]) -> Line {
        Line {
            name: "a<b".into(),
            points: points.to_vec(),
        }
    }

    #[test]
    fn every_good_point_has_a_dot_and_bad_ones_do_no_harm() {
        let picture = log_log("t", ["x", "y"], &[line(&[(64.0, 5e3), (2048.0, 100.0)])]);
        assert_eq!(picture.svg().matches("<circle").count(), 2);
        assert!(picture.svg().contains("a&lt;b") && picture.svg().contains("2,048"));
        let dots = |bad| {
            log_log("t", ["x", "y"], &[line(bad)])
                .svg()
                .matches("<circle")
                .count()
        };
        assert_eq!(dots(&[(0.0, 1.0), (-1.0, 1.0), (1.0, f64::NAN)]), 0);
        assert_eq!(dots(&[(3.0, 3.0)]), 1);
    }

    #[test]
    fn a_gap_interrupts_a_line() {
        let places = [Some([0.0, 1.0]), Some([1.0, 1.0]), None, Some([3.0, 1.5])];
        assert_eq!(path_data(&places), "M0 1L1 1M3 1.5");
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0)];
        let svg = lines("t", ["x", "y"], &[line(&points)]).svg().to_owned();
        assert_eq!(svg.matches("<circle").count(), 2);
    }

    #[test]
    fn long_series_keep_their_peaks() {
        let flat: Vec<(f64, f64)> = (0..50_000)
            .map(|step| (f64::from(step), if step == 31_234 { 9.0 } else { 0.0 }))
            .collect();
        let places: Vec<Option<[f64; 2]>> =
            flat.iter().map(|&(x, y)| Some([x / 80.0, y])).collect();
        let thin = thinned(&places);
        assert!(thin.len() < 4 * 640, "{}", thin.len());
        assert!(thin.contains(&places[31_234]) && thin.last() == places.last());
        assert!(lines("t", ["x", "y"], &[line(&flat)]).svg().len() < 40_000);
    }

    #[test]
    fn series_differ_without_colour() {
        let strokes: Vec<String> = (0..4)
            .map(|index| stroke(index).replace(SERIES[index], ""))
            .collect();
        for (index, stroke) in strokes.iter().enumerate() {
            assert!(!strokes[..index].contains(stroke), "{stroke}");
        }
    }
}
