//! `deeper data dedup`: the first of each row.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use llm_show::number::{count, percent};
use llm_show::{Cell, Table};
use llm_train::quality::Kind;
use llm_train::quality::dedup::{Dropped, Plan, Reason, Same, plan};
use serde_json::{Value, json};

use super::Shared;

/// Keep the first of each row, and say what was dropped
///
/// Prompt and answer count together: one question with two answers stays twice. Lines are copied as
/// they are.
#[derive(Args, Debug)]
#[command(
    after_help = "Files written:\n  FILE.jsonl with the rows that stay, FILE.dropped.jsonl with \
the others: path, line, of_path, of_line, why and the row\n\nExamples:\n  \
deeper data dedup --data 'data/*.jsonl' --out clean.jsonl\n  \
deeper data dedup --data all.jsonl --out clean.jsonl --same exact --near 0.9"
)]
pub(super) struct DedupArgs {
    #[command(flatten)]
    pub(super) shared: Shared,
    /// Where the rows go that stay
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The loosest way in which rows are the same
    #[arg(long, value_enum, default_value = "nfkc", value_name = "KIND")]
    same: SameKind,
    /// Drop rows that are nearly the same too, from this share of word runs on, above 0 to 1
    #[arg(long, value_name = "F", num_args = 0..=1, default_missing_value = "0.8",
        value_parser = threshold)]
    near: Option<f64>,
    /// Replace the files
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SameKind {
    /// Character by character
    Exact,
    /// But for case
    Case,
    /// But for case and white space
    Whitespace,
    /// But for case, white space and how Unicode writes the same
    Nfkc,
}

impl SameKind {
    fn kind(self) -> Kind {
        match self {
            Self::Exact => Kind::Exact,
            Self::Case => Kind::Case,
            Self::Whitespace => Kind::Whitespace,
            Self::Nfkc => Kind::Nfkc,
        }
    }
}

/// A share above 0.
pub(super) fn threshold(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|share| *share > 0.0 && *share <= 1.0)
        .ok_or_else(|| "expected a number above 0 and up to 1".into())
}

pub(super) fn run(args: &DedupArgs) -> Result<()> {
    let inputs = super::line_inputs(&args.shared)?;
    let side = args.out.with_extension("dropped.jsonl");
    for file in [&args.out, &side] {
        super::writable(file, &inputs, args.force)?;
    }
    let mut weather = llm_show::stderr_weather(&args.shared.look);
    let same = Same {
        kind: args.same.kind(),
        near: args.near,
    };
    let plan = plan(&inputs, same, &mut super::progress(&mut weather))?;
    let mut next = plan.dropped.iter().peekable();
    super::write_lines(&side, &inputs, |row, entry| {
        let dropped = next.next_if(|dropped| dropped.row == row);
        Ok(dropped.map(|dropped| line(dropped, &entry.raw).to_string().into_bytes()))
    })?;
    let mut next = plan.dropped.iter().peekable();
    let kept = super::write_lines(&args.out, &inputs, |row, entry| {
        let dropped = next.next_if(|dropped| dropped.row == row);
        Ok(dropped.is_none().then(|| entry.raw.clone()))
    })?;
    weather.fact("kept", &args.out.display().to_string());
    weather.fact("dropped", &side.display().to_string());
    show(args, &plan, kept)
}

/// A line of the side file.
fn line(dropped: &Dropped, raw: &[u8]) -> Value {
    let why = match dropped.reason {
        Reason::Equal(kind) => json!(kind.as_str()),
        Reason::Near(jaccard) => json!(jaccard),
    };
    let path = |path: &Path| path.display().to_string();
    let row = serde_json::from_slice::<Value>(raw).unwrap_or_default();
    json!({
        "path": path(&dropped.at.path),
        "line": dropped.at.line,
        "of_path": path(&dropped.of.path),
        "of_line": dropped.of.line,
        "why": why,
        "row": row,
    })
}

fn show(args: &DedupArgs, plan: &Plan, kept: usize) -> Result<()> {
    let share = |rows: usize| Cell::number(percent(rows as f64 / plan.rows as f64));
    let mut table = Table::new(&["rows", "count", "share"]);
    for kind in Kind::ALL {
        let equal = |dropped: &&Dropped| dropped.reason == Reason::Equal(kind);
        let rows = plan.dropped.iter().filter(equal).count();
        if rows > 0 {
            let name = format!("the same ({})", kind.as_str());
            table.row([name.into(), rows.into(), share(rows)]);
        }
    }
    let near = |dropped: &&Dropped| matches!(dropped.reason, Reason::Near(_));
    let rows = plan.dropped.iter().filter(near).count();
    if rows > 0 {
        table.row(["nearly the same".into(), rows.into(), share(rows)]);
    }
    table.row(["kept".into(), kept.into(), share(kept)]);
    let mut screen = llm_show::stdout_screen(&args.shared.look);
    screen.line(&format!("{} rows", count(plan.rows as u64)));
    screen.show(&table);
    Ok(screen.finish()?)
}
