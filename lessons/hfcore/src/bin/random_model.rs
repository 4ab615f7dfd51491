//! A model folder of random weights in a published shape: to see what a size costs without its
//! weights. It says nothing of sense.
//!
//! The numbers are bfloat16, as published ones are; the tokenizer is that of the bundled model, whose
//! ids fit every larger vocabulary.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use lessons_hfcore::{bundled, explain::explained};
use llm_core::config::published;
use llm_core::model::count;
use llm_show::{Complaint, ToolArgs, number};

/// A larger model does not fit into the memory that this program is for.
const MOST: u64 = 4_000_000_000;

/// Page faults of large tensors cost up to a third of a run with the system allocator.
#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

/// Write a model folder of random weights in a published shape
#[derive(Parser, Debug)]
#[command(
    version,
    after_help = "Example:\n  random_model --config qwen3-0.6b --out /tmp/qwen3\n\n\
Exit codes: 0 ok · 2 bad input, config or file · 3 I/O or disk"
)]
struct Flags {
    #[command(flatten)]
    common: ToolArgs,
    /// A published model: qwen3-0.6b, gpt2, qwen2.5-0.5b ...
    #[arg(long, value_name = "C")]
    config: String,
    /// The folder to write; it must not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    match run(&flags).map_err(explained) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut weather = llm_show::stderr_weather(&flags.common.look);
            ExitCode::from(llm_show::report(error.as_ref(), &mut weather))
        }
    }
}

fn run(flags: &Flags) -> Result<()> {
    let names = published::names()?.join(", ");
    let config = published::find(&flags.config)?
        .ok_or_else(|| Complaint::new(format!("{}: expected one of {names}", flags.config)))?;
    let parameters = count::total(&config);
    if parameters > MOST {
        let problem = format!("{} has {} parameters", flags.config, number::count(parameters));
        let expected = format!("{problem}, expected at most {}", number::count(MOST));
        return Err(Complaint::new(expected).hint("--config qwen3-0.6b").into());
    }
    bundled::write_random(&config, flags.common.seed, &flags.out)?;
    let mut screen = llm_show::stdout_screen(&flags.common.look);
    screen.line(&format!("{}  {} parameters", flags.out.display(), number::count(parameters)));
    Ok(screen.finish()?)
}
