//! How `deeper train` shows a run and what it leaves when the run ends: log or dashboard, planted
//! faults, `error.json` and the report.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use llm_dashboard::{Dashboard, Row, State};
use llm_show::Weather;
use llm_show::number::{count, duration};
use llm_train::finetune::Stage;
use llm_train::monitor::rules::Warning;
use llm_train::monitor::sabotage::{Fault, plant};
use llm_train::monitor::{News, checks, failure};
use llm_train::observe::{Event, Outcome};
use llm_train::runs::RunFolder;
use llm_train::session::Session;

use super::log::{self, LogForm};
use super::{TrainArgs, show_stage};

/// The names of all faults.
pub(super) fn fault_parser() -> impl TypedValueParser<Value = Fault> {
    let names = PossibleValuesParser::new(Fault::ALL.map(Fault::name));
    names.try_map(|name| name.parse::<Fault>().map_err(|error| error.to_string()))
}

/// The names of all checks.
pub(super) fn check_parser() -> PossibleValuesParser {
    PossibleValuesParser::new(checks::NAMES)
}

/// Plants the fault that was asked for, and notes which checks may fail.
pub(super) fn plan(session: &mut Session, fault: Option<Fault>, allow: &[String]) -> Result<()> {
    session.monitor.allow = allow.to_vec();
    if let Some(fault) = fault {
        plant(session, fault)?;
        let planted = format!("the fault `{}` is planted in this run", fault.name());
        session.warnings.push(planted);
    }
    Ok(())
}

/// Where a run is seen.
pub(super) enum View<'v, 'w> {
    /// As a log on stderr.
    Log {
        weather: &'v mut Weather<'w>,
        form: LogForm,
        total: u64,
    },
    /// Live on the whole terminal; warnings go to the weather when it closes.
    Live {
        weather: &'v mut Weather<'w>,
        dashboard: Dashboard,
        warnings: Vec<String>,
        outcome: Option<Outcome>,
    },
}

impl<'v, 'w> View<'v, 'w> {
    /// The dashboard where it was asked for and can be shown, else the log.
    pub(super) fn open(
        args: &TrainArgs,
        session: &Session,
        folder: &RunFolder,
        stop: &Arc<AtomicBool>,
        weather: &'v mut Weather<'w>,
    ) -> Self {
        let terminal = std::io::stderr().is_terminal() && std::io::stdin().is_terminal();
        let look = weather.look();
        let asked = args.dashboard && !args.look.quiet;
        if asked && terminal && !look.ascii {
            let name = folder.path.file_name().unwrap_or(folder.path.as_os_str());
            let dtype = session.model.dtype().as_str();
            let device = format!("{:?}, {dtype}", session.device().location()).to_lowercase();
            let state = State::new(name.to_string_lossy(), device);
            match Dashboard::open(state, Arc::clone(stop), look.color) {
                Ok(dashboard) => {
                    return Self::Live {
                        weather,
                        dashboard,
                        warnings: Vec::new(),
                        outcome: None,
                    };
                }
                Err(error) => weather.warn(&format!("no dashboard: {error}")),
            }
        } else if asked {
            weather.note("no dashboard: it needs a terminal and no --plain");
        }
        Self::Log {
            weather,
            form: args.log,
            total: 0,
        }
    }

    /// An event of the loop.
    pub(super) fn event(&mut self, event: &Event) {
        match self {
            Self::Log {
                weather,
                form,
                total,
            } => show(weather, *form, total, event),
            Self::Live {
                dashboard, outcome, ..
            } => {
                if let Event::Ended(ended) = event {
                    *outcome = Some(ended.clone());
                }
                dashboard.update(|state| take(state, event));
            }
        }
    }

    /// A stage between loops.
    pub(super) fn stage(&mut self, stage: &Stage) {
        match self {
            Self::Log { weather, .. } => show_stage(weather, stage),
            Self::Live { dashboard, .. } => dashboard.update(|state| take_stage(state, stage)),
        }
    }

