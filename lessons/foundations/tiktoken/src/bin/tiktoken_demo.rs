//! What do the tokenizers of production models do with the same text?
//!
//! What you will see: three vocabularies of OpenAI and our own on one sentence, then on numbers,
//! code and other scripts; a special token that a user types; and one of their lists run by our
//! own encoder. The vocabularies are inside the program: nothing is downloaded.
//!
//! Reads: crates/llm-core/src/text/bpe/{split,ranks}.rs.
//! Try: `--text "1234567 + 89"`, `--text "नमस्ते"`, `--text "<|endoftext|>"`.

use clap::Args;
use lessons_tiktoken::{KINDS, Vocabulary, all, counts};
use llm_core::text::visible::{token, tokens};
use llm_show::{Cell, Complaint, Lesson, Table, look::clip, svg};

/// The sentence of the reference, and its ids under cl100k_base.
const TEXT: &str = "Large language models predict the next token.";
const IDS: [u32; 8] = [35353, 4221, 4211, 7168, 279, 1828, 4037, 13];
const END: &str = "<|endoftext|>";

/// Own flags.
#[derive(Args)]
struct Own {
    /// What to cut into tokens, 1 to 2,000 bytes
    #[arg(long, default_value = TEXT, value_name = "TEXT", allow_hyphen_values = true)]
    text: String,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    let (text, bytes, look) = (own.text.as_str(), own.text.len(), lesson.look());
    if !(1..=2_000).contains(&bytes) {
        let problem = format!("--text has {bytes} bytes, expected 1 to 2,000");
        return Err(Complaint::new(problem).hint(format!("--text \"{TEXT}\"")).into());
    }
    let all = all()?;
    let [_, _, cl100k, _] = &all;
    lesson.step("A token is an entry of a fixed list, and its place in the list is its id");
    let ids = cl100k.ids(text)?;
    let mut table = Table::new(&["cl100k token", "id"]).limit(16);
    for &id in &ids {
        let shown = clip(look, &token(&cl100k.bytes(id)?, look.ascii), 40);
        table.row([shown.into(), (id as usize).into()]);
    }
    lesson.show(&table);
    if text == TEXT {
        lesson.check_that("ids under cl100k_base", "as in the reference", ids == IDS);
    }

    lesson.step("The same text in four lists: what a list often saw is one token there");
    let mut table = Table::new(&["vocabulary", "entries", "tokens", "bytes a token"]);
    for (one, count) in all.iter().zip(counts(&all, text)?) {
        let share = bytes as f64 / count as f64;
        table.row([one.name.into(), one.entries.into(), count.into(), share.into()]);
    }
    lesson.show(&table);
    pieces(lesson, &all, text)?;
    kinds(lesson, &all)?;

    lesson.step("A special token in a user's text stays text, or users could end documents");
    for one in &all {
        let (typed, written) = (one.ids(END)?, one.ids_with_special(END)?);
        let name = format!("{}: {} tokens, not {written:?}", one.name, typed.len());
        let apart = written.len() == 1 && !typed.contains(&written[0]);
        lesson.check_that(&name, "as typed", apart);
    }

    lesson.step("The algorithm is that of bpe_from_scratch: our encoder runs their list");
    let ours = cl100k.in_our_encoder(100_256, "cl100k")?;
    for (name, text) in [("--text", text)].into_iter().chain(KINDS) {
        lesson.check_that(name, "same ids", ours.encode(text)? == cl100k.ids(text)?);
    }
    lesson.solution(cl100k.ids("1234567")?.len() as f64, 0.0);
    Ok(())
}

/// What the four make of `text`; joined, it is the text again.
fn pieces(lesson: &mut Lesson, all: &[Vocabulary; 4], text: &str) -> anyhow::Result<()> {
    let (look, mut whole) = (lesson.look(), true);
    for one in all {
        let (name, pieces) = (one.name, one.pieces(text)?);
        let shown = format!("{name:14}  {}", tokens(&pieces, look.ascii));
        lesson.exhibit_line(&clip(look, &shown, 76));
        whole &= pieces.concat() == text.as_bytes();
    }
    lesson.check_that("tokens joined, in all four", "the text", whole);
    Ok(())
}

/// Step 3: the same four on different kinds of text.
fn kinds(lesson: &mut Lesson, all: &[Vocabulary; 4]) -> anyhow::Result<()> {
    lesson.step("A list is made for the text it was learnt from: what is rare there costs more");
    let names = all.each_ref().map(|one| one.name);
    let mut table = Table::new(&["tokens for", "bytes", names[0], names[1], names[2], names[3]]);
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for (kind, text) in KINDS {
        let n = counts(all, text)?;
        let cells = [text.len(), n[0], n[1], n[2], n[3]].map(Cell::from);
        table.push([Cell::from(kind)].into_iter().chain(cells).collect());
        let short = |v: usize| names[v].split(' ').next().unwrap_or_default();
        bars.extend((0..4).map(|v| (format!("{kind}, {}", short(v)), n[v] as f64)));
        rows.push(n);
    }
    lesson.show(&table);
    let (english, hindi) = (rows[0], rows[2]);
    let less = hindi[3] * english[1] < hindi[1] * english[3];
    lesson.check_that("Hindi : English, from r50k to o200k", "falls", less);
    pieces(lesson, all, KINDS[3].1)?;
    let [ours, cl100k] = [&all[0], &all[2]].map(|one| one.longest(KINDS[3].1));
    lesson.check_equal(
        "digits in one token: ours, cl100k",
        &format!("{}, {}", ours?, cl100k?),
        &"1, 3".into(),
    );
    // One sentence in three languages; bytes would flatter Hindi, whose letters take three each.
    lesson
        .picture(|| svg::bars("one sentence, three languages, four lists", "tokens", &bars[..12]));
    Ok(())
}
