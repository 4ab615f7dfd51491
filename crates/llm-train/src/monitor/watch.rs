//! The observer that writes what a run leaves behind beside its log.

use std::path::PathBuf;
use std::time::SystemTime;

use super::failure;
use super::input;
use super::lines::JsonLines;
use super::record;
use super::rules::{Warning, Watch};
use super::sabotage::Fault;
use super::system::{Probe, SystemRow, memory};
use super::tensorboard::EventFile;
use crate::observe::{Event, LogRow, Observer};
use crate::runs::RunFolder;
use crate::session::Session;
use crate::{Error, Result};

/// What a [`Monitor`] tells its caller.
#[derive(Clone, Debug, PartialEq)]
pub enum News<'n> {
    /// A rule began to hold.
    Warning(&'n Warning),
    /// The machine at a row of the log.
    System(&'n SystemRow),
}

/// Writes event files, `system.jsonl` and `warnings.jsonl`, and tells its caller of them.
pub struct Monitor<'a> {
    events: EventFile,
    system: JsonLines,
    warnings: JsonLines,
    probe: Probe,
    watch: Watch,
    tell: Box<dyn FnMut(&News) + 'a>,
}

impl<'a> Monitor<'a> {
    /// Starts the run's files; `tell` hears of each warning and each row of the system.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn start(run: &RunFolder, session: &Session, tell: impl FnMut(&News) + 'a) -> Result<Self> {
        // A run that goes on is no failure any more.
        let failure = run.path.join(failure::FILE);
        if failure.exists() {
            std::fs::remove_file(&failure).map_err(Error::io(&failure))?;
        }
        let mut events = EventFile::create(&run.path.join("logs"), SystemTime::now())?;
        let config = quoted(&session.config.to_yaml()?);
        events.text(0, SystemTime::now(), "config", &format!("    {config}"))?;
        input::slow(session.monitor.fault == Some(Fault::SlowInput));
        let mut probe = Probe::default();
        if session.monitor.fault == Some(Fault::OutOfMemory) {
            probe = probe.with_limit(memory().unwrap_or(0));
        }
        Ok(Self {
            events,
            system: JsonLines::append(&run.path.join(record::SYSTEM))?,
            warnings: JsonLines::append(&run.path.join(record::WARNINGS))?,
            probe,
            watch: Watch::steps().of_method(session.config.method),
            tell: Box::new(tell),
        })
    }

    /// Where the event file is.
    pub fn event_file(&self) -> PathBuf {
        self.events.path().to_path_buf()
    }

    fn warn(&mut self, warnings: &[Warning]) -> Result<()> {
        for warning in warnings {
            self.warnings.push(warning)?;
            let text = format!("{}\n\n{}", warning.message, warning.hint);
            self.events
                .text(warning.step, SystemTime::now(), "warnings", &text)?;
            (self.tell)(&News::Warning(warning));
        }
        Ok(())
    }

    fn row(&mut self, row: &LogRow) -> Result<()> {
        let system = self.probe.row(row.step);
        self.system.push(&system)?;
        let mut values = columns(row);
        values.extend(
            row.measures
                .iter()
                .map(|(name, &mean)| (name.as_str(), mean)),
        );
        values.extend(system_columns(&system).map(|(name, x)| -> (&str, f64) { (name, x) }));
        self.events.scalars(row.step, SystemTime::now(), &values)?;
        (self.tell)(&News::System(&system));
        let mut warnings = self.watch.row(row);
        warnings.extend(self.watch.system(&system, row.tokens_per_second));
        self.warn(&warnings)
    }
}

impl Observer for Monitor<'_> {
    fn observe(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Stepped(report) => {
                let warnings = self.watch.step(report);
                self.warn(&warnings)
            }
            Event::Logged(row) => self.row(row),
            Event::Sampled { step, samples } => {
                let texts: Vec<String> = samples
                    .iter()
                    .map(|sample| {
                        format!(
                            "    {}\n    > {}",
                            quoted(&sample.prompt),
                            quoted(&sample.text)
                        )
                    })
                    .collect();
                self.events
                    .text(*step, SystemTime::now(), "samples", &texts.join("\n\n"))
            }
            _ => Ok(()),
        }
    }
}

/// A text as part of a block of code in Markdown, which four spaces make.
fn quoted(text: &str) -> String {
    text.replace('\n', "\n    ")
}

/// The columns of a row of the log under the names that TensorBoard shows.
fn columns(row: &LogRow) -> Vec<(&str, f64)> {
    let mut values = vec![
        ("loss", row.loss),
        ("lr", row.lr),
        ("grad_norm", row.grad),
        ("epoch", row.epoch),
        ("tokens_per_second", row.tokens_per_second),
    ];
    values.extend(row.val.map(|val| ("val", val)));
    values
}

fn system_columns(row: &SystemRow) -> impl Iterator<Item = (&'static str, f64)> {
    const MIB: f64 = 1024.0 * 1024.0;
    let memory = row.memory_bytes.map(|bytes| bytes as f64 / MIB);
    [
        ("system/memory_mib", memory),
        ("system/cpu_percent", row.cpu_percent),
        (
            "system/page_faults",
            row.page_faults.map(|count| count as f64),
        ),
        ("system/input_share", row.input_share),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}
