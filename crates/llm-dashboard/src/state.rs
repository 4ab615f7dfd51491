//! What a dashboard shows.

use std::time::Duration;

/// Rows of the log that are kept; older ones are thinned to every second one.
const MOST_ROWS: usize = 4000;
/// Warnings and samples that are kept.
const MOST_LINES: usize = 50;

/// One row of the training log.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row {
    /// Optimizer steps done.
    pub step: u64,
    /// The training loss.
    pub loss: f64,
    /// The held-out loss, where it was measured.
    pub val: Option<f64>,
    /// The learning rate.
    pub lr: f64,
    /// The gradient norm before clipping.
    pub grad: f64,
    /// Tokens each second.
    pub tokens_per_second: f64,
    /// The time left.
    pub eta: Option<Duration>,
}

/// An answer to a held-out prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The prompt.
    pub prompt: String,
    /// The model's answer.
    pub answer: String,
}

/// A run as a dashboard shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The run's name.
    pub name: String,
    /// Where it computes and in which numbers.
    pub device: String,
    /// What it does now: `training`, `measuring`.
    pub stage: String,
    /// Optimizer steps done.
    pub step: u64,
    /// Steps of the whole run; 0 while it is not known.
    pub total: u64,
    /// The log so far.
    pub rows: Vec<Row>,
    /// Warnings, the newest last.
    pub warnings: Vec<String>,
    /// Answers, the newest last.
    pub samples: Vec<Sample>,
    /// Bytes of the process in memory.
    pub memory: Option<u64>,
    /// Bytes that it may have.
    pub memory_limit: Option<u64>,
    /// Processor time over time in percent; 100 is one core.
    pub cpu_percent: Option<f64>,
    /// The share of the time that goes into input.
    pub input_share: Option<f64>,
    /// Whether someone asked the run to stop.
    pub stopping: bool,
}

impl State {
    /// A run that has not begun.
    pub fn new(name: impl Into<String>, device: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            device: device.into(),
            stage: "starting".into(),
            ..Self::default()
        }
    }

    /// Adds a row of the log.
    pub fn log(&mut self, row: Row) {
        self.step = self.step.max(row.step);
        if self.rows.len() >= MOST_ROWS {
            let mut index = 0;
            // Held-out losses are few and stay.
            self.rows.retain(|row| {
                index += 1;
                index % 2 == 0 || row.val.is_some()
            });
        }
        self.rows.push(row);
    }

    /// Adds a warning.
    pub fn warn(&mut self, text: impl Into<String>) {
        push(&mut self.warnings, text.into());
    }

    /// Adds an answer.
    pub fn sample(&mut self, prompt: impl Into<String>, answer: impl Into<String>) {
        let (prompt, answer) = (prompt.into(), answer.into());
        push(&mut self.samples, Sample { prompt, answer });
    }

    /// The share of the run that is done, 0 to 1.
    pub fn share(&self) -> f64 {
        match self.total {
            0 => 0.0,
            total => (self.step as f64 / total as f64).min(1.0),
        }
    }
}

fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() >= MOST_LINES {
        list.remove(0);
    }
    list.push(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_stays_small_and_keeps_its_evaluations() {
        let mut state = State::new("x", "cpu");
        for step in 1..=100_000_u64 {
            let val = step.is_multiple_of(1000).then_some(1.0);
            state.log(Row {
                step,
                val,
                ..Row::default()
            });
            state.warn("w");
        }
        assert!(state.rows.len() <= MOST_ROWS, "{}", state.rows.len());
        assert_eq!(
            state.rows.iter().filter(|row| row.val.is_some()).count(),
            100
        );
        assert_eq!(state.rows.last().map(|row| row.step), Some(100_000));
        assert!(state.rows.is_sorted_by_key(|row| row.step));
        assert_eq!((state.warnings.len(), state.step), (MOST_LINES, 100_000));
    }

    #[test]
    fn the_share_needs_a_total() {
        let mut state = State::new("x", "cpu");
        state.step = 5;
        assert_eq!(state.share(), 0.0);
        state.total = 20;
        assert_eq!(state.share(), 0.25);
        state.step = 30;
        assert_eq!(state.share(), 1.0);
    }
}
