//! What does a small GPT learn from one page of text, and how far can it get?
//!
//! What you will see: a page becomes windows, a GPT of 807,040 numbers, what three ways of guessing
//! cost, training down to the floor, where in a window the cost is left, the model as a folder.
//!
//! Reads: crates/llm-train/src/chars/{windows,floor,recipe,run,folder}.rs.
//! Try: `--fast` (a minute in a release build), `--fast --text FILE`, `--quick`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use llm_core::{device::Machine, model::Decoder};
use llm_core::{sample::SamplerConfig, text::chars::CharTokenizer};
use llm_show::{Bars, Complaint, Curve, Lesson, Table, number::count, svg};
use llm_train::chars::run::{CharRun, losses_by_position};
use llm_train::chars::{PAGE, Size, encode_prompt, first_words, mean, parts, read_page};
use llm_train::chars::{floor, folder, recipe::Recipe, write::write};

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;
/// Where both recipes end on the page.
const BAND: (f64, f64) = (0.0676, 0.10);
/// Rounding of a mean over thousands of losses in f32.
const CLOSE: f64 = 1e-5;

#[derive(Args)]
struct Own {
    /// About the same end in a minute: 5 epochs, not 100; batches of 8, not 32 (more steps); rate up
    /// to 4e-3, not 3e-4, with a warmup; initial weights twice as large; no dropout
    #[arg(long)]
    fast: bool,
    /// Learn this text instead of the bundled page, up to 20,000 characters
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// What the trained model continues [default: the first three words of the text]
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Where the model goes [default: output_models/mini_gpt, with --fast mini_gpt_fast beside it]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

fn main() -> std::process::ExitCode {
    llm_alloc::keep_memory();
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> Result<()> {
    lesson.weather.settings(&Machine::start("cpu", "f32", lesson.args.threads)?.describe());
    let text = read_page(own.text.as_deref())?;
    let chars = CharTokenizer::from_text(&text);
    let prompt = own.prompt.clone().unwrap_or_else(|| first_words(&text));
    let prompt_ids = encode_prompt(&chars, &prompt)
        .map_err(|[problem, hint]| Complaint::new(problem).hint(hint))?;
    let (recipe, out) = Recipe::choose(lesson.args.quick, own.fast);
    let out = own.out.as_deref().or(out.map(Path::new));
    if cfg!(debug_assertions) && !lesson.args.quick {
        lesson.weather.warn("a build without --release trains thirty times slower");
    }
    let config = Size::MINI.config(chars.vocab_size(), &recipe)?;
    let mut run = CharRun::start(chars.encode(&text)?, &config, recipe, lesson.args.seed)?;

    show_data_and_model(lesson, &chars, &run)?;
    train(lesson, &mut run, out)?;

    lesson.step("Write: always the likeliest next character");
    let write = |model: &Decoder| write(model, &prompt_ids, 50, SamplerConfig::default());
    let written = prompt + &chars.decode(&write(&run.model)?)?;
    written.lines().for_each(|line| lesson.exhibit_line(line));
    if text == PAGE && own.prompt.is_none() && !lesson.args.quick {
        lesson.check_that("it goes on as the page does", "by heart", PAGE.starts_with(&written));
    }
    if let Some(out) = out {
        lesson.step(&format!("Keep it in {}: weights, shape and tokenizer", out.display()));
        run.keep(out, &chars)?;
        let again = chars.decode(&write(&folder::open(out)?.model)?)?;
        lesson.check_that("read again, it writes", "the same", written.ends_with(&again));
    }
    // One more character is one more row of the embedding, which is also the head: C numbers.
    lesson.solution(128.0, 0.0);
    Ok(())
}

fn show_data_and_model(lesson: &mut Lesson, chars: &CharTokenizer, run: &CharRun) -> Result<()> {
    lesson.step("Characters become ids, ids become windows: read 64, guess what follows each");
    let (windows, all) = (&run.windows, 0..run.windows.count());
    let mut table = Table::new(&["window", "reads x", "guesses y"]);
    let start = |ids: &[u32]| format!("{:?} ..", chars.decode(&ids[..20]).unwrap_or_default());
    for window in [0, 1, all.end - 1] {
        let (x, y) = windows.pair(window);
        table.row([window.into(), start(x).into(), start(y).into()]);
    }
    lesson.show(&table);
    lesson.shape("x, y", &[('B', run.recipe.batch_size), ('T', windows.context())], "u32");
    let moved = |window: usize| windows.pair(window).0[1..] == windows.pair(window).1[..63];
    lesson.check_that("y is x moved by one", "in every window", all.clone().all(moved));
    let mut seen = windows.batches(lesson.args.seed, 0, 1).concat();
    seen.sort_unstable();
    lesson.check_that("an epoch sees each window", "once", seen.into_iter().eq(all));

    lesson.step("The model is GPT-2 in small: 4 blocks of 4 heads, 128 channels, 64 positions");
    let mut table = Table::new(&["part", "parameters"]);
    let parts = parts(run.model.config())?;
    parts.iter().for_each(|part| table.row([part.0.into(), part.1.into()]));
    lesson.show(&table);
    let total: usize = parts.iter().map(|part| part.1).sum();
    let [total, sum] = [total, 801_536 + 128 * chars.vocab_size()].map(|n| count(n as u64));
    lesson.check_equal("801,536 + 128 V", &total, &sum);
    Ok(())
}

/// What guessing costs before, and training down to what nobody can know.
fn train(lesson: &mut Lesson, run: &mut CharRun, out: Option<&Path>) -> Result<()> {
    lesson.step("Three ways to guess: nothing known, letter counts known, all that can be");
    let vocabulary = run.model.config().vocab_size as f64;
    let (uniform, unigram) = (vocabulary.ln(), floor::unigram_entropy(run.windows.ids()));
    let floors = floor::floor_by_position(&run.windows);
    let lowest = mean(&floors);
    let levels = [("ln V", uniform), ("letter counts", unigram), ("floor", lowest)];
    lesson.show(&Bars::new(levels.map(|(name, loss)| (name.to_owned(), loss))));
    let before = mean(&losses_by_position(&run.model, &run.windows)?);
    lesson.check("loss of the untrained model == ln V", before - uniform, 0.2);
    let (Recipe { epochs, max_lr, .. }, total) = (run.recipe, run.total_steps());
    lesson.step(&format!("Train: {epochs} epochs, {total} steps of AdamW, lr up to {max_lr:e}"));
    run.train(out, |step| lesson.weather.progress("train", step.step, total))?;
    let losses = run.losses();
    lesson.show(&Curve::new(losses, "epoch").log().reference(lowest, "floor"));
    let [first, last] = [losses[0], losses[losses.len() - 1]];
    lesson.exhibit_line(&format!("mean loss: epoch 1 {first:.4}, last epoch {last:.4}"));
    lesson.check_that("no epoch below the floor", "never", losses.iter().all(|x| *x >= lowest));
    if !lesson.args.quick && run.windows.ids().len() == PAGE.len() {
        lesson.check_between("last epoch, floor to 0.10", last, BAND);
    }
    let points = |y: Vec<f64>| (1..).map(f64::from).zip(y).collect();
    let floor = svg::Line { name: "floor".into(), points: points(vec![lowest; losses.len()]) };
    let model = svg::Line { name: "model".into(), points: points(losses.to_vec()) };
    lesson.picture(|| svg::lines("Training on one page", ["epoch", "loss"], &[floor, model]));
    lesson.step("Where the loss is left: at the start of a window, where little is seen");
    let found = losses_by_position(&run.model, &run.windows)?;
    let mut table = Table::new(&["characters seen", "floor", "this model"]);
    for seen in [1, 2, 3, 4, 8, 16, 32, 64] {
        table.row([seen.into(), floors[seen - 1].into(), found[seen - 1].into()]);
    }
    table.row(["mean".into(), lowest.into(), mean(&found).into()]);
    lesson.show(&table);
    let below = floors.iter().zip(&found).map(|(floor, loss)| floor - loss).fold(0.0, f64::max);
    lesson.check("nowhere below the floor", below, CLOSE);
    Ok(())
}
