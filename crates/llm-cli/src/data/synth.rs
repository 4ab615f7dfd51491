//! `deeper data synth`: the closed world as files.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use llm_show::args::DEFAULT_SEED;
use llm_show::number::{count, number};
use llm_show::{Cell, LookArgs, Table};
use llm_train::synth::{Domain, Plan, Report, write};

/// Write the text that the embedded model learns from: stories, facts, sums, tasks, talk
#[derive(Args, Debug)]
#[command(
    after_help = "Files written: train.txt and heldout.txt (documents for pretraining), \
sft_train.jsonl and sft_heldout.jsonl (conversations), tasks.jsonl (questions with their checks), \
pairs_train.jsonl and pairs_heldout.jsonl (a right and a wrong answer, for method dpo), \
comparisons_train.jsonl and comparisons_heldout.jsonl (which of two numbers is larger, to be answered at once, for method grpo), report.json. What is held out are combinations that never stand in the training files.\n\n\
The table's nats are -ln of the probability of the choices behind a document: their mean is the \
floor of the loss that a model can reach.\n\nExamples:\n  deeper data synth --out output_models/corpus --documents 20000\n  \
deeper data synth --out sums --domains arithmetic --documents 1000 --seed 3"
)]
pub(super) struct SynthArgs {
    /// Plain text, colour, quiet.
    #[command(flatten)]
    pub(super) look: LookArgs,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Documents to train on, 1 or more; a twentieth, at most 2,000, is held out beside them
    #[arg(long, default_value_t = 200_000, value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    documents: u64,
    /// One seed, one corpus
    #[arg(long, default_value_t = DEFAULT_SEED, value_name = "N")]
    seed: u64,
    /// Domains, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_name = "LIST",
        value_parser = ["stories", "facts", "arithmetic", "instructions", "tools", "chat", "code"])]
    domains: Vec<String>,
    /// Tasks of each domain, at most
    #[arg(long, default_value_t = 1000, value_name = "N")]
    tasks: usize,
    /// Replace the folder if it exists
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &SynthArgs) -> Result<()> {
    let mut domains: Vec<Domain> = args
        .domains
        .iter()
        .filter_map(|name| Domain::named(name))
        .collect();
    domains.sort_unstable();
    domains.dedup();
    if domains.is_empty() {
        domains = Domain::ALL.to_vec();
    }
    let plan = Plan {
        seed: args.seed,
        documents: args.documents,
        domains,
        tasks: args.tasks,
    };
    let mut weather = llm_show::stderr_weather(&args.look);
    let report = write(&args.out, &plan, args.force, |done, total| {
        weather.progress("documents", done, total);
    })?;
    weather.clear();
    weather.fact("folder", &args.out.display().to_string());
    let mut screen = llm_show::stdout_screen(&args.look);
    screen.show(&table(&report));
    screen.line("");
    screen.line(&format!("{} tasks", count(report.tasks)));
    Ok(screen.finish()?)
}

fn table(report: &Report) -> Table {
    let mut table = Table::new(&[
        "file",
        "domain",
        "documents",
        "characters",
        "nats each",
        "nats/char",
    ]);
    for row in report.domains.iter().filter(|row| row.documents > 0) {
        table.row([
            row.file.as_str().into(),
            row.domain.as_str().into(),
            Cell::number(count(row.documents)),
            Cell::number(count(row.characters)),
            Cell::number(number(row.nats_per_document)),
            Cell::number(number(row.nats_per_character)),
        ]);
    }
    table
}
