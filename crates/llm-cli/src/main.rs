//! `deeper`: one verb, one file.
//!
//! stdout is the result, stderr is the weather. Exit codes: 0 ok, 1 a check failed, 2 bad input,
//! 3 files, 4 numbers.

mod bench;
mod failure;
mod generate;
mod hash;
mod inspect;
mod logits;
mod model;
mod tokenize;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use llm_core::kernels::allocator::Counting;

/// Page faults of large tensors cost up to a third of a training step with the system allocator.
/// Allocations are counted while a profile is recorded, and only then.
#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting(mimalloc::MiMalloc);

/// From text to a trained, fine-tuned language model, on the machine you own.
#[derive(Parser)]
#[command(name = "deeper", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 ok · 1 a check failed · 2 bad input, config or file · \
3 I/O or disk · 4 numerical (NaN, Inf) · 130/143 signals";

#[derive(Subcommand)]
enum Verb {
    /// Continue a prompt
    Generate(generate::GenerateArgs),
    /// Write the logits of a token sequence, to compare implementations
    Logits(logits::LogitsArgs),
    /// Print the token ids of a text
    Tokenize(tokenize::TokenizeArgs),
    /// Show what a model or a file is made of
    Inspect(inspect::InspectArgs),
    /// Print one digest over all files of a checkpoint
    Hash(hash::HashArgs),
    /// Train a model or an adapter as a file of settings says
    Train(train::TrainArgs),
    /// Measure training, attention or decoding on this machine
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    let (look, result) = match Cli::parse().verb {
        Verb::Generate(args) => (args.tool.look, generate::run(args)),
        Verb::Logits(args) => (args.tool.look, logits::run(&args)),
        Verb::Tokenize(args) => (args.tool.look, tokenize::run(&args)),
        Verb::Inspect(args) => (args.tool.look, inspect::run(&args)),
        Verb::Hash(args) => (args.tool.look, hash::run(&args)),
        Verb::Train(args) => (args.look, train::run(&args)),
        Verb::Bench(args) => (args.tool.look, bench::run(&args)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(failure::report(&error, &look)),
    }
}
