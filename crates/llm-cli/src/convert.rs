//! `deeper convert`: other programs' files to rows that `deeper train` reads.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use llm_show::number::count;
use llm_show::{Cell, LookArgs, Screen, Table};
use llm_train::convert::{Form, Job, Report, Tally, convert};
use llm_train::data::{TableRows, install_table_reader};

/// Turn another program's file into rows to train on
///
/// One JSON object a line: `messages`, or `prompt` and `completion`. What was left out is listed
/// with its reason and the line of the first case.
#[derive(Args, Debug)]
#[command(
    after_help = "What is read:\n  chatgpt   conversations.json of a data export; the branch that \
was seen last\n  alpaca    instruction, input, output (an array, or one object a line)\n  sharegpt  \
conversations of from and value\n  csv       columns prompt, completion (or Alpaca's, or text), \
named in the first line\n  parquet   the same columns\n\nFiles written: the one after --out, whole \
or not at all.\n\nExamples:\n  deeper convert chatgpt --input conversations.json --out \
chats.jsonl\n  deeper convert csv --input faq.csv --prompt question --completion answer --out \
faq.jsonl"
)]
pub(crate) struct ConvertArgs {
    #[command(flatten)]
    pub look: LookArgs,
    /// What the file is
    #[arg(value_enum, value_name = "FORM")]
    form: FormName,
    /// The file to read
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The file to write, one JSON object a line
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file after --out if it is there
    #[arg(long)]
    force: bool,
    /// The column of a table that is the prompt [default: prompt]
    #[arg(long, value_name = "COLUMN")]
    prompt: Option<String>,
    /// The column of a table that is the answer [default: completion]
    #[arg(long, value_name = "COLUMN")]
    completion: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormName {
    /// conversations.json of a ChatGPT data export
    Chatgpt,
    /// Rows of instruction, input and output
    Alpaca,
    /// Rows of conversations with from and value
    Sharegpt,
    /// Comma-separated values
    Csv,
    /// A Parquet file
    Parquet,
}

impl FormName {
    fn form(self) -> Form {
        match self {
            Self::Chatgpt => Form::ChatGpt,
            Self::Alpaca => Form::Alpaca,
            Self::Sharegpt => Form::ShareGpt,
            Self::Csv => Form::Csv,
            Self::Parquet => Form::Parquet,
        }
    }
}

/// From here on every verb reads `.parquet` files of rows.
pub(crate) fn install_parquet() {
    install_table_reader("parquet", open_parquet);
}

fn open_parquet(path: &Path) -> llm_train::Result<TableRows> {
    let rows = llm_parquet::open(path).map_err(told)?;
    Ok(Box::new(rows.map(|row| row.map_err(told))))
}

/// A reader's error as one of training, with its file and row.
fn told(error: llm_parquet::Error) -> llm_train::Error {
    match error {
        llm_parquet::Error::Io { path, source } => llm_train::Error::Io { path, source },
        llm_parquet::Error::Damaged { path, problem } => {
            let problem = format!("is not a Parquet file that can be read ({problem})");
            llm_train::Error::file(path, problem)
        }
        llm_parquet::Error::Value {
            path,
            row,
            column,
            problem,
        } => llm_train::Error::line(path, row, format!("column `{column}` {problem}")),
    }
}

pub(crate) fn run(args: &ConvertArgs) -> Result<()> {
    let is_table = matches!(args.form, FormName::Csv | FormName::Parquet);
    if !is_table && (args.prompt.is_some() || args.completion.is_some()) {
        let problem = "are for csv and parquet; other forms have fixed names";
        return Err(llm_train::Error::input("--prompt and --completion", problem).into());
    }
    let report = convert(&Job {
        form: args.form.form(),
        input: args.input.clone(),
        output: args.out.clone(),
        force: args.force,
        prompt: args.prompt.clone(),
        completion: args.completion.clone(),
    })?;
    let mut screen = llm_show::stdout_screen(&args.look);
    show(&mut screen, &report);
    Ok(screen.finish()?)
}

fn show(screen: &mut Screen, report: &Report) {
    screen.line(&format!(
        "{} records read, {} rows written, {} dropped",
        count(report.read as u64),
        count(report.written as u64),
        count(report.dropped.total() as u64)
    ));
    let parts = [("dropped", &report.dropped), ("left out", &report.left_out)];
    let mut table = Table::new(&["what", "why", "count", "first at"]);
    let mut rows = 0;
    for (name, tally) in parts {
        rows += add(&mut table, name, tally);
    }
    if rows > 0 {
        screen.show(&table);
    }
}

fn add(table: &mut Table, name: &str, tally: &Tally) -> usize {
    for line in tally.counts() {
        table.row([
            name.into(),
            line.what.as_str().into(),
            Cell::number(count(line.count as u64)),
            Cell::number(count(line.first as u64)),
        ]);
    }
    tally.counts().len()
}
