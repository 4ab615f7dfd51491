//! The state on a page.
//!
//! ```text
//! name, device                                    stage
//! ███████████░░░░░░░░░░░  120/400
//! ┌ loss ─────────────────────────┐┌ now ─────────────┐
//! │                               ││ loss      1.2345 │
//! └───────────────────────────────┘└──────────────────┘
//! ┌ warnings ─────────────────────┐┌ answers ─────────┐
//! └───────────────────────────────┘└──────────────────┘
//! q saves and stops
//! ```
//!
//! Colour repeats what words and places say; without it the page reads the same.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Axis, Block, Chart, Dataset, Gauge, GraphType, LegendPosition, Paragraph, Wrap,
};

use crate::state::{Row, State};

/// A page with fewer columns or rows than this shows words only.
const SMALLEST: (u16, u16) = (60, 16);
/// Columns of the numbers beside the curve.
const NUMBERS: u16 = 30;
/// Rows of warnings and answers.
const TEXTS: u16 = 8;

/// Draws `state` on the whole frame, with colours or without.
pub fn draw(frame: &mut Frame, state: &State, color: bool) {
    let pen = Pen { color };
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let mut lines = vec![Line::raw(clean(&state.stage)), Line::raw(counts(state))];
        lines.extend(numbers(state));
        frame.render_widget(Paragraph::new(lines), area);
        return;
    }
    let [title, gauge, body, texts, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(6),
        Constraint::Length(TEXTS.min(area.height / 3)),
        Constraint::Length(1),
    ])
    .areas(area);
    let [curve, now] =
        Layout::horizontal([Constraint::Min(30), Constraint::Length(NUMBERS)]).areas(body);
    let [warnings, answers] =
        Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(texts);
    draw_title(frame, title, state, pen);
    frame.render_widget(
        Gauge::default()
            .ratio(state.share())
            .label(counts(state))
            .use_unicode(true)
            .gauge_style(pen.accent()),
        gauge,
    );
    draw_curve(frame, curve, state, pen);
    frame.render_widget(
        Paragraph::new(numbers(state)).block(Block::bordered().title("now")),
        now,
    );
    draw_warnings(frame, warnings, state, pen);
    draw_answers(frame, answers, state, pen);
    let help = match state.stopping {
        true => "stopping after this step, with a checkpoint",
        false => "q saves and stops",
    };
    frame.render_widget(Line::styled(help, pen.muted()), keys);
}

/// What colours mean.
#[derive(Clone, Copy)]
struct Pen {
    color: bool,
}

impl Pen {
    fn style(self, color: Color) -> Style {
        match self.color {
            true => Style::new().fg(color),
            false => Style::new(),
        }
    }

    fn accent(self) -> Style {
        self.style(Color::Cyan)
    }

    fn second(self) -> Style {
        self.style(Color::Yellow)
    }

    fn muted(self) -> Style {
        match self.color {
            true => Style::new().add_modifier(Modifier::DIM),
            false => Style::new(),
        }
    }
}

fn draw_title(frame: &mut Frame, area: Rect, state: &State, pen: Pen) {
    let left = format!("{}  {}", clean(&state.name), clean(&state.device));
    let right = clean(&state.stage);
    let [first, last] = Layout::horizontal([
        Constraint::Min(10),
        Constraint::Length(right.chars().count() as u16),
    ])
    .areas(area);
    frame.render_widget(Line::raw(left), first);
    frame.render_widget(Line::styled(right, pen.accent()), last);
}

/// The loss of every row, and the held-out loss where it was measured.
fn draw_curve(frame: &mut Frame, area: Rect, state: &State, pen: Pen) {
    let finite = |(x, y): (u64, f64)| y.is_finite().then_some((x as f64, y));
    let points = |value: fn(&Row) -> Option<f64>| -> Vec<(f64, f64)> {
        let of_row = |row: &Row| Some((row.step, value(row)?));
        state
            .rows
            .iter()
            .filter_map(of_row)
            .filter_map(finite)
            .collect()
    };
    let train = points(|row| Some(row.loss));
    let val = points(|row| row.val);
    let block = Block::bordered().title("loss");
    let Some((x, y)) = bounds(train.iter().chain(&val)) else {
        frame.render_widget(Paragraph::new("no row of the log yet").block(block), area);
        return;
    };
    let mut sets = vec![
        Dataset::default()
            .name("training")
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(pen.accent())
            .data(&train),
    ];
    if !val.is_empty() {
        let held_out = Dataset::default()
            .name("held out")
            .marker(Marker::Dot)
            .graph_type(GraphType::Scatter)
            .style(pen.second())
            .data(&val);
        sets.push(held_out);
    }
    let middle = (y[0] + y[1]) / 2.0;
    let labels = [y[0], middle, y[1]].map(|value| format!("{value:.2}"));
    let chart = Chart::new(sets)
        .block(block)
        .legend_position(Some(LegendPosition::TopRight))
        .hidden_legend_constraints((Constraint::Percentage(60), Constraint::Percentage(60)))
        .x_axis(
            Axis::default()
                .bounds(x)
                .labels([format!("{:.0}", x[0]), format!("{:.0}", x[1])])
                .style(pen.muted()),
        )
        .y_axis(Axis::default().bounds(y).labels(labels).style(pen.muted()));
    frame.render_widget(chart, area);
}

