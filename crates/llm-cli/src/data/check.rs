//! `deeper data check`: what is wrong with rows, with file and line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use llm_show::number::{bytes, count};
use llm_show::{Cell, Complaint, Look, Meaning, Screen, Table};
use llm_train::config::PromptStyle;
use llm_train::prompt::Codec;
use llm_train::quality::{Finding, Input, Options, Part, Problem, Report, Sample, Severity, check};

use super::Shared;

/// A check failed.
const CHECK_FAILED: u8 = 1;
/// Findings of each kind that are shown, if nothing else is said.
const SHOWN: usize = 5;

/// Find rows that spoil a training run: broken, empty, twice, leaking, damaged
///
/// Errors are rows that training refuses and held-out questions that are trained on; all else is a
/// warning. Two texts are the same as they are (exact), in another case, with other white space, or
/// after Unicode's NFKC; near ones share 80 % of their runs of five words.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 no error · 1 errors, or warnings under --strict · 2 bad input · \
3 disk\n\nExamples:\n  deeper data check --data train.jsonl --held valid.jsonl --held test.jsonl\n  \
deeper data check --data 'data/*.jsonl' --model path/to/model --max-length 512 --json"
)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) shared: Shared,
    /// Held-out rows, which no training row may repeat; may be repeated
    #[arg(long, value_name = "GLOB")]
    held: Vec<PathBuf>,
    /// The model that will be trained: lengths are in its tokens, and its control tokens are known
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// The longest row in tokens, or in characters without --model
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// Share of word runs from which two rows are nearly the same, above 0 to 1; or off
    #[arg(long, default_value = "0.8", value_name = "F", value_parser = near)]
    near: Near,
    /// Findings of each kind to show
    #[arg(long, default_value_t = SHOWN, value_name = "N")]
    show: usize,
    /// Show every finding
    #[arg(long, conflicts_with = "show")]
    all: bool,
    /// One JSON object a finding and a last one with the counts; all findings
    #[arg(long)]
    json: bool,
    /// Warnings fail the check too
    #[arg(long)]
    strict: bool,
}

/// A threshold, or none.
#[derive(Clone, Copy, Debug)]
struct Near(Option<f64>);

fn near(text: &str) -> Result<Near, String> {
    match text {
        "off" => Ok(Near(None)),
        _ => super::dedup::threshold(text).map(|threshold| Near(Some(threshold))),
    }
}

pub(super) fn run(args: &CheckArgs) -> Result<()> {
    let look = args.shared.look;
    let mut weather = llm_show::stderr_weather(&look);
    let mut inputs = Input::all(Part::Train, super::files(&args.shared.data)?);
    inputs.extend(Input::all(Part::Held, super::files(&args.held)?));
    let codec = match &args.model {
        Some(model) => Some(super::codec(model, PromptStyle::Auto)?),
        None => None,
    };
    let all = args.all || args.json;
    let options = options(
        args,
        codec.as_ref(),
        if all { usize::MAX } else { args.show },
    );
    let report = check(&inputs, options, &mut super::progress(&mut weather))?;
    let per_row = report.index_bytes / report.rows().max(1);
    weather.fact(
        "index",
        &format!(
            "{}, {per_row} bytes a row",
            bytes(report.index_bytes as u64)
        ),
    );
    let mut screen = llm_show::stdout_screen(&look);
    match args.json {
        true => lines(&mut screen, &report),
        false => page(&mut screen, &report),
    }
    screen.finish()?;
    verdict(&report, args.strict)
}

fn options<'c>(args: &CheckArgs, codec: Option<&'c Codec>, keep: usize) -> Options<'c> {
    let mut options = Options {
        keep,
        near: args.near.0,
        max_length: args.max_length,
        ..Options::default()
    };
    if let Some(codec) = codec {
        options.length = Box::new(move |sample| tokens(codec, sample));
        let special = codec.tokenizer.special_tokens().iter();
        options.special = special.map(|(name, _)| name.clone()).collect();
    }
    options
}

/// The tokens of a row as training makes them.
fn tokens(codec: &Codec, sample: &Sample) -> Result<usize, String> {
    let length = match sample {
        Sample::Text(text) => codec.tokenizer.encode(text).map(|ids| ids.len()),
        Sample::Row(row) => {
            let example = codec.example(row, usize::MAX);
            let example = example.map_err(|error| error.to_string())?.0;
            return Ok(example.map_or(0, |example| example.ids.len()));
        }
    };
    length.map_err(|error| error.to_string())
}

fn lines(screen: &mut Screen, report: &Report) {
    for finding in &report.findings {
        screen.line(&finding.to_json().to_string());
    }
    screen.line(&report.summary().to_string());
}

fn page(screen: &mut Screen, report: &Report) {
    let held = match report.held_rows {
        0 => String::new(),
        held => format!(" · {} held out", count(held as u64)),
    };
    let rows = format!("{} rows{held}", count(report.train_rows as u64));
    let rows = screen.look().text(&rows).into_owned();
    screen.line(&rows);
    if report.counts.is_empty() {
        screen.line("no findings");
        return;
    }
    let mut table = Table::new(&["kind", "level", "rows", "what it means"]);
    for (problem, found) in &report.counts {
        table.row([
            problem.to_string().into(),
            problem.severity().as_str().into(),
            Cell::from(*found),
            problem.meaning().into(),
        ]);
    }
    screen.show(&table);
    let mut by_problem: BTreeMap<Problem, Vec<&Finding>> = BTreeMap::new();
    for finding in &report.findings {
        by_problem.entry(finding.problem).or_default().push(finding);
    }
    for (problem, findings) in by_problem {
        screen.line("");
        let look = screen.look();
        screen.line(&heading(look, problem));
        for finding in &findings {
            screen.exhibit_line(&line(finding));
        }
        let all = report.counts.get(&problem).copied().unwrap_or_default();
        if all > findings.len() {
            let more = format!("… {} more", count((all - findings.len()) as u64));
            screen.exhibit_line(&more);
        }
    }
}

fn heading(look: Look, problem: Problem) -> String {
    let meaning = match problem.severity() {
        Severity::Error => Meaning::Bad,
        Severity::Warning => Meaning::Warn,
    };
    look.paint(meaning, &look.text(&problem.to_string()))
}

/// `file:line  as file:line  detail`.
fn line(finding: &Finding) -> String {
    let mut parts = vec![finding.at.to_string()];
    parts.extend(finding.other.iter().map(|other| format!("as {other}")));
    parts.push(finding.detail.clone());
    parts.retain(|part| !part.is_empty());
    parts.join("  ")
}

fn verdict(report: &Report, strict: bool) -> Result<()> {
    let (errors, warnings) = (
        report.total(Severity::Error),
        report.total(Severity::Warning),
    );
    let counted = |number: usize, word: &str| match number {
        1 => format!("1 {word}"),
        _ => format!("{} {word}s", count(number as u64)),
    };
    let problem = match (errors, strict && warnings > 0) {
        (0, false) => return Ok(()),
        (0, true) => format!("{} in the data", counted(warnings, "warning")),
        _ => format!("{} in the data", counted(errors, "error")),
    };
    let hint = "mend the rows, or `deeper data dedup` and `deeper data split` write new files";
    Err(Complaint::new(problem).hint(hint).code(CHECK_FAILED).into())
}
