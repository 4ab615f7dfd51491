//! How does a tokenizer learn its vocabulary from text?
//!
//! What you will see: pairs counted and merged with every tie, the merges applied to new text,
//! bytes for what they never saw, special tokens, a file that other libraries read, and what more
//! merges buy. As in the textbook, merges may cross spaces; `--split gpt2` keeps them in words.
//!
//! Reads: crates/llm-core/src/text/bpe/{train,tree,merge}.rs.
//! Try: `--split gpt2`, `--text "banana bandana"`, `--merges 3`, `--save tokenizer.json`.

use anyhow::Context;
use clap::Args;
use llm_core::text::bpe::{ByteBpe, PreTokenizer, Round, Trainer, Tree};
use llm_core::text::{hf::HfTokenizer, visible::tokens};
use llm_show::{Complaint, Curve, Lesson, Table, look::clip, svg};

/// The textbook's sentence, and the merges it prints for it: left, right, count.
const TEXT: &str = "the cat sat on the mat the cat the cat sat";
const PRINTED: &str = "a|t 6, at|_ 5, t|h 4, th|e 4, the|_ 4, the_|c 3, the_c|at_ 3, the_cat_|s 2";
/// Simple prose between lines of a chat.
const PROSE: &str = include_str!("../../../../data/base/heldout.txt");
const END: &str = "<|endoftext|>";

/// Own flags.
#[derive(Args)]
struct Own {
    /// What to learn from, 2 to 2,000 bytes
    #[arg(long, default_value = TEXT, value_name = "TEXT")]
    text: String,
    /// Merges to learn, 1 to 500; fewer if the text runs out of pairs
    #[arg(long, default_value_t = 10, value_name = "N")]
    merges: usize,
    /// Whose rule cuts the text into words that no merge crosses
    #[arg(long, default_value = "none", value_parser = ["none", "gpt2", "qwen2"])]
    split: String,
    /// Also write the tokenizer to this file
    #[arg(long, value_name = "FILE")]
    save: Option<std::path::PathBuf>,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    let look = lesson.look();
    let (bpe, rounds) = trainer(own, &own.split)?.train_traced([own.text.as_str()])?;
    lesson.step("The most frequent pair becomes a token; of equals, the one seen first");
    let mut table = Table::new(&["merge", "left|right", "count", "tied", "tokens left"]).limit(24);
    for (n, round) in (1_usize..).zip(&rounds) {
        let pair = clip(look, &tokens(round.pair(), look.ascii), 44);
        let [count, tied, left] = [round.count, round.tied, round.tokens].map(Into::into);
        table.row([n.into(), pair.into(), count, tied, left]);
    }
    lesson.show(&table);
    if own.text == TEXT && own.split == "none" && own.merges >= 8 {
        let told = rounds.iter().take(8).map(Round::to_string).collect::<Vec<_>>().join(", ");
        lesson.check_that("merges 1 to 8", "as in the textbook", told == PRINTED);
    }
    let once = Trainer { min_frequency: 1, ..Trainer::new(257, PreTokenizer::whole()?) };
    let aaa = tokens(once.train(["aaa"])?.pieces("aaa")?, true);
    lesson.check_that("aaa holds one pair aa, not two", "aa|a", aaa == "aa|a");

    lesson.step("To encode is to repeat the merges in the order in which they were learnt");
    for (known, pieces) in bpe.stages(&own.text.chars().take(11).collect::<String>())? {
        let shown = format!("{known:3} merges   {}", tokens(pieces, look.ascii));
        lesson.exhibit_line(&clip(look, &shown, 76));
    }
    let (ids, trees) = (bpe.encode(&own.text)?, bpe.trees(&own.text)?);
    let same = trees.iter().map(|tree| tree.id).eq(ids.iter().copied());
    lesson.check_that("pair by pair == the fast encoder", "same ids", same);
    lesson.picture(|| svg::tree("what was merged", &trees.iter().map(node).collect::<Vec<_>>()));

    beyond(lesson, &bpe, own)?;
    growth(lesson)?;
    let words = trainer(own, "gpt2")?.train([own.text.as_str()])?;
    lesson.solution(words.encode(&own.text)?.len() as f64, 0.0);
    Ok(())
}

