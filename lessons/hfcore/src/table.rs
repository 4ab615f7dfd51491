//! Ways of fine-tuning measured beside each other on the same rows: a process for each, so that the
//! peak of memory is its own.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use llm_show::number::{bytes, count, rate};
use llm_show::{Cell, Complaint, Screen, Table, ToolArgs, Weather};
use llm_train::config::{Method, TrainConfig};
use llm_train::finetune::{BeforeAfter, Measure};
use llm_train::monitor::system::peak_memory;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tuning::{MAX_NEW_TOKENS, TuneArgs, Way, tune};

/// What one way cost and brought, as its process reports it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The way: a value of the settings' `method`.
    pub method: String,
    /// Parameters that trained.
    pub trained: usize,
    /// Parameters of model and adapter.
    pub total: usize,
    /// The most memory of the process, loading and measuring included.
    pub peak_bytes: Option<u64>,
    /// The median speed of training.
    pub tokens_per_second: f64,
    /// The whole process.
    pub seconds: f64,
    /// Bytes of the result on the disk.
    pub stored_bytes: u64,
    /// Nats a token on the held-out rows.
    pub loss: Option<Difference>,
    /// The share of held-out questions that were answered exactly.
    pub exact_match: Option<Difference>,
}

/// A number of the tuned model, and its difference to the base with a 95 % interval over the rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The tuned model's.
    pub value: f64,
    /// The lower end of the difference.
    pub low: f64,
    /// The upper end of the difference.
    pub high: f64,
}

impl From<BeforeAfter> for Difference {
    fn from(pair: BeforeAfter) -> Self {
        let BeforeAfter { after, difference, .. } = pair;
        Self { value: after, low: difference.low, high: difference.high }
    }
}

/// The way called `name`, a value of the settings' key `method`.
///
/// # Errors
/// A name that is none.
pub fn method(name: &str) -> Result<Method> {
    serde_json::from_value(Value::String(name.to_owned())).map_err(|error| {
        let problem = format!("--methods: {error}");
        Complaint::new(problem).hint("--methods full,lora").into()
    })
}

/// Trains in this process in the way called `name`, and measures it.
///
/// # Errors
/// As [`tune`].
pub fn measure(
    args: &TuneArgs,
    (tool, quick): (&ToolArgs, bool),
    name: &str,
    weather: &mut Weather,
) -> Result<Measured> {
    let start = Instant::now();
    let way = Way { name: &format!("table-{name}"), method: method(name)? };
    let session = args.open(way, tool, quick, no_dropout)?;
    let measure = Measure { answers: usize::MAX, max_new_tokens: MAX_NEW_TOKENS };
    let tuned = tune(&session, measure, weather)?;
    let mut speeds = tuned.tokens_per_second;
    speeds.sort_by(f64::total_cmp);
    let report = tuned.report;
    Ok(Measured {
        method: name.to_owned(),
        trained: report.trainable,
        total: report.total,
        peak_bytes: peak_memory(),
        tokens_per_second: speeds.get(speeds.len() / 2).copied().unwrap_or(0.0),
        seconds: start.elapsed().as_secs_f64(),
        stored_bytes: weights_in(&tuned.run.model())?,
        loss: report.loss.map(Difference::from),
        exact_match: report.exact_match.map(Difference::from),
    })
}

/// The ways differ in what trains, and in nothing else.
fn no_dropout(config: &mut TrainConfig) {
    config.lora_dropout = 0.0;
}

/// Bytes of the weights in a result's folder.
fn weights_in(folder: &std::path::Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|end| end == "safetensors") {
            sum += entry.metadata()?.len();
        }
    }
    Ok(sum)
}

/// Runs this program again with `arguments` and `--only NAME`, and reads what it reports.
///
/// # Errors
/// A process that does not start, fails, or reports something else.
pub fn in_a_process(arguments: &[String], name: &str) -> Result<Measured> {
    let program = std::env::current_exe().context("this program's own path")?;
    let mut command = Command::new(program);
    command.args(arguments).args(["--only", name]).stdin(Stdio::null()).stdout(Stdio::piped());
    let child = command.spawn().context("a process for each way")?;
    let output = child.wait_with_output().context("a process for each way")?;
    if !output.status.success() {
        let code = output.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        let problem = format!("the process for {name} failed; its own message stands above");
        return Err(Complaint::new(problem).code(code).into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("the report of the process for {name}"))
}

/// The table of all ways, and what the columns mean.
pub fn show(screen: &mut Screen, rows: &[Measured]) {
    let mut table =
        Table::new(&["way", "trained", "of all", "stored", "peak memory", "speed", "seconds"]);
    for row in rows {
        let share = 100.0 * row.trained as f64 / row.total.max(1) as f64;
        table.row([
            row.method.as_str().into(),
            Cell::number(count(row.trained as u64)),
            Cell::number(format!("{share:.3} %")),
            Cell::number(bytes(row.stored_bytes)),
            Cell::number(row.peak_bytes.map_or_else(|| "–".into(), bytes)),
            Cell::number(rate(row.tokens_per_second)),
            Cell::number(format!("{:.1}", row.seconds)),
        ]);
    }
    screen.step("What each way costs: parameters, bytes on the disk and in memory, time");
    screen.show(&table);
    let mut table = Table::new(&["way", "held out", "value", "to the base, 95 % interval"]);
    for row in rows {
        let both = [("loss a token", row.loss), ("exact match", row.exact_match)];
        for (name, found) in both {
            let Some(Difference { value, low, high }) = found else { continue };
            let interval = format!("{low:+.4} to {high:+.4}");
            table.row([
                row.method.as_str().into(),
                name.into(),
                value.into(),
                Cell::number(interval),
            ]);
        }
    }
    screen.step("What each way brings, on the same held-out rows");
    screen.show(&table);
}

/// The arguments that a process for one way gets: all but the list of ways.
pub fn for_a_process(all: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut all = all.into_iter();
    while let Some(argument) = all.next() {
        match argument.as_str() {
            "--methods" => {
                all.next();
            }
            text if text.starts_with("--methods=") => {}
            _ => kept.push(argument),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_gets_all_but_the_list() {
        let given = ["--quick", "--methods", "full,lora", "--model", "m", "--methods=lora"];
        let kept = for_a_process(given.map(str::to_owned));
        assert_eq!(kept, ["--quick", "--model", "m"]);
    }

    #[test]
    fn ways_are_the_methods_of_the_settings() {
        assert_eq!(method("full").unwrap(), Method::Full);
        assert_eq!(method("lora").unwrap(), Method::Lora);
        let error = method("none").unwrap_err().to_string();
        assert!(error.contains("lora") && error.contains("full"), "{error}");
    }
}