/// The ranges of both axes, with some room; none without points.
fn bounds<'p>(points: impl Iterator<Item = &'p (f64, f64)>) -> Option<([f64; 2], [f64; 2])> {
    let wider = |range: Option<[f64; 2]>, value: f64| match range {
        None => Some([value, value]),
        Some([low, high]) => Some([low.min(value), high.max(value)]),
    };
    let (x, y) = points.fold((None, None), |(x, y), point| {
        (wider(x, point.0), wider(y, point.1))
    });
    let room = |[low, high]: [f64; 2]| {
        let pad = if high > low { 0.05 * (high - low) } else { 0.5 };
        [low - pad, high + pad]
    };
    let apart = |[low, high]: [f64; 2]| [low, if high > low { high } else { low + 1.0 }];
    Some((apart(x?), room(y?)))
}

fn counts(state: &State) -> String {
    match state.total {
        0 => format!("step {}", state.step),
        total => format!("{}/{total}", state.step),
    }
}

/// Names and values of the newest row and the machine.
fn numbers(state: &State) -> Vec<Line<'static>> {
    let last = state.rows.last().copied().unwrap_or_default();
    let val = state.rows.iter().rev().find_map(|row| row.val);
    let some = !state.rows.is_empty();
    let number = |value: f64| {
        if some {
            format!("{value:.4}")
        } else {
            "-".into()
        }
    };
    let mut lines = vec![
        ("loss", number(last.loss)),
        (
            "held out",
            val.map_or("-".into(), |val| format!("{val:.4}")),
        ),
        (
            "lr",
            if some {
                format!("{:.2e}", last.lr)
            } else {
                "-".into()
            },
        ),
        ("grad norm", number(last.grad)),
        (
            "tokens/s",
            if some {
                format!("{:.0}", last.tokens_per_second)
            } else {
                "-".into()
            },
        ),
        ("time left", last.eta.map_or("-".into(), time)),
    ];
    let mib = |bytes: u64| bytes >> 20;
    if let Some(bytes) = state.memory {
        let limit = state
            .memory_limit
            .map_or(String::new(), |limit| format!(" of {}", mib(limit)));
        lines.push(("memory", format!("{}{limit} MiB", mib(bytes))));
    }
    if let Some(percent) = state.cpu_percent {
        lines.push(("processor", format!("{percent:.0} %")));
    }
    if let Some(share) = state.input_share {
        lines.push(("input", format!("{:.1} % of time", 100.0 * share)));
    }
    let line = |(name, value): (&str, String)| Line::raw(format!("{name:<10}{value}"));
    lines.into_iter().map(line).collect()
}

fn draw_warnings(frame: &mut Frame, area: Rect, state: &State, pen: Pen) {
    let lines: Vec<Line> = match state.warnings.is_empty() {
        true => vec![Line::styled("none", pen.muted())],
        false => {
            let newest_first = state.warnings.iter().rev();
            newest_first
                .map(|text| Line::styled(format!("! {}", clean(text)), pen.second()))
                .collect()
        }
    };
    let block = Block::bordered().title(format!("warnings {}", state.warnings.len()));
    frame.render_widget(
        Paragraph::new(lines).wrap(Wrap { trim: true }).block(block),
        area,
    );
}

fn draw_answers(frame: &mut Frame, area: Rect, state: &State, pen: Pen) {
    let mut lines = Vec::new();
    for sample in state.samples.iter().rev() {
        lines.push(Line::styled(clean(&sample.prompt), pen.muted()));
        lines.push(Line::from(vec![
            Span::styled("> ", pen.accent()),
            Span::raw(clean(&sample.answer)),
        ]));
    }
    let block = Block::bordered().title("answers");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// Text without control characters, which could move the cursor.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// `1h02m`, `2m10s`, `14s`.
fn time(left: Duration) -> String {
    let seconds = left.as_secs();
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}
