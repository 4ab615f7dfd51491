//! What is a checkpoint, and how do its files become the next word?
//!
//! What you will see: a folder's three files by hand and then by the library, our decoder beside
//! another implementation on the same weights, the likeliest next words, a text, token by token.
//!
//! Reads: lessons/hfcore/transformers/src/files.rs, crates/llm-store/src/safetensors/header.rs,
//! crates/llm-core/src/model/decoder.rs, crates/llm-core/src/generate.rs.
//! Try: `--prompt "Once upon a time"`, `--top 10`, `--model Qwen/Qwen3-0.6B`.

use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{DType, Device, IndexOp, Tensor};
use clap::Args;
use lessons_hfcore::bundled::{MODEL, folder};
use lessons_hfcore::cost::spent;
use lessons_transformers::files::{front, no_gaps};
use lessons_transformers::steps::{self, apart, likeliest, logits};
use lessons_transformers::theirs::{Theirs, obstacle};
use llm_core::model::{Decoder, count};
use llm_core::text::{hf::HfTokenizer, visible::tokens};
use llm_core::{device::Machine, params::Mode};
use llm_show::{Bars, Lesson, look::clip, number, svg};
use llm_store::{ModelFolder, folder::weight_files};

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;
/// Logits of two implementations in f32, of size 1 to 30.
const SAME: f64 = 1e-3;
/// Sums of some thousand probabilities in f64.
const CLOSE: f64 = 1e-9;

#[derive(Args)]
struct Own {
    /// A Hugging Face folder or a hub id (org/name)
    #[arg(long, default_value = MODEL, value_name = "M")]
    model: String,
    /// The text to go on with
    #[arg(long, default_value = "The capital of France is", value_name = "TEXT")]
    prompt: String,
    /// Candidates to show, 1 to 20
    #[arg(long, default_value_t = 5, value_name = "K", value_parser = clap::value_parser!(u64).range(1..=20))]
    top: u64,
    /// Tokens to generate, 1 to 100
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    max_new_tokens: u64,
}