/// Steps 3 to 5: what no merge has seen, what is not text, and the file.
fn beyond(lesson: &mut Lesson, bpe: &ByteBpe, own: &Own) -> anyhow::Result<()> {
    lesson.step("All 256 bytes are tokens: accents and emoji never seen are spelled, not lost");
    for text in ["that", "naïve", "🙂"] {
        let pieces = bpe.pieces(text)?;
        let shown = tokens(&pieces, lesson.look().ascii);
        lesson.exhibit_line(&format!("{} tokens   {shown}", pieces.len()));
    }
    let characters = (0..=0x10_FFFF).step_by(107).filter_map(char::from_u32);
    let texts: Vec<String> = characters.map(|c| format!("the {c}at")).collect();
    // Through the file and back, and through the library that published models use.
    let json = bpe.to_tokenizer_json();
    let again = ByteBpe::from_tokenizer_json("tokenizer.json", &json)?;
    let theirs = HfTokenizer::from_json("tokenizer.json", &json)?;
    let [mut kept, mut loaded, mut hugging_face] = [0; 3];
    for text in &texts {
        let ids = bpe.encode(text)?;
        kept += usize::from(bpe.decode(&ids)? == *text);
        loaded += usize::from(again.encode(text)? == ids);
        hugging_face += usize::from(theirs.encode(text)? == ids);
    }
    lesson.check_equal("texts in all scripts that come back", &kept, &texts.len());

    lesson.step("A special token is an id that text cannot spell: only a program writes it");
    let (typed, written) = (bpe.encode(END)?, bpe.encode_with_special(END)?);
    lesson.exhibit_line(&format!("{END}   typed {} tokens, written {written:?}", typed.len()));
    let apart = written.len() == 1 && !typed.contains(&written[0]);
    lesson.check_that("its id in what was typed", "absent", apart);

    lesson.step("Saved as tokenizer.json it is the same tokenizer, here and in other libraries");
    lesson.check_equal("texts with the same ids, loaded again", &loaded, &texts.len());
    lesson.check_equal("with Hugging Face tokenizers", &hugging_face, &texts.len());
    if let Some(file) = &own.save {
        std::fs::write(file, json).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// Step 6: bytes a token against merges, on the half that was read and on the other.
fn growth(lesson: &mut Lesson) -> anyhow::Result<()> {
    lesson.step("More merges pack more bytes into a token, most of all where training has read");
    let lines: Vec<&str> = PROSE.lines().filter(|line| !line.contains("<|")).collect();
    let (read, other) = lines.split_at(lines.len() / 2);
    let bpe = Trainer::new(256 + 1_000, PreTokenizer::gpt2()?).train(read.iter().copied())?;
    let then = (0..=40).map(|n| bpe.after_merges(25 * n).bytes_per_token(other));
    lesson.show(&Curve::new(&then.collect::<Result<Vec<f64>, _>>()?, "× 25 merges"));
    let (seen, unseen) = (bpe.bytes_per_token(read)?, bpe.bytes_per_token(other)?);
    lesson.say(&format!("1,000 merges: {seen:.2} bytes a token where it read, {unseen:.2} not"));
    lesson.check_that("text that was not read packs", "less", 1.0 < unseen && unseen < seen);
    Ok(())
}

fn trainer(own: &Own, split: &str) -> anyhow::Result<Trainer> {
    let refuse = |problem: String, hint: &str| Err(Complaint::new(problem).hint(hint).into());
    let (merges, bytes) = (own.merges, own.text.len());
    if !(1..=500).contains(&merges) {
        return refuse(format!("--merges is {merges}, expected 1 to 500"), "--merges 10");
    }
    if !(2..=2_000).contains(&bytes) {
        let problem = format!("--text has {bytes} bytes, expected 2 to 2,000: a pair takes two");
        return refuse(problem, "--text \"banana bandana\"");
    }
    let trainer = Trainer::new(256 + merges + 1, PreTokenizer::named(split)?);
    // A pair seen once is worth no token; the textbook goes on, and so do we.
    Ok(Trainer { min_frequency: 1, special_tokens: vec![END.to_owned()], ..trainer })
}

fn node(tree: &Tree) -> svg::Node {
    let children = tree.parts.iter().map(node).collect();
    svg::Node { label: tokens([&tree.bytes], false), children }
}
