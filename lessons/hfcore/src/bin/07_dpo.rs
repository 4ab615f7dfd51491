//! How does a model learn which of two answers is the better one?
//!
//! What you will see: pairs of a right and a wrong answer, the loss of one pair by hand, a policy that
//! starts at ln 2 beside its frozen start, rewards that part, held-out pairs with an interval.
//!
//! Reads: crates/llm-train/src/objective/{dpo,preference,window}.rs, crates/llm-core/src/ops/log_prob_loss.rs.
//! Try: `--quick`, `--beta 0.5`, `--steps 5`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use llm_core::device::Machine;
use llm_show::{Cell, Lesson, Table, look::clip, number::number, svg};
use llm_train::bootstrap::{RESAMPLES, paired_difference};
use llm_train::config::TrainConfig;
use llm_train::evaluate::mean_loss;
use llm_train::objective::{Dpo, Objective};
use llm_train::observe::LogRow;
use llm_train::session::Session;
use llm_train::synth::{Domain, Plan, Split, preferences, write};

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;
/// Pairs to train on, and about as many held out.
const PAIRS: usize = 240;
/// Sums in f64 of log-probabilities from f32.
const CLOSE: f64 = 1e-6;

#[derive(Args)]
struct Own {
    /// A model folder [default: the embedded model]
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// How much a difference from the frozen start counts, above 0 to 1000
    #[arg(long, default_value_t = 0.1, value_name = "B")]
    beta: f64,
    /// Optimizer steps [default: 120, with --quick 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    steps: Option<u64>,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> Result<()> {
    let machine = Machine::start(lesson.args.device.as_str(), "f32", lesson.args.threads)?;
    lesson.weather.settings(&machine.describe());
    let session = open(lesson, own)?;
    lesson.step("Pairs: one question, an answer that was chosen, one that was not");
    let (mut table, look) = (Table::new(&["question", "chosen", "rejected"]), lesson.look());
    let short = |text: &str| Cell::from(clip(look, text.trim(), 23));
    for pair in preferences(Domain::Facts, Split::HeldOut, lesson.args.seed, PAIRS).iter().take(5) {
        let question = pair.prompt.last().map_or("", |turn| &turn.content);
        table.row([short(question), short(&pair.chosen), short(&pair.rejected)]);
    }
    lesson.show(&table);
    lesson.say("Nobody says how good an answer is, only which of two is the better one.");
    let Objective::Preferred(preferred) = session.objective() else {
        anyhow::bail!("method dpo compares answers");
    };
    lesson.step(&format!("One pair by hand: reward = {} (log π - log ref)", own.beta));
    by_hand(lesson, preferred.loss, *preferred.reference.first().context("a pair")?);
    let (steps, pairs) = (session.total_steps(), session.config.batch_size);
    lesson.step(&format!("Train: {steps} steps of {pairs} pairs"));
    let before = session.losses()?;
    lesson.check("held-out loss at the start == ln 2", mean_loss(&before) - 2f64.ln(), CLOSE);
    let rows = session.train_logged(|row| lesson.weather.progress("train", row.step, steps))?;
    show_rewards(lesson, &rows, own.model.is_none());

    lesson.step("Measure: the same held-out pairs before and after");
    let after = session.losses()?;
    let fall = paired_difference(&before, &after, RESAMPLES, lesson.args.seed)?;
    let mut table = Table::new(&["pairs", "loss before", "after", "difference", "95 % interval"]);
    let interval = Cell::number(format!("[{}, {}]", number(fall.low), number(fall.high)));
    let [old, new] = [&before, &after].map(|parts| Cell::from(mean_loss(parts)));
    table.row([after.len().into(), old, new, fall.value.into(), interval]);
    lesson.show(&table);
    if own.model.is_none() {
        lesson.check_that("held-out loss", "falls", fall.high < 0.0);
    }
    lesson.solution((-2f64).exp().ln_1p(), 1e-3); // -log σ(2)
    Ok(())
}

/// The loss of one pair, and how hard it pulls, where the policy has moved by some log-probability.
fn by_hand(lesson: &mut Lesson, dpo: Dpo, reference: [f64; 2]) {
    let mut table = Table::new(&["log π chosen", "rejected", "margin", "loss", "pull"]);
    for moved in [-10.0, 0.0, 10.0, 30.0] {
        let [chosen, rejected] = [reference[0] + moved, reference[1] - moved];
        let pair = dpo.pair([chosen, rejected], reference);
        table.row([chosen, rejected, pair.margin(), pair.loss, -pair.slopes[0]].map(Cell::from));
    }
    lesson.show(&table);
    lesson.say("Pairs that are the wrong way round pull hardest; far apart ones hardly at all.");
    let start = dpo.pair(reference, reference).loss;
    lesson.check("unmoved, the loss is ln 2", start - 2f64.ln(), 1e-12);
}

/// Rewards on the way: the chosen answers' above the rejected ones', where the model `knows` the facts.
fn show_rewards(lesson: &mut Lesson, rows: &[LogRow], knows: bool) {
    let names = ["chosen", "rejected", "margins", "accuracies"];
    let of = |row: &LogRow, name: &str| row.measures[&format!("rewards/{name}")];
    let mut table = Table::new(&["step", "loss", "chosen", "rejected", "margin", "right"]);
    for row in rows.iter().step_by((rows.len() / 6).max(1)) {
        let start = [Cell::from(row.step as usize), row.loss.into()];
        table.push(start.into_iter().chain(names.map(|name| of(row, name).into())).collect());
    }
    lesson.show(&table);
    let (first, last) = (&rows[0], &rows[rows.len() - 1]);
    lesson.check("first loss == ln 2", first.loss - 2f64.ln(), CLOSE);
    if knows && rows.len() > 1 {
        let rises = of(last, "margins") > of(first, "margins");
        lesson.check_that("the margin of the rewards", "rises", rises);
    }
    let line = |name: &str| svg::Line {
        name: name.into(),
        points: rows.iter().map(|row| (row.step as f64, of(row, name))).collect(),
    };
    let lines = ["chosen", "rejected"].map(line);
    lesson.picture(|| svg::lines("Rewards part", ["step", "reward"], &lines));
}

/// A run of DPO on pairs of facts: right answers beside right ones to another question.
fn open(lesson: &Lesson, own: &Own) -> Result<Session> {
    let (seed, quick, root) = (lesson.args.seed, lesson.args.quick, env!("CARGO_MANIFEST_DIR"));
    let data = PathBuf::from(format!("output_models/corpus/facts-{seed}"));
    if !data.is_dir() {
        let plan = Plan { seed, documents: 1, domains: vec![Domain::Facts], tasks: PAIRS };
        write(&data, &plan, false, |_, _| ())?;
    }
    let root = Path::new(root).join("../..");
    let model = own.model.as_deref().unwrap_or("output_models/deeper-tiny");
    let base = lessons_hfcore::bundled::folder(model)?;
    let config = TrainConfig {
        model_name: Some(base.display().to_string()),
        beta: Some(own.beta),
        dataset_path: data.join("pairs_train.jsonl"),
        validation_path: Some(data.join("pairs_heldout.jsonl")),
        max_steps: Some(own.steps.unwrap_or(if quick { 30 } else { 120 })),
        logging_steps: 1,
        eval_steps: 0,
        seed,
        device: lesson.args.device.as_str().to_owned(),
        ..TrainConfig::load(&root.join("configs/deeper_tiny/dpo.yaml"), &[])?
    };
    Ok(Session::open(config, Some(&base))?)
}
