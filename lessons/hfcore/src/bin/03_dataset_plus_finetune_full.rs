//! What does it take to teach a whole model new answers?
//!
//! What you will see: a row as tokens that count and tokens that do not, why averages of averages are
//! wrong, what every trained number costs in memory, a few rows by heart, a run with intervals.
//!
//! Reads: crates/llm-train/src/{labels,batch,step,finetune}.rs.
//! Try: `--quick`, `--steps 20`, `--data my.jsonl`.

use anyhow::{Context, Result};
use clap::Args;
use lessons_hfcore::asked::FULL;
use lessons_hfcore::cost::{begin, spent};
use lessons_hfcore::results;
use lessons_hfcore::rows::{self, Weighting};
use lessons_hfcore::tuning::{MAX_NEW_TOKENS, TuneArgs, Tuned, Way, is_small, tune};
use llm_core::model::memory::Training;
use llm_show::{Cell, Curve, Lesson, Table, number::count};
use llm_train::config::Method;
use llm_train::finetune::Measure;
use llm_train::session::Session;

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;
/// Gradients of a batch in one piece and in four: the same sums in another order, f32.
const SAME: f64 = 1e-5;
const WAY: Way = Way { name: FULL, method: Method::Full };

#[derive(Args)]
struct Own {
    #[command(flatten)]
    tune: TuneArgs,
}

fn main() -> std::process::ExitCode {
    lessons_hfcore::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> Result<()> {
    let ((start, tool), quick) = (begin(lesson)?, lesson.args.quick);
    let session = own.tune.open(WAY, &tool, quick, |_| ())?;
    show_row(lesson, &session)?;
    averages(lesson, &session)?;
    memory(lesson);
    if is_small(session.model.config()) {
        by_heart(lesson, &own.tune.open(WAY, &tool, quick, |_| ())?)?;
    }

    let (base, rows, steps) =
        (own.tune.base()?, session.dataset.train.len(), session.total_steps());
    let trained = count(session.parameters.count() as u64);
    lesson.step(&format!("Train all {trained} parameters: {steps} steps, {rows} rows"));
    let measure = Measure { answers: if quick { 24 } else { 100 }, max_new_tokens: MAX_NEW_TOKENS };
    let Tuned { report, curve, run, .. } = tune(&session, measure, &mut lesson.weather)?;
    lesson.show(&Curve::new(&curve, "row of the log"));
    let tensors = session.parameters.len();
    lesson.check_equal("tensors with the right gradient", &report.audited, &tensors);
    let changed = results::changed(&session, &base)?;
    lesson.check_equal("tensors that training changed", &changed.len(), &tensors);
    lesson.step("Measure: the same held-out rows before and after, differences with intervals");
    results::show(lesson, &report, steps);
    let again = results::answers_again(&session, &base, &run.model(), &report)?;
    lesson.check_that("the saved folder answers", "as the run did", again);
    spent(&mut lesson.weather, "the lesson", start);
    // 16 bytes for each of 596,049,920 parameters: 9.54; of 0.6 billion: 9.6
    lesson.solution(9.57, 0.05);
    Ok(())
}

/// One row as the loss sees it.
fn show_row(lesson: &mut Lesson, session: &Session) -> Result<()> {
    lesson.step("A row: the prompt is read, only the answer and its end are learnt");
    let (look, example) = (lesson.look(), session.dataset.train.first().context("a row")?);
    lesson.show(&rows::labelled(session, example, look));
    let eos = session.codec.stop_tokens();
    let last = example.labels.iter().rfind(|label| **label >= 0).context("a label")?;
    let ends = eos.iter().any(|&id| i64::from(id) == *last);
    lesson.check_that("the last label", "ends the answer", ends);
    let first = example.labels.first().context("a label")?;
    lesson.check_equal("the first token's label", first, &-100);
    Ok(())
}

/// Rows of unequal length in micro-batches: two ways to average.
fn averages(lesson: &mut Lesson, session: &Session) -> Result<()> {
    lesson.step("32 rows, or 4 x 8 of unequal length: divide by all tokens, not batch by batch");
    let set = rows::by_length(&session.dataset.train, 32);
    let whole = rows::gradients(session, &[&set], Weighting::Tokens)?;
    let parts: Vec<&[_]> = set.chunks(set.len().div_ceil(4)).collect();
    let right = rows::gradients(session, &parts, Weighting::Tokens)?;
    let wrong = rows::gradients(session, &parts, Weighting::Batches)?;
    let mut table = Table::new(&["micro-batch", "rows", "tokens that count"]);
    for (index, part) in parts.iter().enumerate() {
        let counted: usize = part.iter().map(|row| row.supervised()).sum();
        table.row([index.into(), part.len().into(), counted.into()]);
    }
    lesson.show(&table);
    lesson.check("4 x 8 == 32, all tokens weigh alike", rows::apart(&right, &whole)?, SAME);
    let off = rows::apart(&wrong, &whole)?;
    lesson.check_that("mean of four means: another gradient", "> 100 x as far", off > 100.0 * SAME);
    Ok(())
}

fn memory(lesson: &mut Lesson) {
    lesson.step("Each trained number: weight 2, gradient 2, f32 copy 4, Adam's moments 8 bytes");
    let mut table = Table::new(&["7 billion parameters", "memory"]);
    let full = Training::full(7_000_000_000);
    let lora = Training::of(14_000_000_000, 40_000_000);
    let rows = [("Adam's moments alone", full.moments), ("all of full training", full.total())];
    for (name, size) in rows.into_iter().chain([("LoRA, 40 million train", lora.total())]) {
        table.row([name.into(), Cell::number(format!("{:.1} GB", size as f64 / 1e9))]);
    }
    lesson.show(&table);
    lesson.check_equal("full training, bytes a parameter", &(full.total() / 7_000_000_000), &16);
    let times = full.total() as f64 / lora.total() as f64;
    lesson.check_between("times less with LoRA, not 100", times, (7.0, 8.0));
}

fn by_heart(lesson: &mut Lesson, session: &Session) -> Result<()> {
    let (count, steps) = if lesson.args.quick { (8, 60) } else { (32, 300) };
    lesson.step(&format!("{count} rows by heart: what cannot learn so few rows has a fault"));
    let losses = rows::by_heart(session, count, steps)?;
    lesson.show(&Curve::new(&losses, "step").log());
    lesson.check_between("last loss", losses[losses.len() - 1], (0.0, 0.05));
    Ok(())
}
