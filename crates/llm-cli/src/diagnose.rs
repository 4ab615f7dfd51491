//! `deeper diagnose`: the name of what went wrong in a run.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use llm_show::look::{WIDTH, wrap};
use llm_show::{LookArgs, Screen};
use llm_train::monitor::diagnose::{Diagnosis, diagnose};
use llm_train::monitor::record::Record;

/// Name the faults of a training run from its files, with evidence and remedy.
#[derive(Args, Debug)]
#[command(
    after_help = "Looks at the run's checks, log, warnings, machine and failure. `deeper train \
--sabotage FAULT` plants a fault to try it on.\n\nExit codes: 0 no fault found, 1 a fault, 2 no folder \
of a run.\n\nExamples:\n  deeper diagnose\n  deeper diagnose output_models/runs/latest --json"
)]
pub(crate) struct DiagnoseArgs {
    /// Plain text, colour, quiet.
    #[command(flatten)]
    pub look: LookArgs,
    /// The run's folder
    #[arg(value_name = "RUN", default_value = "output_models/runs/latest")]
    run: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DiagnoseArgs) -> Result<u8> {
    let diagnosis = diagnose(&Record::read(&args.run)?);
    let mut screen = llm_show::stdout_screen(&args.look);
    if args.json {
        screen.line(&serde_json::to_string_pretty(&diagnosis)?);
    } else {
        show(&mut screen, &diagnosis);
    }
    screen.finish()?;
    Ok(u8::from(!diagnosis.healthy))
}

fn show(screen: &mut Screen, diagnosis: &Diagnosis) {
    say(screen, "run", &diagnosis.run);
    for finding in &diagnosis.findings {
        screen.line("");
        say(screen, "fault", &finding.fault);
        for evidence in &finding.evidence {
            say(screen, "evidence", evidence);
        }
        say(screen, "remedy", &finding.remedy);
    }
    if diagnosis.healthy {
        screen.line("");
        say(screen, "healthy", "no fault found");
    }
    screen.line("");
    for note in &diagnosis.notes {
        say(screen, "note", note);
    }
}

/// A name and a text, in as many lines as it needs.
fn say(screen: &mut Screen, name: &str, text: &str) {
    const NAME: usize = 10;
    let text = screen.look().text(text).into_owned();
    for (index, line) in wrap(&text, WIDTH - NAME).into_iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        screen.line(&format!("{name:<NAME$}{line}"));
    }
}
