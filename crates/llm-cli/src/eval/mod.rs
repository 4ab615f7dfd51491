//! `deeper eval`: questions, answers, numbers with intervals.

mod show;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use llm_show::{DTypeName, DeviceName, LookArgs, Screen, Weather};
use llm_train::config::Settings;
use llm_train::eval::{EvalConfig, Evaluation, Finished, Named, compare, humaneval};

use crate::train::signals::Signals;

/// Ask a model questions that it was not trained on; scores with intervals, and a look for leaks
///
/// Rows with answers give the held-out loss, perplexity, bits per byte, and answers scored against
/// the data's; suites of choices and public benchmarks in local files are scored by
/// log-likelihood. Programs that a model writes are never run.
#[derive(Args, Debug)]
#[command(
    after_help = "Files written: output_models/evals/<model>-<fingerprint>/ with predictions.jsonl (a row for \
every question), metrics.json and config_used.yaml. An evaluation that was stopped goes on where it was when the command \
is repeated.\n\nExamples:\n  deeper eval --config configs/eval.yaml\n  \
deeper eval --config configs/eval.yaml model_path=output_models/deeper-base limit=20\n  \
deeper eval --config configs/eval_suite.yaml task=mmlu dataset_path=mmlu/data shots=5 prompt_format=plain\n  \
deeper eval --compare output_models/evals/deeper-base-… output_models/evals/runs-latest-model-…\n  \
deeper eval --passed samples.jsonl_results.jsonl\n\n\
Exit codes: 1 when more rows leak than max_leakage; 130 or 143 when stopped"
)]
pub(crate) struct EvalArgs {
    /// Where to compute, instead of the file's `device`
    #[arg(long, value_enum, value_name = "DEVICE")]
    device: Option<DeviceName>,
    /// Number type, instead of the file's `dtype`
    #[arg(long, value_enum, value_name = "DTYPE")]
    dtype: Option<DTypeName>,
    /// Threads to compute with, 1 or more [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
    /// The seed of draws and intervals, instead of the file's `seed`
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    pub look: LookArgs,
    /// The settings, YAML
    #[arg(long, value_name = "FILE", required_unless_present_any = ["compare", "passed"])]
    config: Option<PathBuf>,
    /// Result folders to print side by side; differences are to the first
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["config", "passed"])]
    compare: Vec<PathBuf>,
    /// What a sandbox made of HumanEval's samples.jsonl: print pass@k
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    passed: Option<PathBuf>,
    /// Settings that override the file's
    #[arg(value_name = "key=value")]
    overrides: Vec<String>,
}

/// Runs the verb; 130 or 143 after a signal.
pub(crate) fn run(args: &EvalArgs) -> Result<u8> {
    if let Some(threads) = args.threads {
        llm_core::kernels::pool::set_threads(threads.get())?;
    }
    let mut screen = llm_show::stdout_screen(&args.look);
    let code = if let Some(path) = &args.passed {
        show::passes(&mut screen, &humaneval::passes(path)?);
        0
    } else if let Some(file) = &args.config {
        let signals = Signals::listen()?;
        let done = ask(args, file, &signals, &mut screen);
        signals.code(done, &args.look)?
    } else {
        let read = |folder: &PathBuf| Finished::read(folder);
        let finished: Vec<Finished> = args.compare.iter().map(read).collect::<Result<_, _>>()?;
        let seed = args.seed.unwrap_or(llm_show::args::DEFAULT_SEED);
        show::comparison(&mut screen, &finished, &compare(&finished, seed)?);
        0
    };
    screen.finish()?;
    Ok(code)
}

/// One evaluation. After a signal the question at hand is the last one.
fn ask(args: &EvalArgs, file: &Path, signals: &Signals, screen: &mut Screen) -> Result<()> {
    let config = EvalConfig::from_path(file, &overrides(args))?;
    let mut weather = llm_show::stderr_weather(&args.look);
    let evaluation = open(config)?;
    header(&mut weather, &evaluation);
    evaluation.gate()?;
    let report = evaluation.run(Some(signals.stop().as_ref()), |done, total| {
        weather.progress("questions", done as u64, total as u64);
    })?;
    weather.clear();
    show::report(screen, &report);
    screen.line(&format!("results  {}", evaluation.folder.path.display()));
    Ok(())
}

fn open(config: EvalConfig) -> Result<Evaluation> {
    let named = Named::of(&config)?;
    let base = llm_hub::resolve(&named.model)?;
    Ok(Evaluation::open(config, base, named.adapter)?)
}

/// The overrides of the command line, flags included.
fn overrides(args: &EvalArgs) -> Vec<String> {
    let flags = [
        args.device
            .map(|device| format!("device={}", device.as_str())),
        args.dtype.map(|dtype| format!("dtype={}", dtype.as_str())),
        args.seed.map(|seed| format!("seed={seed}")),
    ];
    let given = args.overrides.iter().cloned();
    given.chain(flags.into_iter().flatten()).collect()
}

/// What is asked of what, before anything is computed.
fn header(weather: &mut Weather, evaluation: &Evaluation) {
    let (config, subject) = (&evaluation.config, &evaluation.subject);
    let location = format!("{:?}", subject.device().location());
    let dtype = subject.model.dtype();
    let mut rows = vec![
        ("model", config.model_path.clone().unwrap_or_default()),
        (
            "device",
            format!("{location} ({}), {}", subject.device_reason, dtype.as_str()),
        ),
        ("data", config.dataset_path.display().to_string()),
        (
            "questions",
            format!(
                "{}, prompts {}",
                evaluation.total(),
                subject.codec.format_name()
            ),
        ),
        ("output", evaluation.folder.path.display().to_string()),
    ];
    if let Some(leakage) = &evaluation.leakage {
        let kinds: Vec<String> = leakage
            .kinds
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        let kinds = if kinds.is_empty() {
            String::new()
        } else {
            format!(" ({})", kinds.join(", "))
        };
        let found = format!(
            "{} of the questions stand among {} training rows of {}{kinds}",
            leakage.rows, leakage.training_rows, leakage.source
        );
        rows.push(("leakage", found));
    }
    weather.settings(&rows);
    for warning in &evaluation.warnings {
        weather.warn(warning);
    }
}
