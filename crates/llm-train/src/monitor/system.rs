//! What a run takes of its machine: memory, processor, page faults, and time spent on input.
//!
//! On Linux from `/proc`; elsewhere these fields are absent.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::input;

/// Clock ticks of a second in `/proc`: 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// One row of `system.jsonl`, beside the row of the log at the same step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SystemRow {
    /// Optimizer steps done.
    pub step: u64,
    /// Time since the last row.
    #[serde(default)]
    pub seconds: f64,
    /// Bytes of this process in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Bytes that it may have: the machine's memory or the control group's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<u64>,
    /// Processor time over time since the last row; 100 is one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Pages that the system gave since the last row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_faults: Option<u64>,
    /// Pages that had to come from a disk since the last row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_faults: Option<u64>,
    /// The share of the time since the last row that went into making batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_share: Option<f64>,
}

/// Counters of a process since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counters {
    page_faults: u64,
    disk_faults: u64,
    cpu_seconds: f64,
}

/// Reads the process's counters row by row.
#[derive(Debug)]
pub struct Probe {
    since: Instant,
    last: Option<Counters>,
    limit: Option<u64>,
}

impl Default for Probe {
    fn default() -> Self {
        input::take();
        Self {
            since: Instant::now(),
            last: counters(),
            limit: memory_limit(),
        }
    }
}

impl Probe {
    /// Takes `limit` bytes for all the memory there is.
    #[must_use]
    pub fn with_limit(self, limit: u64) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// The row of `step`: what was used since the last call.
    pub fn row(&mut self, step: u64) -> SystemRow {
        let seconds = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        let now = counters();
        let both = now.zip(self.last);
        self.last = now;
        let share = |part: f64| (seconds > 0.0).then(|| part / seconds);
        SystemRow {
            step,
            seconds,
            memory_bytes: memory(),
            memory_limit: self.limit,
            cpu_percent: both
                .and_then(|(now, last)| share(100.0 * (now.cpu_seconds - last.cpu_seconds))),
            page_faults: both.map(|(now, last)| now.page_faults.saturating_sub(last.page_faults)),
            disk_faults: both.map(|(now, last)| now.disk_faults.saturating_sub(last.disk_faults)),
            input_share: share(input::take().as_secs_f64()),
        }
    }
}

/// Bytes of this process in memory, where the system says so.
pub fn memory() -> Option<u64> {
    kilobytes(&text("/proc/self/status")?, "VmRSS:")
}

/// The most memory that this process has had so far, in bytes, where the system says so.
pub fn peak_memory() -> Option<u64> {
    kilobytes(&text("/proc/self/status")?, "VmHWM:")
}

/// The machine's memory, or less where a control group allows less.
fn memory_limit() -> Option<u64> {
    let machine = kilobytes(&text("/proc/meminfo")?, "MemTotal:")?;
    let group = text("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    Some(group.map_or(machine, |group: u64| group.min(machine)))
}

fn counters() -> Option<Counters> {
    parse_counters(&text("/proc/self/stat")?)
}

fn text(path: &str) -> Option<String> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    std::fs::read_to_string(path).ok()
}

/// The value of `key` in a file of lines `key  n kB`, in bytes.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    number.checked_mul(1024)
}

/// Fields 10, 12, 14 and 15 of `/proc/self/stat` (proc_pid_stat(5)). The second field, the
/// program's name, may hold spaces and parentheses, so fields are counted from its end.
fn parse_counters(stat: &str) -> Option<Counters> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Counters {
        page_faults: number(10)?,
        disk_faults: number(12)?,
        cpu_seconds: (number(14)? + number(15)?) as f64 / TICKS_PER_SECOND,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "12 (a) b)) S 1 2 3 4 5 6 777 8 9 10 250 50 0 0 20 0 1 0 9 9 9";
        let want = Counters {
            page_faults: 777,
            disk_faults: 9,
            cpu_seconds: 3.0,
        };
        assert_eq!(parse_counters(stat), Some(want));
        for bad in ["", "1 (x", "1 (x) S 1 2", "1 (x) S a b c d e f g h i j k l"] {
            assert_eq!(parse_counters(bad), None, "{bad}");
        }
        let status = "Name:\tx\nVmRSS:\t  2048 kB\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(2 << 20));
        assert_eq!(kilobytes("VmRSS: x kB", "VmRSS:"), None);
        assert_eq!(kilobytes("VmRSS: 99999999999999999999 kB", "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_its_row() {
        let mut probe = Probe::default().with_limit(1 << 40);
        let pages = vec![1u8; 8 << 20];
        let row = probe.row(3);
        assert_eq!((row.step, row.memory_limit), (3, Some(1 << 40)));
        assert!(row.input_share.is_none_or(|share| share < 0.5), "{row:?}");
        if cfg!(target_os = "linux") {
            let memory = row.memory_bytes.unwrap();
            assert!(memory > pages.len() as u64, "{row:?}");
            assert!(peak_memory().unwrap() >= memory.min(pages.len() as u64));
            assert!(row.cpu_percent.unwrap() >= 0.0 && row.page_faults.is_some());
        }
    }
}
