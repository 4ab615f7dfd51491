//! Do the base, the fully trained model and the adapter answer alike?
//!
//! What you will see: what a program has to cut off a model's output, three models beside each other,
//! adapter and merged weights token by token, all answers as a CSV file.
//!
//! It takes the newest runs of the two lessons before it.
//!
//! Reads: crates/llm-core/src/generate.rs, crates/llm-train/src/prompt.rs, crates/llm-core/src/lora.rs.
//! Try: `--ask "What does the heart do?"`, `--rows 3`, `--adapter FOLDER`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use lessons_hfcore::asked::{Candidate, Said, as_text, ask, merged, questions, typed};
use lessons_hfcore::bundled::{HELD_OUT, MODEL, here};
use lessons_hfcore::cost::{begin, spent};
use lessons_hfcore::tuning::MAX_NEW_TOKENS;
use llm_core::text::visible::tokens;
use llm_show::{Cell, Lesson, Table, look::clip};
use llm_train::{data::Message, eval::Subject, evaluate::exact_match};

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

#[derive(Args)]
struct Own {
    /// The base: a Hugging Face folder or a hub id (org/name)
    #[arg(long, default_value = MODEL, value_name = "M")]
    model: String,
    /// The fully trained model [default: the newest run of 03_dataset_plus_finetune_full]
    #[arg(long, value_name = "FOLDER")]
    full: Option<PathBuf>,
    /// The adapter on the base [default: the newest run of 04_dataset_plus_finetune_lora]
    #[arg(long, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    /// Ask this instead of held-out questions
    #[arg(long, value_name = "TEXT")]
    ask: Option<String>,
    /// Held-out questions to ask, 1 to 200
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=200))]
    rows: u64,
    /// Where all answers go
    #[arg(long, default_value = "output_models/answers.csv", value_name = "FILE")]
    csv: PathBuf,
}

/// A question and what should be said; nothing is known of a question that a person typed.
type Question = (Vec<Message>, String);

fn main() -> std::process::ExitCode {
    lessons_hfcore::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> Result<()> {
    let (start, tool) = begin(lesson)?;
    let all = Candidate::all(&own.model, own.full.as_deref(), own.adapter.as_deref())?;
    let asked: Vec<Question> = match &own.ask {
        Some(text) => vec![(typed(text), String::new())],
        None => {
            let rows = questions(&here(HELD_OUT), own.rows as usize)?;
            rows.iter().map(|row| (row.prompt().to_vec(), row.completion().to_owned())).collect()
        }
    };
    let mut said: Vec<Vec<Said>> = Vec::new();
    for one in &all {
        // One model at a time: three of them may not fit into memory
        let subject = one.open(&tool)?;
        if said.is_empty() {
            output(lesson, &subject, asked.first().context("a question")?)?;
        }
        let ask = |(prompt, _): &Question| ask(&subject, prompt, MAX_NEW_TOKENS);
        said.push(asked.iter().map(ask).collect::<Result<_>>()?);
        spent(&mut lesson.weather, one.name, start);
    }
    beside(lesson, &asked, &said);

    lesson.step("The adapter beside the base, and added into its weights: the same tokens?");
    let [_, _, adapter] = &all;
    let subject = merged(adapter.open(&tool)?)?;
    let mut same = true;
    for ((prompt, _), before) in asked.iter().zip(&said[2]) {
        same &= ask(&subject, prompt, MAX_NEW_TOKENS)?.new == before.new;
    }
    lesson.check_that("adapter and merged, every token", "the same", same);

    lesson.step(&format!("All answers in {}, a row for each question", own.csv.display()));
    write_csv(&own.csv, &asked, &said)?;
    let rows = csv::Reader::from_path(&own.csv)?.records().count();
    lesson.check_equal("rows, read again", &rows, &asked.len());
    spent(&mut lesson.weather, "the lesson", start);
    lesson.solution_word("prompt");
    Ok(())
}

/// Prompt and answer are one list of tokens; the answer begins where the prompt ends.
fn output(lesson: &mut Lesson, subject: &Subject, (prompt, expected): &Question) -> Result<()> {
    lesson.step("What a model returns is the prompt with new tokens behind it: cut the prompt off");
    let (look, tokenizer) = (lesson.look(), &subject.codec.tokenizer);
    let said = ask(subject, prompt, MAX_NEW_TOKENS)?;
    let shown = |ids: &[u32]| tokens(ids.iter().map(|&id| tokenizer.piece(id)), look.ascii);
    for (name, ids) in [("prompt", &said.prompt), ("new", &said.new)] {
        let line = format!("{name:8} {:>3} tokens  {}", ids.len(), shown(ids));
        lesson.exhibit_line(&clip(look, &line, 76));
    }
    let whole = subject.codec.decode(&[said.prompt.clone(), said.new.clone()].concat())?;
    let inside = whole.contains(&as_text(prompt));
    lesson.check_that("the question stands in the whole output", "yes", inside);
    let echoed = said.new.starts_with(&said.prompt);
    lesson.check_that("what is kept begins with the prompt", "no", !echoed);
    // Without the cut nothing would ever match, however good the model is.
    lesson.check_that("whole output == expected answer", "never", !exact_match(&whole, expected));
    Ok(())
}

fn beside(lesson: &mut Lesson, asked: &[Question], said: &[Vec<Said>]) {
    lesson.step("The same questions to three models, always the likeliest token");
    let look = lesson.look();
    let mut table = Table::new(&["question", "expected", "base", "full", "LoRA"]).limit(20);
    for (index, (prompt, expected)) in asked.iter().enumerate() {
        let cell = |text: &str, columns| Cell::from(clip(look, &text.replace('\n', " "), columns));
        let answers = said.iter().map(|one| cell(&one[index].text, 12));
        let start = [cell(&as_text(prompt), 21), cell(expected, 12)];
        table.push(start.into_iter().chain(answers).collect());
    }
    lesson.show(&table);
}

fn write_csv(path: &Path, asked: &[Question], said: &[Vec<Said>]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = csv::Writer::from_path(path).with_context(|| path.display().to_string())?;
    file.write_record(["question", "expected", "base", "full", "lora"])?;
    for (index, (prompt, expected)) in asked.iter().enumerate() {
        let question = as_text(prompt);
        let answers = said.iter().map(|one| one[index].text.as_str());
        file.write_record([question.as_str(), expected.as_str()].into_iter().chain(answers))?;
    }
    Ok(file.flush()?)
}
