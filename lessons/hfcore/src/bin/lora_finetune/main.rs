//! What does a small adapter learn, and how do we know?
//!
//! Trains a LoRA adapter on questions and answers, and measures the base model and the tuned one on
//! the same held-out questions. Without arguments: the bundled base and the bundled question set.
//!
//! You will see: the loss curve, answers before and after, held-out loss and exact match with 95 %
//! intervals. The work is done by `llm_train::finetune`, which `deeper train` calls too.
//!
//! Try `--shuffle-answers`, the control: the same prompts with exchanged answers.

mod args;
mod report;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use lessons_hfcore::explain::explained;
use lessons_hfcore::tuning::tune;
use llm_train::finetune::Measure;
use llm_train::session::Session;

use args::Args;

/// Page faults of large tensors cost up to a third of a training step with the system allocator.
#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

fn main() -> ExitCode {
    llm_alloc::keep_memory();
    let args = Args::parse();
    match run(&args).map_err(explained) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut weather = llm_show::stderr_weather(&args.common.look);
            ExitCode::from(llm_show::report(error.as_ref(), &mut weather))
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if let Some(threads) = args.common.threads {
        llm_core::kernels::pool::set_threads(threads.get())?;
    }
    let base = llm_hub::resolve(&args.model())?;
    let session = Session::open(args.config(&base)?, Some(&base))?;
    let mut weather = llm_show::stderr_weather(&args.common.look);
    report::settings(&mut weather, &session)?;
    let measure = Measure { answers: args.answers(), max_new_tokens: args::MAX_NEW_TOKENS };
    let tuned = tune(&session, measure, &mut weather)?;

    let mut screen = llm_show::stdout_screen(&args.common.look);
    report::show(&mut screen, args, &session, &tuned.report, &tuned.curve);
    screen.finish()?;
    report::next(&mut weather, args, &tuned.run);
    Ok(())
}
