//! What do full training, LoRA and others cost and bring, on the same rows and the same machine?
//!
//! Every way trains in a process of its own, one after another, from the same base on the same rows
//! in the same order, and is measured on the same held-out rows. The numbers are this machine's.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use lessons_hfcore::{explain::explained, table, tuning::TuneArgs};
use llm_core::kernels::pool;
use llm_show::ToolArgs;

/// Page faults of large tensors cost up to a third of a training step with the system allocator.
#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

/// What do full training, LoRA and others cost and bring, on the same rows and the same machine?
#[derive(Parser, Debug)]
#[command(version, after_help = AFTER)]
struct Flags {
    #[command(flatten)]
    common: ToolArgs,
    #[command(flatten)]
    tune: TuneArgs,
    /// Few steps, to see that everything works
    #[arg(long)]
    quick: bool,
    /// The ways, values of the settings' `method`
    #[arg(long, value_delimiter = ',', default_value = "full,lora", value_name = "NAMES")]
    methods: Vec<String>,
    /// One way in this process, reported as JSON: what the table runs for each
    #[arg(long, value_name = "NAME", hide = true)]
    only: Option<String>,
}

const AFTER: &str = "Examples:\n  finetune_table --quick\n  finetune_table --methods full,lora \
--steps 500\n\nFiles written: a run folder for each way under --out.\nExit codes: 0 ok · 1 a check \
failed · 2 bad input, config or file · 3 I/O or disk · 4 numerical";

fn main() -> ExitCode {
    llm_alloc::keep_memory();
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
    let look = &flags.common.look;
    let mut screen = llm_show::stdout_screen(look);
    if let Some(threads) = flags.common.threads {
        pool::set_threads(threads.get())?;
    }
    if let Some(name) = &flags.only {
        let mut weather = llm_show::stderr_weather(look);
        let found = table::measure(&flags.tune, (&flags.common, flags.quick), name, &mut weather)?;
        screen.line(&serde_json::to_string(&found)?);
        return Ok(screen.finish()?);
    }
    flags.methods.iter().try_for_each(|name| table::method(name).map(|_| ()))?;
    let arguments = table::for_a_process(std::env::args().skip(1));
    let rows: Vec<_> = flags
        .methods
        .iter()
        .map(|name| table::in_a_process(&arguments, name))
        .collect::<Result<_>>()?;
    let facts = format!("{} · seed {}", flags.tune.model, flags.common.seed);
    screen.header("finetune_table", &facts, "What does each way of fine-tuning cost and bring?");
    table::show(&mut screen, &rows);
    Ok(screen.finish()?)
}
