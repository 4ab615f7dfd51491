//! `deeper data clean`: what can be mended by rule.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use llm_show::number::count;
use llm_train::quality::Mode;
use llm_train::quality::clean::clean_row;
use serde_json::Value;

use super::Shared;

/// Mend line ends, invisible characters, blanks and ways of writing the same
///
/// Prose is composed (NFKC) and its runs of blanks become one; line breaks, indentation and blocks
/// of code between fences stay. Code keeps its columns. Lines in which nothing changes are copied as
/// they are.
#[derive(Args, Debug)]
#[command(
    after_help = "Files written:\n  FILE.jsonl with every row\n\nExamples:\n  \
deeper data clean --data raw.jsonl --out clean.jsonl\n  \
deeper data clean --data snippets.jsonl --out clean.jsonl --mode code"
)]
pub(super) struct CleanArgs {
    #[command(flatten)]
    pub(super) shared: Shared,
    /// Where the rows go
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the texts are
    #[arg(long, value_enum, default_value = "prose", value_name = "MODE")]
    mode: CleanMode,
    /// Replace the file
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CleanMode {
    /// Sentences, lists, tables; code between fences
    Prose,
    /// Code and whatever else has columns
    Code,
}

pub(super) fn run(args: &CleanArgs) -> Result<()> {
    let inputs = super::line_inputs(&args.shared)?;
    super::writable(&args.out, &inputs, args.force)?;
    let mode = match args.mode {
        CleanMode::Prose => Mode::Prose,
        CleanMode::Code => Mode::Code,
    };
    let mut changed = 0_usize;
    let rows = super::write_lines(&args.out, &inputs, |_, entry| {
        entry.usable()?;
        let mut row: Value = serde_json::from_slice(&entry.raw).unwrap_or_default();
        if !clean_row(&mut row, mode) {
            return Ok(Some(entry.raw.clone()));
        }
        changed += 1;
        Ok(Some(row.to_string().into_bytes()))
    })?;
    let mut screen = llm_show::stdout_screen(&args.shared.look);
    screen.line(&format!(
        "{} of {} rows changed",
        count(changed as u64),
        count(rows as u64)
    ));
    Ok(screen.finish()?)
}
