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

use std::cell::RefCell;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Result;
use clap::Parser;
use llm_train::finetune::{Measure, finetune};
use llm_train::observe::{Callback, Event, MetricsFile};
use llm_train::runs::RunFolder;
use llm_train::session::Session;

use args::Args;

/// Page faults of large tensors cost up to a third of a training step with the system allocator.
#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

fn main() -> ExitCode {
    llm_alloc::keep_memory();
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(report::failure(&error, &args.common.look)),
    }
}

fn run(args: &Args) -> Result<()> {
    if let Some(threads) = args.common.threads {
        llm_core::kernels::pool::set_threads(threads.get())?;
    }
    let base = llm_hub::resolve(&args.model())?;
    let session = Session::open(args.config(&base)?, Some(&base))?;
    let weather = RefCell::new(llm_show::stderr_weather(&args.common.look));
    report::settings(&mut weather.borrow_mut(), &session)?;

    let config = &session.config;
    let run = RunFolder::create(&config.output_dir, &config.run_name, SystemTime::now())?;
    let mut curve = Vec::new();
    let mut metrics = MetricsFile::append(&run.metrics())?;
    let mut watch = Callback(|event: &Event| {
        if let Event::Logged(row) = event {
            curve.push(row.loss);
            weather.borrow_mut().training_row(&report::row(row));
        }
    });
    let measure = Measure { answers: args.answers(), max_new_tokens: args::MAX_NEW_TOKENS };
    let observers: &mut [&mut dyn llm_train::observe::Observer] = &mut [&mut metrics, &mut watch];
    let found = finetune(&session, &run, measure, observers, None, |stage| {
        report::stage(&mut weather.borrow_mut(), &stage);
    })?;

    let mut screen = llm_show::stdout_screen(&args.common.look);
    report::show(&mut screen, args, &session, &found, &curve);
    screen.finish()?;
    report::next(&mut weather.borrow_mut(), args, &run);
    Ok(())
}
