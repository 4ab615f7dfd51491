//! Which number says that a fine-tuned model is better, and how sure is it?
//!
//! What you will see: every measure on one example, perplexity beside bits per byte, base, full and
//! LoRA on the same held-out questions with intervals, with --judge the opinion of another model.
//!
//! It takes the newest runs of lessons 03 and 04.
//!
//! Reads: crates/llm-train/src/{metrics/mod,bootstrap,eval/compare,eval/judge}.rs.
//! Try: `--quick`, `--rows 20`, `--data my_heldout.jsonl`, `--judge`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use lessons_hfcore::asked::{Candidate, questions};
use lessons_hfcore::bundled::{DATA, HELD_OUT, MODEL, here};
use lessons_hfcore::cost::{begin, spent};
use lessons_hfcore::endpoint::Endpoint;
use lessons_hfcore::scoring::{self, by_hand, by_library, scores, surely};
use llm_show::Lesson;
use llm_train::eval::Metric;
use llm_train::metrics::likelihood::perplexity;

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;
const REFERENCE: &str = "to carry blood away from the heart";
const SAID: [&str; 5] = [
    "to carry blood away from the heart",
    "To carry blood away from the heart.",
    "to carry blood to the heart",
    "away from the heart to carry blood",
    "to sense light",
];
/// Sums of a few logarithms in f64.
const ROUNDING: f64 = 1e-9;

#[derive(Args)]
struct Own {
    /// The base: a Hugging Face folder or a hub id (org/name)
    #[arg(long, default_value = MODEL, value_name = "M")]
    model: String,
    /// The fully trained model [default: the newest run of lesson 03]
    #[arg(long, value_name = "FOLDER")]
    full: Option<PathBuf>,
    /// The adapter on the base [default: the newest run of lesson 04]
    #[arg(long, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    /// Held-out rows with answers
    #[arg(long, default_value = HELD_OUT, value_name = "FILE")]
    data: PathBuf,
    /// Rows to ask [default: all, with --quick 40]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    rows: Option<u64>,
    /// Let the model that OPENAI_BASE_URL, OPENAI_MODEL and OPENAI_API_KEY name judge answers
    #[arg(long)]
    judge: bool,
}

fn main() -> std::process::ExitCode {
    lessons_hfcore::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> Result<()> {
    let (start, tool) = begin(lesson)?;
    let environment = |name: &str| std::env::var(name).ok();
    let endpoint = own.judge.then(|| Endpoint::from_env(environment)).transpose()?;
    words(lesson);
    likelihoods(lesson);
    let all = Candidate::all(&own.model, own.full.as_deref(), own.adapter.as_deref())?;
    let rows = own.rows.or(lesson.args.quick.then_some(40)).unwrap_or(1 << 20) as usize;
    lesson.step("Three models on the same held-out rows: differences row by row, with intervals");
    let (data, train) = (here(&own.data), here(DATA));
    let ours = own.data.as_os_str() == HELD_OUT;
    let files = (data.as_path(), ours.then_some(train.as_path()));
    let compared = scoring::evaluate(&all, files, rows, &tool, &mut lesson.weather)?;
    lesson.show(&scoring::table(&compared, &all));
    for (place, name) in [(1, "full: held-out loss"), (2, "LoRA: held-out loss")] {
        let fell = surely(&compared, Metric::Loss, place, -1.0)?;
        lesson.check_that(name, "fell for sure", fell);
    }
    lesson.picture(|| scoring::picture(&compared, &all));
    if let Some(endpoint) = endpoint {
        lesson.step("Another model's opinion: LoRA against base, each pair in both orders");
        let rows = questions(&data, rows.min(20))?;
        let found = scoring::opinion(&endpoint, &all, &rows, &tool, &mut lesson.weather)?;
        lesson.show(&found.table);
        lesson.exhibit_line(&found.share);
        lesson.check_equal("pairs that were judged", &found.counts[1], &found.counts[0]);
    }
    spent(&mut lesson.weather, "the lesson", start);
    lesson.solution(0.75, 0.0);
    Ok(())
}

fn words(lesson: &mut Lesson) {
    lesson.step(&format!("Measures of words, each against {REFERENCE:?}"));
    for (index, said) in SAID.iter().enumerate() {
        lesson.exhibit_line(&format!("{}  {said:?}", index + 1));
    }
    lesson.show(&scoring::measures(SAID, REFERENCE));
    let [first, second, _, turned, _] = SAID.map(|said| scores(said, REFERENCE));
    let right = first.iter().all(|score| *score > 0.99999);
    lesson.check_that("1 is right, and every measure says", "1", right);
    lesson.check("2 has a capital and a point: exact match", second[0], 0.0);
    lesson.check("4 has another order: ROUGE-1", turned[3] - 1.0, 0.0);
    lesson.exhibit_line("\"to carry blood\" for \"to carry blood away\":");
    lesson.exhibit_line("3 of 3 words right, 3 of 4 found, F1 = 2 · 1 · 0.75 / 1.75");
    let [said, reference] = ["to carry blood", "to carry blood away"];
    let pairs = by_hand(said, reference).into_iter().zip(by_library(said, reference));
    let gap = pairs.map(|(hand, library)| (hand - library).abs()).fold(0.0, f64::max);
    lesson.check("counted by hand == llm_train::metrics", gap, ROUNDING);
}

fn likelihoods(lesson: &mut Lesson) {
    lesson.step("Perplexity counts tokens, bits per byte count text: only one compares tokenizers");
    let (v, tokens) = (4_096.0_f64, 10);
    let found = perplexity(tokens as f64 * v.ln(), tokens);
    lesson.check("knows nothing of V = 4,096: perplexity V", found - v, ROUNDING);
    let (table, [letters, _, fours]) = scoring::cuts("abacabadabacabaa");
    lesson.show(&table);
    let gap = letters.bits_per_byte - fours.bits_per_byte;
    lesson.check("bits per byte, letters == fours", gap, ROUNDING);
    let differs = fours.perplexity > letters.perplexity;
    lesson.check_that("perplexity of the same text", "differs", differs);
}