    /// What the monitor has seen.
    pub(super) fn news(&mut self, news: &News) {
        match (self, news) {
            (Self::Log { weather, .. }, News::Warning(warning)) => {
                weather.warn(&sentence(warning));
            }
            (Self::Log { .. }, News::System(_)) => {}
            (
                Self::Live {
                    dashboard,
                    warnings,
                    ..
                },
                News::Warning(warning),
            ) => {
                let text = sentence(warning);
                dashboard.update(|state| state.warn(text.clone()));
                warnings.push(text);
            }
            (Self::Live { dashboard, .. }, News::System(row)) => dashboard.update(|state| {
                state.memory = row.memory_bytes;
                state.memory_limit = row.memory_limit;
                state.cpu_percent = row.cpu_percent;
                state.input_share = row.input_share;
            }),
        }
    }

    /// Gives the terminal back, and says what would have been lost with it.
    pub(super) fn close(self) {
        let Self::Live {
            weather,
            dashboard,
            warnings,
            outcome,
        } = self
        else {
            return;
        };
        if let Err(error) = dashboard.close() {
            weather.warn(&format!("the dashboard stopped: {error}"));
        }
        warnings.iter().for_each(|text| weather.warn(text));
        if let Some(outcome) = outcome {
            ended(weather, &outcome);
        }
    }
}

fn sentence(warning: &Warning) -> String {
    format!(
        "step {}: {}; {}",
        warning.step, warning.message, warning.hint
    )
}

fn show(weather: &mut Weather, form: LogForm, total: &mut u64, event: &Event) {
    match event {
        Event::Started { step, total_steps } => {
            *total = *total_steps;
            if *step > 0 {
                weather.note(&format!("going on after step {}", count(*step)));
            }
        }
        Event::Stepped(report) => weather.progress("train", report.step, *total),
        Event::Logged(row) => log::show(weather, row, form),
        Event::Saved { path, .. } => weather.note(&format!("saved {}", path.display())),
        Event::Sampled { .. } | Event::Saving { .. } => {}
        Event::Ended(outcome) => ended(weather, outcome),
    }
}

fn ended(weather: &mut Weather, outcome: &Outcome) {
    let time = Duration::try_from_secs_f64(outcome.seconds).unwrap_or_default();
    weather.note(&format!(
        "{} steps in {}",
        count(outcome.steps),
        duration(time)
    ));
}

fn take(state: &mut State, event: &Event) {
    match event {
        Event::Started { step, total_steps } => {
            state.step = *step;
            state.total = *total_steps;
            state.stage = "training".into();
        }
        Event::Stepped(report) => state.step = report.step,
        Event::Logged(row) => state.log(Row {
            step: row.step,
            loss: row.loss,
            val: row.val,
            lr: row.lr,
            grad: row.grad,
            tokens_per_second: row.tokens_per_second,
            eta: Duration::try_from_secs_f64(row.eta_seconds).ok(),
        }),
        Event::Sampled { samples, .. } => {
            let each = samples.iter();
            each.for_each(|sample| state.sample(sample.prompt.as_str(), sample.text.as_str()));
        }
        _ => {}
    }
}

fn take_stage(state: &mut State, stage: &Stage) {
    match stage {
        Stage::Answered(done, all, _, answer) => {
            state.stage = format!("answering {done}/{all}");
            state.sample(answer.prompt.as_str(), answer.answer.as_str());
        }
        Stage::Audited(_) => state.stage = "checked".into(),
        Stage::Measuring(_) => state.stage = "measuring".into(),
        Stage::Training => state.stage = "training".into(),
        Stage::Saving => state.stage = "saving".into(),
    }
}

/// Leaves in the run's folder why it failed, and its report. The result of the run does not hang
/// on either, so a refusal is a warning.
pub(super) fn finish(folder: &RunFolder, weather: &mut Weather, error: Option<&anyhow::Error>) {
    let ours = error.and_then(|error| error.downcast_ref::<llm_train::Error>());
    if let Some(error) = ours
        && let Err(refusal) = failure::record(folder, error)
    {
        weather.warn(&refusal.to_string());
    }
    match crate::report::write(&folder.path, None) {
        Ok(path) => weather.fact("report", &path.display().to_string()),
        Err(refusal) => weather.warn(&format!("no report: {refusal}")),
    }
    if ours.is_some_and(|error| matches!(error.exit_code(), 1 | 4)) {
        let folder = folder.path.display();
        weather.note(&format!("deeper diagnose {folder} says more"));
    }
}
