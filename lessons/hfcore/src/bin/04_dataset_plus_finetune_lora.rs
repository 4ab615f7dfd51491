//! How much of a model has to train before it knows new answers?
//!
//! What you will see: what trains and what does not, a run with its curve, a base that did not change
//! by one bit, held-out numbers with intervals, an adapter of a few files that PEFT loads.
//!
//! Reads: crates/llm-train/src/{session,finetune}.rs, crates/llm-store/src/adapter/mod.rs.
//! Try: `--quick`, `--r 2`, `--use-dora`, `--model path/to/model --steps 3`.

use anyhow::{Context, Result};
use clap::Args;
use lessons_hfcore::asked::LORA;
use lessons_hfcore::cost::{begin, spent};
use lessons_hfcore::results;
use lessons_hfcore::small::{ALL, qwen_costs};
use lessons_hfcore::tuning::{MAX_NEW_TOKENS, TuneArgs, Tuned, Way, tune};
use llm_core::{config::Family, model::count};
use llm_show::number::{bytes, count as grouped};
use llm_show::{Cell, Curve, Lesson, Table};
use llm_train::config::{Method, TrainConfig};
use llm_train::finetune::Measure;
use llm_train::session::Session;

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;
const WAY: Way = Way { name: LORA, method: Method::Lora };

#[derive(Args)]
struct Own {
    #[command(flatten)]
    tune: TuneArgs,
    /// Rank of the adapters; α is twice as much
    #[arg(long, default_value_t = 16, value_name = "R", value_parser = clap::value_parser!(u64).range(1..=1024))]
    r: u64,
    /// Scale by α / √R, not α / R
    #[arg(long)]
    use_rslora: bool,
    /// Train the lengths of the weights' rows too
    #[arg(long)]
    use_dora: bool,
}

fn main() -> std::process::ExitCode {
    lessons_hfcore::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> Result<()> {
    let ((start, tool), quick) = (begin(lesson)?, lesson.args.quick);
    let session = own.tune.open(WAY, &tool, quick, |config| adapters(config, own))?;
    what_trains(lesson, &session)?;

    let (steps, rows) = (session.total_steps(), session.dataset.train.len());
    lesson
        .step(&format!("Train: {steps} steps of {} rows, {rows} rows", session.config.batch_size));
    spent(&mut lesson.weather, "loading", start);
    let measure = Measure { answers: if quick { 24 } else { 100 }, max_new_tokens: MAX_NEW_TOKENS };
    let Tuned { report, curve, run, .. } = tune(&session, measure, &mut lesson.weather)?;
    spent(&mut lesson.weather, "loading, measuring, training", start);
    lesson.show(&Curve::new(&curve, "row of the log"));
    let base = own.tune.base()?;
    let changed = results::changed(&session, &base)?;
    lesson.check_equal("base tensors that training changed", &changed.len(), &0);
    lesson.check_equal(
        "adapter tensors, gradient right",
        &report.audited,
        &session.parameters.len(),
    );
    lesson.step("Measure: the same held-out rows before and after, differences with intervals");
    results::show(lesson, &report, steps);

    lesson.step("Keep it: an adapter is two files, and the base stays where it is");
    let mut table = Table::new(&["file", "bytes"]);
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        let size = std::fs::metadata(run.model().join(name)).context(name)?.len();
        table.row([name.into(), Cell::number(bytes(size))]);
    }
    lesson.show(&table);
    let again = results::answers_again(&session, &base, &run.model(), &report)?;
    lesson.check_that("base and adapter, read again, answer", "as the run did", again);
    spent(&mut lesson.weather, "the lesson", start);
    // 12.85 MB / 4 bytes = R Σ (in + out) over q, k and v of 28 layers
    lesson.solution(3_211_264.0, 0.0);
    Ok(())
}

/// Adapters on everything that the model multiplies by.
fn adapters(config: &mut TrainConfig, own: &Own) {
    config.lora_r = usize::try_from(own.r).unwrap_or(usize::MAX);
    config.lora_alpha = 2.0 * own.r as f64;
    config.lora_target_modules = ALL.iter().map(|&name| name.to_owned()).collect();
    config.use_rslora = own.use_rslora;
    config.use_dora = own.use_dora;
}

/// Counts: of this model, and of one that everybody knows.
fn what_trains(lesson: &mut Lesson, session: &Session) -> Result<()> {
    let (trained, total) = (session.parameters.count(), session.total_parameters()?);
    let share = 100.0 * trained as f64 / total as f64;
    lesson.step(&format!(
        "What trains: {} of {} numbers",
        grouped(trained as u64),
        grouped(total as u64)
    ));
    let (config, lora) = (session.model.config(), session.config.lora());
    lesson.exhibit_line(&format!(
        "{share:.3} %, in {} tensors, R = {}",
        session.parameters.len(),
        lora.r
    ));
    if config.family != Family::Gpt2 && !lora.use_dora {
        let counted = count::lora(config, lora.r as u64, ALL)?;
        lesson.check_equal("R (in + out), summed", &(trained as u64), &counted);
    }
    let (table, shares) = qwen_costs()?;
    lesson.show(&table);
    let (shares, expected) = (shares.join(" "), "0.383 0.536 1.665".to_owned());
    lesson.check_equal("percent, not about half a percent", &shares, &expected);
    Ok(())
}
