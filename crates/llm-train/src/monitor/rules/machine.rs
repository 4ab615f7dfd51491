//! Rules on speed and memory.

use std::collections::VecDeque;

use super::super::system::SystemRow;
use super::{Rule, median};

/// Rows whose speed is the usual one.
const RECENT: usize = 20;
/// Fewer rows say nothing about what is usual.
const FEWEST: usize = 5;
/// Rows in a row before a rule on speed speaks: one may be an accident.
const LASTING: usize = 3;
/// Below this share of the usual speed a run has slowed down.
const SLOW: f64 = 0.5;
/// The speed of a shorter row is as much the system's as the run's.
const LEAST_SECONDS: f64 = 1.0;
/// Above this share of the time, input keeps the run waiting.
const WAITING: f64 = 0.3;
/// Above this share of the memory, the next batch may be the last.
const FULL: f64 = 0.9;

/// What the rules on the machine remember.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    rates: VecDeque<f64>,
    slow: usize,
    waiting: usize,
}

impl Machine {
    /// What the speed of a row of so many seconds says.
    pub(super) fn rate(&mut self, rate: f64, seconds: f64) -> (Rule, Option<String>) {
        if seconds < LEAST_SECONDS {
            return (Rule::SlowDown, None);
        }
        let usual = median(self.rates.iter().copied());
        let slow = self.rates.len() >= FEWEST && rate < SLOW * usual;
        self.slow = if slow { self.slow + 1 } else { 0 };
        // A slow row is not the usual, or the usual would follow it down.
        if !slow {
            self.rates.push_back(rate);
            if self.rates.len() > RECENT {
                self.rates.pop_front();
            }
        }
        let message = (self.slow >= LASTING)
            .then(|| format!("{rate:.0} tokens a second, usually {usual:.0}"));
        (Rule::SlowDown, message)
    }

    /// What the system's numbers say.
    pub(super) fn system(&mut self, row: &SystemRow) -> Vec<(Rule, Option<String>)> {
        let share = row.input_share.unwrap_or(0.0);
        // A row with an evaluation in it, which needs no input, does not end an episode.
        self.waiting = if share > WAITING {
            (self.waiting + 1).min(2 * LASTING)
        } else {
            self.waiting.saturating_sub(1)
        };
        let waits = (self.waiting >= LASTING).then(|| {
            format!(
                "{:.0} % of the time goes into reading and batching",
                100.0 * share
            )
        });
        let full = row
            .memory_bytes
            .zip(row.memory_limit)
            .filter(|&(used, limit)| used as f64 > FULL * limit as f64)
            .map(|(used, limit)| {
                let [used, limit] = [used, limit].map(|bytes| bytes as f64 / f64::from(1 << 20));
                format!("{used:.0} of {limit:.0} MiB of memory are taken")
            });
        vec![(Rule::SlowInput, waits), (Rule::Memory, full)]
    }
}
