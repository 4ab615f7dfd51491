//! The weather on stderr: device, progress, timings, measured differences, warnings.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::look::{Look, Meaning, WIDTH, clip, left, width};
use crate::number::{count, duration, scientific};

/// The shortest time between two drawings of a live progress line.
const REDRAW: Duration = Duration::from_millis(100);
/// The time between two progress lines where none can be rewritten (files, pipes).
const SPARSE: Duration = Duration::from_secs(10);
/// A training log repeats its header after this many rows.
const ROWS_PER_HEADER: usize = 20;

/// One row of a training log: the same columns as in `metrics.jsonl`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TrainingRow {
    /// The optimizer step.
    pub step: u64,
    /// The training loss.
    pub loss: f64,
    /// The validation loss, where it was measured.
    pub val: Option<f64>,
    /// The learning rate.
    pub lr: f64,
    /// The gradient norm before clipping.
    pub grad: f64,
    /// Tokens each second; 0 where nobody measured it.
    pub tokens_per_second: f64,
    /// The time left.
    pub eta: Option<Duration>,
}

/// What time it is since the program began; tests bring their own.
pub type Clock<'w> = Box<dyn Fn() -> Duration + 'w>;

/// Writes what is not the result. Failures to write are ignored: weather must not stop work.
pub struct Weather<'w> {
    out: Box<dyn Write + 'w>,
    look: Look,
    terminal: bool,
    quiet: bool,
    clock: Clock<'w>,
    live: bool,
    /// The progress being shown: its name, its start, its last drawing.
    task: Option<(String, Duration, Duration)>,
    rows: usize,
    last_loss: Option<f64>,
}

impl Weather<'static> {
    /// The weather on stderr.
    pub fn stderr(look: Look, quiet: bool) -> Self {
        let start = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        Self::new(
            std::io::stderr(),
            look,
            terminal,
            quiet,
            Box::new(move || start.elapsed()),
        )
    }
}

impl<'w> Weather<'w> {
    /// Weather on `out`; only a `terminal` gets a line that rewrites itself.
    pub fn new(
        out: impl Write + 'w,
        look: Look,
        terminal: bool,
        quiet: bool,
        clock: Clock<'w>,
    ) -> Self {
        let (live, task, rows, last_loss) = (false, None, 0, None);
        Self {
            out: Box::new(out),
            look,
            terminal,
            quiet,
            clock,
            live,
            task,
            rows,
            last_loss,
        }
    }

    /// How text looks here.
    pub fn look(&self) -> Look {
        self.look
    }

    fn line(&mut self, line: &str) {
        self.clear();
        let _ = writeln!(self.out, "{}", line.trim_end());
    }

    /// Takes a live progress line off the terminal, so that other output starts in column 1.
    pub fn clear(&mut self) {
        if self.live {
            let _ = write!(self.out, "\r{}\r", " ".repeat(WIDTH - 1));
            let _ = self.out.flush();
            self.live = false;
        }
    }

    /// A remark; nothing under `--quiet`.
    pub fn note(&mut self, text: &str) {
        if !self.quiet {
            let text = self.look.paint(Meaning::Muted, &self.look.text(text));
            self.line(&text);
        }
    }

    /// A note with a name in front: `device    cpu (this build has no GPU backend)`.
    pub fn fact(&mut self, name: &str, value: &str) {
        self.note(&format!("{}{value}", left(name, 10)));
    }

