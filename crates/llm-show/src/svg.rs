//! Pictures for the book: lines over logarithmic axes, as SVG text.
//!
//! ```
//! use llm_show::svg::{Line, log_log};
//! let line = Line { name: "a".into(), points: vec![(1.0, 10.0), (100.0, 1000.0)] };
//! let svg = log_log("title", ["x", "y"], &[line]);
//! assert!(svg.starts_with("<svg") && svg.contains("<polyline"));
//! ```

use crate::number::count;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
/// Left, right, top, bottom.
const MARGINS: [f64; 4] = [80.0, 70.0, 40.0, 55.0];
/// Told apart with every kind of colour vision (Okabe and Ito 2008).
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
];

/// A named series.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What stands at its end.
    pub name: String,
    /// x and y, both above zero; other points are left out.
    pub points: Vec<(f64, f64)>,
}

/// One logarithmic axis: values to pixels.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(0.0, f64::max);
        let (low, high) = if low < high {
            (low, high)
        } else {
            (low.min(1.0), low.clamp(1.0, f64::MAX) * 2.0)
        };
        Self {
            low: low.ln(),
            high: high.ln(),
            from,
            to,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.ln() - self.low) / (self.high - self.low);
        self.from + share * (self.to - self.from)
    }

    /// 1, 2 and 5 times powers of ten within the axis.
    fn ticks(&self) -> Vec<f64> {
        let range = self.low.exp() * 0.999..=self.high.exp() * 1.001;
        let ticks = (-3..10).flat_map(|power| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(power)));
        ticks.filter(|tick| range.contains(tick)).collect()
    }
}

/// `lines` with both axes logarithmic; x is marked where there are points.
pub fn log_log(title: &str, [x_name, y_name]: [&str; 2], lines: &[Line]) -> String {
    let good = |&&(x, y): &&(f64, f64)| x > 0.0 && y > 0.0 && x.is_finite() && y.is_finite();
    let points = || lines.iter().flat_map(|line| &line.points).filter(good);
    let [left, right, top, bottom] = MARGINS;
    let x_axis = Axis::new(points().map(|p| p.0), left, WIDTH - right);
    let y_axis = Axis::new(points().map(|p| p.1), HEIGHT - bottom, top + 10.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    svg += &text([WIDTH / 2.0, 22.0], "middle", title);
    svg += &text([WIDTH / 2.0, HEIGHT - 12.0], "middle", x_name);
    svg += &text([8.0, top - 6.0], "start", y_name);
    for tick in y_axis.ticks() {
        let y = y_axis.at(tick);
        svg += &rule([left, y], [WIDTH - right, y]);
        svg += &text([left - 6.0, y + 4.0], "end", &label(tick));
    }
    let mut marks: Vec<f64> = points().map(|p| p.0).collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    for mark in marks {
        let x = x_axis.at(mark);
        svg += &rule([x, HEIGHT - bottom], [x, HEIGHT - bottom + 5.0]);
        svg += &text([x, HEIGHT - bottom + 20.0], "middle", &label(mark));
    }
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let at = |p: &(f64, f64)| [x_axis.at(p.0), y_axis.at(p.1)];
        let places: Vec<[f64; 2]> = line.points.iter().filter(good).map(at).collect();
        svg += &series(&places, colour, &line.name);
    }
    svg + "</svg>\n"
}

/// A line with a dot at each place and its name at the end.
fn series(places: &[[f64; 2]], colour: &str, name: &str) -> String {
    let Some(&[x, y]) = places.last() else {
        return String::new();
    };
    let path: Vec<String> = places
        .iter()
        .map(|[x, y]| format!("{x:.1},{y:.1}"))
        .collect();
    let mut svg = format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
        path.join(" ")
    );
    for [x, y] in places {
        svg += &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>\n");
    }
    svg + &text([x + 8.0, y + 4.0], "start", name)
}

fn rule([x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) -> String {
    format!(
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#cccccc\"/>\n"
    )
}

fn text([x, y]: [f64; 2], anchor: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n")
}

fn label(value: f64) -> String {
    if value >= 1.0 {
        count(value.round() as u64)
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_good_point_has_a_dot_and_bad_ones_do_no_harm() {
        let line = |points: &[(f64, f64)]| Line {
            name: "a<b".into(),
            points: points.to_vec(),
        };
        let svg = log_log("t", ["x", "y"], &[line(&[(64.0, 5e3), (2048.0, 100.0)])]);
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("a&lt;b") && svg.contains("2,048"));
        for bad in [&[][..], &[(0.0, 1.0)], &[(1.0, f64::NAN)], &[(3.0, 3.0)]] {
            let svg = log_log("t", ["x", "y"], &[line(bad)]);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