fn main() -> std::process::ExitCode {
    lessons_hfcore::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> Result<()> {
    let start = Instant::now();
    lesson.weather.settings(&Machine::start("cpu", "f32", lesson.args.threads)?.describe());
    let open = ModelFolder::open(&folder(&own.model)?)?;
    weights_file(lesson, &open)?;
    let tokenizer = HfTokenizer::from_file(open.tokenizer()?)?;
    let ids = tokenizer_file(lesson, &open, &tokenizer, &own.prompt)?;

    // Both models hold the same tensors, not copies.
    let wide = |(name, tensor): (String, Tensor)| Ok((name, tensor.to_dtype(DType::F32)?));
    let tensors = open.tensors()?.into_iter().map(wide).collect::<Result<_>>()?;
    let (obstacle, config) = (obstacle(&open.config), &open.config);
    let theirs = obstacle.is_none().then(|| Theirs::new(config, &tensors)).transpose()?;
    let (model, _) = Decoder::load(config, tensors, Mode::Frozen, DType::F32, &Device::Cpu)?;
    spent(&mut lesson.weather, "two models loaded", start);
    lesson.step("The same weights under two programs: ours, and candle-transformers' Qwen3");
    let text = steps::continued(&model, &ids, if lesson.args.quick { 40 } else { 100 })?;
    lesson.shape("logits", &[('T', text.len()), ('V', config.vocab_size)], "f32");
    match theirs {
        None => lesson.say(obstacle.unwrap_or_default()),
        Some(mut theirs) => {
            let (gap, others) = apart(&logits(&model, &text)?, &theirs.logits(&text)?)?;
            lesson.check("largest difference of a logit", gap, SAME);
            lesson.check_equal("positions with another likeliest token", &others, &0);
        }
    }
    spent(&mut lesson.weather, "both compared", start);
    candidates(lesson, &logits(&model, &ids)?.i(ids.len() - 1)?, &tokenizer, own)?;

    lesson.step("Write: put the likeliest token behind the text and read on");
    let length = ids.len() + own.max_new_tokens as usize;
    let cached = steps::continued(&model, &ids, length)?;
    lesson.say(&format!("{:?}", tokenizer.decode(&cached)?));
    let plain = steps::without_cache(&model, &ids, own.max_new_tokens as usize)?;
    lesson.check_that("with a cache == reading all again", "same tokens", cached == plain);
    spent(&mut lesson.weather, "the lesson", start);
    // 8 bytes, a header of 40, 2 · 3 · 4 numbers of 4 bytes
    lesson.solution(144.0, 0.0);
    Ok(())
}

fn weights_file(lesson: &mut Lesson, open: &ModelFolder) -> Result<()> {
    lesson.step("config.json: the shape of the model");
    lesson.show(&steps::shape_table(&open.config));
    let name = weight_files(open.path())?.into_iter().next().context("a file of weights")?;
    lesson.step(&format!("{name}: eight bytes, a header of JSON, then nothing but numbers"));
    let path = open.path().join(name);
    let found = front(&path)?;
    let bytes: Vec<String> = found.prefix.iter().map(|byte| format!("{byte:02x}")).collect();
    lesson.exhibit_line(&format!("{}  a header of {} bytes", bytes.join(" "), found.length));
    lesson.show(&steps::front_table(&found));
    lesson.check_that("tensors follow each other", "to the last byte", no_gaps(&found));
    lesson.check_that("the library reads", "the same", steps::read_alike(&found, &path)?);
    let both = [steps::parameters(open), count::total(&open.config)];
    let [stored, formula] = both.map(number::count);
    lesson.check_equal("parameters, from file and config.json", &stored, &formula);
    Ok(())
}

fn tokenizer_file(
    lesson: &mut Lesson,
    open: &ModelFolder,
    tokenizer: &HfTokenizer,
    prompt: &str,
) -> Result<Vec<u32>> {
    lesson.step("tokenizer.json: tokens with ids, and which neighbours are joined first");
    let (look, ascii, word) = (lesson.look(), lesson.look().ascii, steps::longest_word(prompt));
    if let (Some(merges), Some(word)) = (steps::read_merges(&open.tokenizer()?)?, word) {
        let (parts, theirs) = (merges.tokens(&word), tokenizer.encode(&word)?);
        lesson.exhibit_line(&format!("{} tokens, {} merges", merges.ids.len(), merges.ranks.len()));
        lesson.exhibit_line(&[tokens([&word], ascii), tokens(&parts, ascii)].join(" becomes "));
        let ids = parts.iter().map(|part| merges.ids.get(part).copied());
        let same = ids.eq(theirs.into_iter().map(|id| Some(u64::from(id))));
        lesson.check_that("joined by hand == tokenizers", "same ids", same);
    }
    let ids = steps::ids_of(tokenizer, prompt, open.config.max_position_embeddings)?;
    let shown = tokens(ids.iter().map(|&id| tokenizer.piece(id)), ascii);
    lesson.exhibit_line(&clip(look, &format!("{shown}  {ids:?}"), 76));
    Ok(ids)
}

fn candidates(
    lesson: &mut Lesson,
    last: &Tensor,
    tokenizer: &HfTokenizer,
    own: &Own,
) -> Result<()> {
    lesson
        .step(&format!("After {:?}: scores become shares, and these are the largest", own.prompt));
    let (best, sum) = likeliest(last, own.top as usize)?;
    let ascii = lesson.look().ascii;
    let name = |id: u32| tokens([tokenizer.piece(id)], ascii);
    let bars: Vec<_> = best.iter().map(|&(id, share)| (name(id), share)).collect();
    lesson.show(&Bars::new(bars.clone()).full(1.0));
    lesson.check("shares of the whole vocabulary, sum - 1", sum - 1.0, CLOSE);
    lesson.picture(|| svg::bars("Candidates for the next token", "probability", &bars));
    Ok(())
}
