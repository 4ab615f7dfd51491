//! `deeper data split`: training, validation and test rows that share no question.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use llm_show::args::DEFAULT_SEED;
use llm_show::number::percent;
use llm_show::{Cell, Complaint, Table, Weather};
use llm_store::atomic::FolderWriter;
use llm_train::quality::Input;
use llm_train::quality::split::{PARTS, Plan, Shares, plan};

use super::{LineWriter, Shared};

/// A part whose share is off by more than this share of it is worth a warning.
const FAR: f64 = 0.2;

/// Divide rows into training, validation and test rows that share no question
///
/// A row's part follows from a hash of its question (or of the key --by), so that rows added later
/// move none. Lines are copied as they are.
#[derive(Args, Debug)]
#[command(
    after_help = "Files written:\n  DIR/train.jsonl, DIR/valid.jsonl and DIR/test.jsonl, all or \
none\n\nExamples:\n  deeper data split --data all.jsonl --out parts\n  \
deeper data split --data 'data/*.jsonl' --out parts --ratios 0.9,0.1 --by patient"
)]
pub(super) struct SplitArgs {
    #[command(flatten)]
    pub(super) shared: Shared,
    /// The folder to make
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Shares of train, valid and test; two or three that sum to 1
    #[arg(
        long,
        default_value = "0.8,0.1,0.1",
        value_delimiter = ',',
        value_name = "F,F,F"
    )]
    ratios: Vec<f64>,
    /// Rows with the same value of this key stay together, instead of those with the same question
    #[arg(long, value_name = "KEY")]
    by: Option<String>,
    /// One seed, one division
    #[arg(long, default_value_t = DEFAULT_SEED, value_name = "N")]
    seed: u64,
    /// Replace an earlier division
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &SplitArgs) -> Result<()> {
    let inputs = super::line_inputs(&args.shared)?;
    let shares = Shares::new(&args.ratios)?;
    replaceable(&args.out, &inputs, args.force)?;
    let mut weather = llm_show::stderr_weather(&args.shared.look);
    let by = args.by.as_deref();
    let plan = {
        let mut progress = super::progress(&mut weather);
        plan(&inputs, by, &shares, args.seed, &mut progress)?
    };
    write(&args.out, &inputs, &plan, args.ratios.len(), args.force)?;
    weather.fact("parts", &args.out.display().to_string());
    show(args, &shares, &plan, &mut weather)
}

/// Only an earlier division may be replaced, and never a folder that is read from.
fn replaceable(out: &Path, inputs: &[Input], force: bool) -> Result<()> {
    if !out.exists() {
        return Ok(());
    }
    let complain = |problem: String, hint: &str| -> Result<()> {
        let problem = format!("{}: {problem}", out.display());
        Err(Complaint::new(problem).hint(hint).into())
    };
    if !force {
        return complain(
            "exists, expected a new folder".into(),
            "--force replaces an earlier division; or name another folder",
        );
    }
    let names: Vec<String> = PARTS.iter().map(|part| format!("{part}.jsonl")).collect();
    let entries = std::fs::read_dir(out).map_err(llm_train::Error::io(out))?;
    for entry in entries {
        let name = entry.map_err(llm_train::Error::io(out))?.file_name();
        if !names.iter().any(|own| name == own.as_str()) {
            let problem = format!("holds {}, which is no part", name.to_string_lossy());
            return complain(problem, "name a folder that holds only parts");
        }
    }
    for input in inputs {
        let own = input
            .path
            .parent()
            .and_then(|folder| folder.canonicalize().ok());
        if own.is_some() && own == out.canonicalize().ok() {
            return complain("holds the data".into(), "name another folder");
        }
    }
    Ok(())
}

fn write(out: &Path, inputs: &[Input], plan: &Plan, parts: usize, force: bool) -> Result<()> {
    let folder = FolderWriter::create(out, force)?;
    for (number, part) in PARTS.iter().enumerate().take(parts) {
        let name = format!("{part}.jsonl");
        let path = out.join(&name);
        let mut lines = LineWriter::new(&path, inputs, |row, entry| {
            let own = plan.parts.get(row as usize).copied().map(usize::from);
            Ok((own == Some(number)).then(|| entry.raw.clone()))
        });
        let result = folder.write_with(&name, |file| lines.write(file));
        if lines.finish(result)? != plan.rows[number] {
            return Err(Complaint::new("the data changed while it was read").into());
        }
    }
    Ok(folder.commit()?)
}

fn show(args: &SplitArgs, shares: &Shares, plan: &Plan, weather: &mut Weather) -> Result<()> {
    let mut table = Table::new(&["part", "rows", "groups", "share", "wanted"]);
    let rows: usize = plan.rows.iter().sum();
    for (number, part) in PARTS.iter().enumerate().take(args.ratios.len()) {
        let (own, wanted) = (plan.rows[number], shares.get()[number]);
        let share = own as f64 / rows as f64;
        table.row([
            (*part).into(),
            own.into(),
            plan.groups[number].into(),
            Cell::number(percent(share)),
            Cell::number(percent(wanted)),
        ]);
        if (share - wanted).abs() > FAR * wanted {
            weather.warn(&format!(
                "{part} has {} of the rows instead of {}: there are few groups, or large ones",
                percent(share),
                percent(wanted)
            ));
        }
    }
    table.row([
        "sum".into(),
        rows.into(),
        plan.groups.iter().sum::<usize>().into(),
        "".into(),
        "".into(),
    ]);
    table.total();
    let mut screen = llm_show::stdout_screen(&args.shared.look);
    screen.show(&table);
    Ok(screen.finish()?)
}