    /// The resolved settings of a run as two columns, before it starts.
    pub fn settings(&mut self, rows: &[(&str, String)]) {
        let columns = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0) + 2;
        for (name, value) in rows {
            self.note(&format!("  {}{value}", left(name, columns)));
        }
    }

    /// Something to look at that does not stop the program.
    pub fn warn(&mut self, text: &str) {
        let word = self.look.paint(Meaning::Warn, "warning:");
        let text = self.look.text(text).into_owned();
        self.line(&format!("{word} {text}"));
    }

    /// What stopped the program, in one line, and the command that helps.
    pub fn error(&mut self, message: &str, hint: Option<&str>) {
        let word = self.look.paint(Meaning::Bad, "error:");
        let message = self.look.text(message).into_owned();
        self.line(&format!("{word} {message}"));
        if let Some(hint) = hint {
            let word = self.look.paint(Meaning::Accent, "hint:");
            let hint = self.look.text(hint).into_owned();
            self.line(&format!("{word} {hint}"));
        }
    }

    /// Shows `done` of `total`: a rewritten line with a bar and the time left on a terminal, a line
    /// every ten seconds elsewhere. The first call with a new `name` starts its clock.
    pub fn progress(&mut self, name: &str, done: u64, total: u64) {
        if self.quiet {
            return;
        }
        let now = (self.clock)();
        let (started, drawn) = match &self.task {
            Some((task, started, drawn)) if task == name => (*started, Some(*drawn)),
            _ => (now, None),
        };
        let pause = if self.terminal { REDRAW } else { SPARSE };
        let due = match drawn {
            None => self.terminal,
            Some(drawn) => now.saturating_sub(drawn) >= pause,
        };
        let finished = done >= total;
        if due || (finished && self.terminal) {
            self.draw(name, (done, total), now.saturating_sub(started));
        }
        let drawn = if due { now } else { drawn.unwrap_or(now) };
        self.task = (!finished).then(|| (name.to_owned(), started, drawn));
        if finished {
            self.clear();
        }
    }

    fn draw(&mut self, name: &str, (done, total): (u64, u64), elapsed: Duration) {
        const BAR: usize = 24;
        let share = if total == 0 {
            1.0
        } else {
            (done as f64 / total as f64).min(1.0)
        };
        let left_over = match done {
            0 => String::new(),
            _ => {
                let seconds = elapsed.as_secs_f64() * (1.0 - share) / share.max(f64::EPSILON);
                let seconds = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
                format!("eta {}", duration(seconds))
            }
        };
        let counts = format!("{}/{}", count(done), count(total));
        let name = self.look.text(name).into_owned();
        if !self.terminal {
            self.line(&format!("{name}  {counts}  {left_over}"));
            return;
        }
        let filled = (share * BAR as f64) as usize;
        let bar = self.look.glyph("█", "#").repeat(filled)
            + &self.look.glyph("░", ".").repeat(BAR - filled);
        let line = clip(
            self.look,
            &format!("{name}  {bar}  {counts}  {left_over}"),
            WIDTH - 1,
        );
        let _ = write!(self.out, "\r{}", left(&line, WIDTH - 1));
        let _ = self.out.flush();
        self.live = true;
    }

    /// A row of the training log, under its header at the start and after every 20 rows.
    pub fn training_row(&mut self, row: &TrainingRow) {
        if self.quiet {
            return;
        }
        if self.rows.is_multiple_of(ROWS_PER_HEADER) {
            let header = format!(
                "{:>6}  {:>6}  {:>7}  {:>7}  {:>6}  {:>7}  {:>6}",
                "step", "loss", "val", "lr", "grad", "tok/s", "eta"
            );
            let header = self.look.paint(Meaning::Muted, &header);
            self.line(&header);
        }
        let trend = match self.last_loss {
            Some(last) if row.loss < last => {
                self.look.paint(Meaning::Good, self.look.glyph("▼", "v"))
            }
            Some(last) if row.loss > last => {
                self.look.paint(Meaning::Warn, self.look.glyph("▲", "^"))
            }
            _ => " ".into(),
        };
        let none = self.look.glyph("–", "-");
        let val = row
            .val
            .map_or_else(|| none.to_owned(), |val| format!("{val:.4}"));
        let rate = match row.tokens_per_second.max(0.0) as u64 {
            0 => none.to_owned(),
            rate => count(rate),
        };
        let eta = row.eta.map_or_else(|| none.to_owned(), duration);
        let line = format!(
            "{:>6}  {:>6.4} {trend} {val:>6}  {:>7}  {:>6.3}  {:>7}  {eta:>6}",
            row.step,
            row.loss,
            scientific(row.lr, 1),
            row.grad,
            rate,
        );
        self.line(&line);
        self.rows += 1;
        self.last_loss = Some(row.loss);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn weather(
        terminal: bool,
        quiet: bool,
        write: impl FnOnce(&mut Weather, &Cell<u64>),
    ) -> String {
        let mut out = Vec::new();
        let now = Cell::new(0);
        let clock = || Duration::from_secs(now.get());
        let mut weather = Weather::new(&mut out, Look::default(), terminal, quiet, Box::new(clock));
        write(&mut weather, &now);
        drop(weather);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_terminal_rewrites_one_line_and_clears_it() {
        let text = weather(true, false, |weather, now| {
            weather.progress("train", 0, 4);
            now.set(10);
            weather.progress("train", 1, 4);
            weather.note("between");
            now.set(20);
            weather.progress("train", 4, 4);
        });
        assert!(
            text.contains("train  ██████░░░░░░░░░░░░░░░░░░  1/4  eta 30s"),
            "{text:?}"
        );
        assert_eq!(text.matches('\n').count(), 1);
        assert!(
            text.contains("\rbetween\n") && text.ends_with('\r'),
            "{text:?}"
        );
    }

    #[test]
    fn a_file_gets_a_line_every_ten_seconds() {
        let text = weather(false, false, |weather, now| {
            for step in 0..=25 {
                now.set(step);
                weather.progress("train", step, 100);
            }
        });
        assert_eq!(text, "train  10/100  eta 1m30s\ntrain  20/100  eta 1m20s\n");
    }

    #[test]
    fn quiet_keeps_warnings_and_errors_only() {
        let text = weather(true, true, |weather, _| {
            weather.progress("train", 1, 2);
            weather.note("device");
            weather.training_row(&TrainingRow::default());
            weather.warn("old file");
            weather.error("no model", Some("deeper train"));
        });
        assert_eq!(
            text,
            "warning: old file\nerror: no model\nhint: deeper train\n"
        );
    }

    #[test]
    fn the_training_log_repeats_its_header_and_shows_the_trend() {
        let text = weather(false, false, |weather, _| {
            for step in 0..21_u64 {
                let eta = Some(Duration::from_secs(130));
                let loss = 2.5 - step as f64 / 10.0;
                let row = TrainingRow {
                    step,
                    loss,
                    lr: 3e-4,
                    grad: 0.812,
                    eta,
                    ..Default::default()
                };
                weather.training_row(&TrainingRow {
                    tokens_per_second: 18_240.0,
                    ..row
                });
            }
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 23);
        assert_eq!(lines[0], lines[21]);
        assert_eq!(
            lines[0],
            "  step    loss      val       lr    grad    tok/s     eta"
        );
        assert_eq!(
            lines[2],
            "     1  2.4000 ▼      –  3.0e-04   0.812   18,240   2m10s"
        );
    }
}
