//! `deeper`: one verb, one file.
//!
//! stdout is the result, stderr is the weather. Exit codes: 0 ok, 1 a check failed, 2 bad input,
//! 3 files, 4 numbers.

mod amount;
mod bench;
mod convert;
mod cost;
mod course;
mod data;
mod diagnose;
mod eval;
mod exercises;
mod export;
mod failure;
mod generate;
mod hash;
mod inspect;
mod lessons;
mod logits;
mod merge;
mod metrics;
mod model;
mod next;
mod publish;
mod report;
mod run;
mod tokenize;
mod trace;
mod train;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use llm_core::kernels::allocator::Counting;
use llm_show::LookArgs;

/// Page faults of large tensors cost up to a third of a training step with the system allocator.
/// Allocations are counted while a profile is recorded, and only then.
#[global_allocator]
static ALLOCATOR: Counting<llm_alloc::MiMalloc> = Counting(llm_alloc::MiMalloc);

/// From text to a trained, fine-tuned language model, on the machine you own.
#[derive(Parser)]
#[command(name = "deeper", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 ok · 1 a check failed · 2 bad input, config or file · \
3 I/O or disk · 4 numerical (NaN, Inf) · 130/143 signals";

/// What a verb does stands at its arguments, where it is missing here.
#[derive(Subcommand)]
enum Verb {
    Lessons(lessons::LessonsArgs),
    Run(run::RunArgs),
    Next(next::NextArgs),
    Exercises(exercises::ExercisesArgs),
    /// Continue a prompt
    Generate(generate::GenerateArgs),
    /// Write the logits of a token sequence, to compare implementations
    Logits(logits::LogitsArgs),
    /// Print the token ids of a text
    Tokenize(tokenize::TokenizeArgs),
    Inspect(inspect::InspectArgs),
    Convert(convert::ConvertArgs),
    Metrics(metrics::MetricsArgs),
    /// Print one digest over all files of a checkpoint
    Hash(hash::HashArgs),
    /// Train a model or an adapter as a file of settings says
    Train(train::TrainArgs),
    Diagnose(diagnose::DiagnoseArgs),
    Report(report::ReportArgs),
    Eval(eval::EvalArgs),
    Data(data::DataArgs),
    Merge(merge::MergeArgs),
    Export(export::ExportArgs),
    Publish(publish::PublishArgs),
    /// Measure training, attention or decoding on this machine
    Bench(bench::BenchArgs),
    Cost(cost::CostArgs),
}

fn main() -> ExitCode {
    llm_alloc::keep_memory();
    convert::install_parquet();
    let (look, result) = dispatch(Cli::parse().verb);
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => ExitCode::from(failure::report(&error, &look)),
    }
}

/// Runs a verb; its exit code where it has one of its own.
fn dispatch(verb: Verb) -> (LookArgs, Result<u8>) {
    let done = |result: Result<()>| result.map(|()| 0);
    match verb {
        Verb::Lessons(args) => (args.look, done(lessons::run(&args))),
        Verb::Run(args) => (args.look, run::run(&args)),
        Verb::Next(args) => (args.look, next::run(&args)),
        Verb::Exercises(args) => (args.look(), exercises::run(&args)),
        Verb::Generate(args) => (args.tool.look, done(generate::run(args))),
        Verb::Logits(args) => (args.tool.look, done(logits::run(&args))),
        Verb::Tokenize(args) => (args.tool.look, done(tokenize::run(&args))),
        Verb::Inspect(args) => (args.look(), done(inspect::run(&args))),
        Verb::Convert(args) => (args.look, done(convert::run(&args))),
        Verb::Metrics(args) => (args.tool.look, done(metrics::run(&args))),
        Verb::Hash(args) => (args.tool.look, done(hash::run(&args))),
        Verb::Diagnose(args) => (args.look, diagnose::run(&args)),
        Verb::Report(args) => (args.look, done(report::run(&args))),
        Verb::Data(args) => (args.look(), data::run(&args)),
        Verb::Train(args) => (args.look, train::run(&args)),
        Verb::Eval(args) => (args.look, eval::run(&args)),
        Verb::Merge(args) => (args.look, done(merge::run(&args))),
        Verb::Export(args) => (args.look(), done(export::run(&args))),
        Verb::Publish(args) => (args.look, done(publish::run(&args))),
        Verb::Bench(args) => (args.tool.look, done(bench::run(&args))),
        Verb::Cost(args) => (args.look, done(cost::run(&args))),
    }
}
