//! `deeper report`: a run as one page of HTML.

mod html;
mod sections;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use llm_show::LookArgs;
use llm_train::monitor::record::Record;

/// The page's name in the run's folder.
const FILE: &str = "report.html";

/// Write a run's report again: one page of HTML that needs nothing else.
#[derive(Args, Debug)]
#[command(
    after_help = "`deeper train` writes it when a run ends. It holds faults and warnings, results, \
curves, answers, data, settings and machine; no scripts, nothing from elsewhere.\n\nFiles written: \
report.html in the run's folder, or --out.\n\nExamples:\n  deeper report\n  deeper report \
output_models/runs/latest --out report.html"
)]
pub(crate) struct ReportArgs {
    /// Plain text, colour, quiet.
    #[command(flatten)]
    pub look: LookArgs,
    /// The run's folder
    #[arg(value_name = "RUN", default_value = "output_models/runs/latest")]
    run: PathBuf,
    /// Where to write it instead
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    let path = write(&args.run, args.out.as_deref())?;
    let mut screen = llm_show::stdout_screen(&args.look);
    screen.line(&path.display().to_string());
    Ok(screen.finish()?)
}

/// Writes the report of the run in `folder`; where it is.
pub(crate) fn write(folder: &Path, out: Option<&Path>) -> Result<PathBuf> {
    let record = Record::read(folder)?;
    let path = out.map_or_else(|| folder.join(FILE), Path::to_path_buf);
    llm_store::atomic::write_file(&path, sections::page(&record).as_bytes())?;
    Ok(path)
}
