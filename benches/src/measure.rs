//! Times and memory of this process.

use std::time::Instant;

pub use llm_train::monitor::system::peak_memory;

use crate::{Result, Workload};

/// Milliseconds of each run, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times(pub Vec<f64>);

impl Times {
    /// Runs `work` `warm_up` times without and `runs` times with the clock.
    ///
    /// # Errors
    /// What the work reports.
    pub fn of(work: &mut (impl Workload + ?Sized), warm_up: usize, runs: usize) -> Result<Self> {
        for _ in 0..warm_up {
            work.run()?;
        }
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs {
            let start = Instant::now();
            work.run()?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(Self(times))
    }

    /// The fastest run, the least disturbed one; NaN without runs.
    pub fn minimum(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    /// The run in the middle; NaN without runs.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n.is_multiple_of(2) => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
            n => sorted[n / 2],
        }
    }
}

/// How much of something a second, when it takes `milliseconds`.
pub fn per_second(amount: u64, milliseconds: f64) -> f64 {
    amount as f64 / milliseconds * 1e3
}

/// Pages that the system had to give to this process so far; `None` where it does not say.
pub fn page_faults() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold spaces; `minflt` is the eighth field after it.
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(7)?
        .parse()
        .ok()
}

/// The processor's name; `None` where the system does not say.
pub fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
