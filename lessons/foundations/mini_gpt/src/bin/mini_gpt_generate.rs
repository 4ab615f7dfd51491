//! How does a trained model write, one character at a time?
//!
//! What you will see: the candidates for the next character with their probabilities, a draw, the
//! next candidates, and so on; the whole text; where the model was least sure.
//!
//! It takes the model of `mini_gpt_train`. Before you have trained one, it takes a small model that
//! comes with the course, so that there is something to see at once.
//!
//! Reads: crates/llm-train/src/chars/{write,folder}.rs, crates/llm-core/src/sample.rs.
//! Try: `"Python is"`, `"The transformer" 200`, `--temperature 0`, `--temperature 2 --top-k 0`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use llm_core::math::softmax::entropy;
use llm_core::sample::{Candidate, SamplerConfig};
use llm_core::{device::Machine, text::chars::CharTokenizer};
use llm_show::{Bars, Complaint, Lesson, number, svg};
use llm_train::chars::folder::{self, CharModel};
use llm_train::chars::write::{Pick, Writer, write, write_greedy};
use llm_train::chars::{encode_prompt, parts, recipe::FOLDERS};

/// What makes the model that this lesson is about.
const TRAIN: &str = "cargo run --release --bin mini_gpt_train -- --fast";
/// Candidates with a smaller share have no bar.
const RARE: f64 = 1e-3;
/// Characters of a row of the written text: a terminal of 80 columns, less the margin.
const ROW: usize = 76;
/// Characters of the texts that are written twice for a check.
const TWICE: usize = 24;
/// Sums of a few dozen probabilities in f64.
const CLOSE: f64 = 1e-12;

