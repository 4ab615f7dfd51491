//! How small can a GPT be and still learn to write?
//!
//! What you will see: a whole GPT of 2,453 numbers, the lowest loss that anything could reach on its
//! text and why it is not zero, training down to that floor, and the text it then writes.
//!
//! Reads: crates/llm-core/src/{model/tiny_gpt,math/loss}.rs, crates/llm-train/src/optimizer.rs.
//! Try: `--epochs 50`, `--prompt o`, `--seed 8`.

use anyhow::Result;
use clap::Args;
use llm_core::device::Machine;
use llm_core::math::loss::{continuations, floor};
use llm_core::model::tiny_gpt::{TinyGpt, TinyGptConfig};
use llm_core::text::chars::CharTokenizer;
use llm_core::{nn::Pass, ops::Ops};
use llm_show::{Curve, Lesson, Table, number};
use llm_train::schedule::{Schedule, ScheduleKind};
use llm_train::{optimizer::AdamW, step::Stepper};

/// Everything the model ever reads.
const TEXT: &str = "hello hello";
/// Where 200 epochs end, measured over 20 seeds: 0.050 to 0.072.
const BAND: (f64, f64) = (0.0495, 0.075);

/// Own flags.
#[derive(Args)]
struct Own {
    /// Passes over the seven windows, 1 to 10,000
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    epochs: u64,
    /// The text to continue, of the characters " ehlo"
    #[arg(long, default_value = "hell", value_name = "TEXT")]
    prompt: String,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> Result<()> {
    let machine = Machine::start("cpu", "f32", lesson.args.threads)?;
    lesson.weather.settings(&machine.describe());
    let chars = CharTokenizer::from_text(TEXT);
    let prompt = chars.encode(&own.prompt)?;
    let ids = chars.encode(TEXT)?;
    let config = TinyGptConfig::default();
    let windows: Vec<&[u32]> = ids.windows(config.context + 1).collect();

    lesson.step("11 characters become ids, ids become windows: read 4, guess the next");
    lesson.exhibit_line(&format!("{:?} -> {ids:?}", chars.chars()));
    lesson.shape("X, y", &[('B', windows.len()), ('T', config.context)], "u32");
    let mut table = Table::new(&["X", "y"]);
    let text = |ids: &[u32]| format!("{:?}", chars.decode(ids).unwrap_or_default());
    for window in &windows {
        table.row([text(&window[..config.context]).into(), text(&window[1..]).into()]);
    }
    lesson.show(&table);
    show_model(lesson, &config);
    let lowest = show_floor(lesson, &chars, &ids, config.context);

    lesson.step(&format!("Train: {} passes over all windows, Adam, lr 0.01", own.epochs));
    let (model, losses) = train(lesson, &windows, own)?;
    lesson.show(&Curve::new(&losses, "epoch").log().reference(lowest, "floor"));
    lesson.check_that("no loss below the floor", "never", losses.iter().all(|&x| x >= lowest));
    lesson.check_between("loss before training: ln 5 and noise", losses[0], (1.3, 2.6));
    if own.epochs == 200 {
        lesson.check_between("loss after training", losses[losses.len() - 1], BAND);
    }

    lesson.step("Write: always the likeliest next character");
    let written = chars.decode(&model.greedy(&prompt, 20, &Pass::eval(Ops::Fused))?)?;
    lesson.exhibit_line(&format!("{:?} goes on: {written:?}", own.prompt));
    if own.epochs == 200 && own.prompt == "hell" {
        let repeats = written == "hello hello hello hello ";
        lesson.check_that("the text repeats", "hello, hello", repeats);
    }
    lesson.solution(2_486.0, 0.0);
    Ok(())
}

fn show_model(lesson: &mut Lesson, config: &TinyGptConfig) {
    lesson.step("The model: one block, every tensor by name");
    let mut table = Table::new(&["tensor", "shape", "numbers"]);
    let mut total = 0;
    for (name, shape) in TinyGpt::shapes(config) {
        let count: usize = shape.iter().product();
        table.row([name.into(), format!("{shape:?}").into(), count.into()]);
        total += count;
    }
    table.row(["sum".into(), "".into(), total.into()]);
    table.total();
    lesson.show(&table);
    lesson.check_equal("parameters", &number::count(total as u64), &"2,453".to_owned());
}

/// Prints what no model can know; returns the lowest mean loss.
fn show_floor(lesson: &mut Lesson, chars: &CharTokenizer, ids: &[u32], context: usize) -> f64 {
    lesson.step("The floor: where one context goes on in two ways, no model can be sure");
    let counts = continuations(ids, context);
    let places: usize = counts.values().flat_map(|next| next.values()).sum();
    for (seen, next) in counts.iter().filter(|(_, next)| next.len() > 1) {
        let text = |ids: &[u32]| chars.decode(ids).unwrap_or_default();
        let ways = next.iter().map(|(&id, count)| format!("  {:?} {count} x", text(&[id])));
        lesson.exhibit_line(&format!("after {:?}:{}", text(seen), ways.collect::<String>()));
    }
    let lowest = floor(&counts);
    lesson.exhibit_line(&format!("2 x ln 2 / {places} = {lowest:.7}"));
    lesson.check("floor from counting == 0.0495105", lowest - 0.049_510_5, 1e-7);
    lowest
}

/// Full-batch Adam without decay; the model, and the loss before each update and at the end.
fn train(lesson: &mut Lesson, windows: &[&[u32]], own: &Own) -> Result<(TinyGpt, Vec<f64>)> {
    let (model, parameters) = TinyGpt::init(&TinyGptConfig::default(), lesson.args.seed)?;
    let optimizer = AdamW::new(&parameters, Default::default(), |_, _| false)?;
    let (kind, lr, total_steps) = (ScheduleKind::Constant, 0.01, own.epochs);
    let schedule = Schedule { kind, max_lr: lr, min_lr: lr, warmup_steps: 0, total_steps };
    let mut stepper =
        Stepper { parameters, optimizer, schedule, max_grad_norm: None, scaler: None };
    let loss = || model.loss(windows, &Pass::eval(Ops::Fused));
    let mut losses = Vec::new();
    for epoch in 1..=own.epochs {
        losses.push(stepper.step(1, |_| Ok(loss()?))?.loss);
        lesson.weather.progress("train", epoch, own.epochs);
    }
    losses.push(f64::from(loss()?.to_scalar::<f32>()?));
    Ok((model, losses))
}
