//! Can a model get better when all it hears is right or wrong?
//!
//! What you will see: eight answers to one question with their rewards and advantages, where a ratio is
//! clipped, runs over three seeds, held-out rewards before and after with intervals, how far they went.
//!
//! Reads: crates/llm-train/src/objective/{grpo,policy}.rs, crates/llm-core/src/generate.rs.
//! Try: `--quick`, `--beta 0.5`, `--steps 5`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use lessons_hfcore::groups::a_mixed_group;
use llm_core::device::Machine;
use llm_show::{Cell, Lesson, Table, look::clip, number::number, read};
use llm_train::bootstrap::{Part, RESAMPLES, paired_difference};
use llm_train::config::TrainConfig;
use llm_train::evaluate::mean_loss;
use llm_train::objective::{Objective, Rewarded, TokenLogProbs};
use llm_train::session::Session;
use llm_train::synth::{Domain, Plan, write};

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;
/// Runs, each with answers, adapters and an order of its own.
const SEEDS: u64 = 3;
/// Comparisons to learn from; held-out ones to measure on, in a full and in a quick run.
const QUESTIONS: (usize, usize, usize) = (320, 160, 40);

#[derive(Args)]
struct Own {
    /// A model folder [default: the embedded model]
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// The weight of the KL term, 1e-6 to 1000
    #[arg(long, default_value_t = 0.02, value_name = "B")]
    beta: f64,
    /// Optimizer steps of each run [default: 60, with --quick 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    steps: Option<u64>,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> Result<()> {
    let machine = Machine::start(lesson.args.device.as_str(), "f32", lesson.args.threads)?;
    lesson.weather.settings(&machine.describe());
    read::within("--beta", own.beta, 1e-6..=1e3, "--beta 0.02")?;
    let session = open(lesson, own, 0)?;
    let Objective::Rewarded(rewarded) = session.objective() else { bail!("grpo rewards answers") };
    a_group(lesson, &rewarded)?;
    a_clip(lesson, &rewarded);
    let (steps, rows) = (session.total_steps(), session.config.batch_size);
    lesson.step(&format!("Train {SEEDS} runs: {steps} steps of {rows} questions, 8 answers each"));
    let before = session.losses()?;
    let mut table = Table::new(&["seed", "right before", "after", "95 % of the rise", "last KL"]);
    let mut all = [Vec::new(), Vec::new()];
    for run in 0..SEEDS {
        let session = open(lesson, own, run)?;
        let rows = session.train_logged(|row| {
            lesson.weather.progress("train", run * steps + row.step, SEEDS * steps);
        })?;
        let kl: Vec<f64> = rows.iter().filter_map(|row| row.measures.get("kl").copied()).collect();
        if run == 0 {
            lesson.check("KL before the first step", *kl.first().context("a KL")?, 1e-6);
        }
        let after = session.losses()?;
        let (seed, last) = (session.config.seed, Cell::from(*kl.last().context("a KL")?));
        table.push(compared(&seed.to_string(), [&before, &after], seed, last)?);
        all[0].extend_from_slice(&before);
        all[1].extend_from_slice(&after);
    }
    table.push(compared("all", [&all[0], &all[1]], lesson.args.seed, "".into())?);
    table.total();
    lesson.show(&table);
    lesson.say("The reward never says how: answers that happened to be right are made likelier.");
    if own.model.is_none() && own.steps.is_none() && !lesson.args.quick {
        let missed = paired_difference(&all[0], &all[1], RESAMPLES, lesson.args.seed)?;
        lesson.check_that("share of right answers", "rises, interval above 0", missed.high < 0.0);
    }
    lesson.solution(0.75, 1e-9); // 1 - 2/8
    Ok(())
}

/// One question, a group of answers, and what each is worth beside the others.
fn a_group(lesson: &mut Lesson, rewarded: &Rewarded) -> Result<()> {
    lesson.step("One question, eight answers: what is each worth beside the others?");
    let (look, (question, group)) = (lesson.look(), a_mixed_group(rewarded)?);
    lesson.exhibit_line(&clip(look, &question, 76));
    let mut table = Table::new(&["answer", "tokens", "reward", "advantage"]);
    for answer in &group {
        let text = answer.text.replace("<think>\n\n</think>\n\n", "").escape_debug().to_string();
        let (text, tokens) = (clip(look, &text, 40), answer.tokens.len());
        table.row([text.into(), tokens.into(), answer.reward.into(), answer.advantage.into()]);
    }
    lesson.show(&table);
    let sum: f64 = group.iter().map(|answer| answer.advantage).sum();
    lesson.check("mean advantage of the group", sum / 8.0, 1e-12);
    Ok(())
}

/// The loss of a token and its slope where the policy has moved.
fn a_clip(lesson: &mut Lesson, rewarded: &Rewarded) {
    lesson.step("A step may only go so far: the slope of a token is 0 where its ratio is clipped");
    let mut table = Table::new(&["ratio", "good: loss", "slope", "bad: loss", "slope"]);
    for ratio in [0.5, 0.9, 1.0, 1.1, 1.5] {
        let token = TokenLogProbs { policy: f64::ln(ratio), old: 0.0, reference: None };
        let [good, bad] = [1.0, -1.0].map(|advantage| rewarded.loss.token(token, advantage));
        table.row([ratio, good.loss, good.slope, bad.loss, bad.slope].map(Cell::from));
    }
    lesson.show(&table);
}

/// A row of the table. A question's loss is 1 where it is missed: what falls there rises here.
fn compared(name: &str, parts: [&[Part]; 2], seed: u64, last: Cell) -> Result<Vec<Cell>> {
    let missed = paired_difference(parts[0], parts[1], RESAMPLES, seed)?;
    let interval = Cell::number(format!("[{}, {}]", number(-missed.high), number(-missed.low)));
    let [old, new] = parts.map(|parts| Cell::from(1.0 - mean_loss(parts)));
    Ok(vec![name.into(), old, new, interval, last])
}

/// A run of GRPO on comparisons that are to be answered at once.
fn open(lesson: &Lesson, own: &Own, run: u64) -> Result<Session> {
    let (seed, quick) = (lesson.args.seed, lesson.args.quick);
    let data = PathBuf::from(format!("output_models/corpus/comparisons-{seed}"));
    let plan = Plan { seed, documents: 1, domains: vec![Domain::Arithmetic], tasks: QUESTIONS.0 };
    if !data.is_dir() {
        write(&data, &plan, false, |_, _| ())?;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let model = own.model.as_deref().unwrap_or("output_models/deeper-tiny");
    let base = lessons_hfcore::bundled::folder(model)?;
    let config = TrainConfig {
        model_name: Some(base.display().to_string()),
        beta: Some(own.beta),
        dataset_path: data.join("comparisons_train.jsonl"),
        validation_path: Some(data.join("comparisons_heldout.jsonl")),
        max_steps: Some(own.steps.unwrap_or(if quick { 5 } else { 60 })),
        seed: seed.wrapping_add(run),
        device: lesson.args.device.as_str().to_owned(),
        ..TrainConfig::load(&root.join("configs/deeper_tiny/grpo.yaml"), &[])?
    };
    let mut session = Session::open(config, Some(&base))?;
    // Measured before and after, not on the way
    session.dataset.validation.clear();
    session.dataset.held_out_asked.truncate(if quick { QUESTIONS.2 } else { QUESTIONS.1 });
    Ok(session)
}