#[derive(Args)]
struct Own {
    /// What to continue, in characters that the model knows
    #[arg(default_value = "it ", value_name = "PROMPT")]
    prompt: String,
    /// Characters to write, 1 to 2,000
    #[arg(default_value_t = 100, value_name = "LENGTH", value_parser = clap::value_parser!(u64).range(1..=2_000))]
    length: u64,
    /// Divides the scores, 0 to 100; 0 always takes the best character
    #[arg(long, default_value_t = 0.8, value_name = "T", allow_negative_numbers = true)]
    temperature: f64,
    /// Draw from the N best characters; 0 keeps all
    #[arg(long, default_value_t = 20, value_name = "N")]
    top_k: usize,
    /// The model's folder [default: output_models/mini_gpt, else mini_gpt_fast beside it, else the
    /// bundled small one]
    #[arg(long, value_name = "FOLDER")]
    model: Option<PathBuf>,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> Result<()> {
    lesson.weather.settings(&Machine::start("cpu", "f32", lesson.args.threads)?.describe());
    let CharModel { model, chars } = open(lesson, own.model.as_deref())?;
    let config = SamplerConfig {
        temperature: own.temperature,
        top_k: own.top_k,
        seed: lesson.args.seed,
        ..SamplerConfig::default()
    };
    let prompt = encode_prompt(&chars, &own.prompt)
        .map_err(|[problem, hint]| Complaint::new(problem).hint(hint))?;
    let mut writer = Writer::new(&model, &prompt, config)
        .map_err(|error| Complaint::new(error.to_string()).hint("--temperature 0.8"))?;
    let picks: Vec<Pick> = (0..own.length).map(|_| writer.pick()).collect::<Result<_, _>>()?;
    let ids: Vec<u32> = prompt.iter().copied().chain(picks.iter().map(|pick| pick.id)).collect();

    lesson.step("Score every character, keep the best, draw one, put it behind the text, again");
    for (place, pick) in picks.iter().enumerate().take(3) {
        show_pick(lesson, &chars, &ids[..prompt.len() + place], pick)?;
    }
    let sum = |list: &[Candidate]| list.iter().map(|one| one.probability).sum::<f64>();
    let worst = picks.iter().map(|pick| (sum(&pick.candidates) - 1.0).abs()).fold(0.0, f64::max);
    lesson.check("probabilities sum to 1", worst, CLOSE);

    let (t, k) = (own.temperature, own.top_k);
    lesson.step(&format!("The text: {} characters at T = {t}, top-k {k}", own.length));
    for line in chars.decode(&ids)?.lines() {
        let line: Vec<char> = line.chars().collect();
        // A hot model writes few line ends.
        line.chunks(ROW).for_each(|row| lesson.exhibit_line(&String::from_iter(row)));
    }
    let again = write(&model, &prompt, TWICE, config)?;
    let same = again.iter().zip(&ids[prompt.len()..]).all(|(a, b)| a == b);
    lesson.check_that("the same seed again", "same text", same);
    let cold = write(&model, &prompt, TWICE, SamplerConfig { temperature: 0.0, ..config })?;
    let best = write_greedy(&model, &prompt, TWICE)?;
    lesson.check_that("T = 0 == always the best character", "same text", cold == best);

    lesson.step("Where it was least sure: the widest choice of all draws");
    let spread =
        |pick: &Pick| entropy(&pick.candidates.iter().map(|c| c.probability).collect::<Vec<_>>());
    let unsure = (0..picks.len()).max_by(|&a, &b| spread(&picks[a]).total_cmp(&spread(&picks[b])));
    let unsure = unsure.unwrap_or(0);
    show_pick(lesson, &chars, &ids[..prompt.len() + unsure], &picks[unsure])?;
    let names = bars(&chars, &picks[unsure])?;
    lesson.picture(|| svg::bars("Candidates for the next character", "probability", &names));
    // The last 64 characters are seen.
    lesson.solution(136.0, 0.0);
    Ok(())
}

/// The model to write with.
fn open(lesson: &mut Lesson, asked: Option<&Path>) -> Result<CharModel> {
    let trained = FOLDERS.map(Path::new).into_iter().find(|folder| folder.is_dir());
    let (name, model) = match asked.or(trained) {
        Some(path) => (path.display().to_string(), folder::open(path)),
        None => ("the small model that comes with the course".to_owned(), folder::small()),
    };
    let model = model.map_err(|error| Complaint::new(error.to_string()).hint(TRAIN))?;
    lesson.step(&format!("The model: {name}"));
    let parts = parts(model.model.config())?;
    let count: usize = parts.iter().map(|part| part.1).sum();
    let (v, context) = (model.chars.vocab_size(), model.model.config().max_position_embeddings);
    let count = number::count(count as u64);
    lesson.exhibit_line(&format!("{count} parameters, {v} characters, sees the last {context}"));
    if asked.or(trained).is_none() {
        lesson.exhibit_line(&format!("a larger one:  {TRAIN}"));
    }
    Ok(model)
}

/// The likely candidates behind `text`, and which one was drawn.
fn show_pick(lesson: &mut Lesson, chars: &CharTokenizer, text: &[u32], pick: &Pick) -> Result<()> {
    let end = chars.decode(&text[text.len().saturating_sub(24)..])?;
    let drawn = chars.decode(&[pick.id])?;
    lesson.exhibit_line(&format!("after {end:?}: {drawn:?} is drawn"));
    lesson.show(&Bars::new(bars(chars, pick)?).full(1.0));
    Ok(())
}

/// The candidates that are likely enough to be seen, and the one that was drawn.
fn bars(chars: &CharTokenizer, pick: &Pick) -> Result<Vec<(String, f64)>> {
    let shown = |(place, one): &(usize, &Candidate)| {
        one.token == pick.id || (*place < 6 && one.probability >= RARE)
    };
    let bar = |one: &Candidate| Ok((format!("{:?}", chars.decode(&[one.token])?), one.probability));
    pick.candidates.iter().enumerate().filter(shown).map(|(_, one)| bar(one)).collect()
}
