//! How does one token decide which earlier tokens to read?
//!
//! What you will see: attention on one short sentence, every matrix from the words' vectors to the
//! mixed values, each step checked; then why scores are divided by √D. The vectors are seeded draws,
//! not trained: watch the mechanism, not the meaning.
//!
//! Reads: crates/llm-core/src/math/{attention,softmax,scale}.rs, ops/mod.rs (the fast twin).
//! Try: `--mask none`, `--scale off`, `--tokens "a b a b"`.

use std::process::ExitCode;

use clap::Parser;
use llm_core::device::Machine;
use llm_core::math::attention::{Mask, Trace, attend, attend_with_ops};
use llm_core::math::{gradient::compare, linear::linear, scale};
use llm_core::rng::{Purpose, stream};
use llm_show::{Card, Complaint, Grid, GridStyle, Lesson, LessonArgs, Shape, Table};

/// C, channels of a word's vector.
const CHANNELS: usize = 8;
/// D, channels of a query, a key and a value.
const HEAD: usize = 4;
/// Both sides compute in f64; `--dtype f32` keeps six digits as well.
const CLOSE: f64 = 1e-6;

const CARD: Card = Card {
    number: "03",
    title: "attention math",
    shelf: "basics",
    seconds: 1,
    question: "How does one token decide which earlier tokens to read?",
    takeaway: "a row is a budget of 1.0 spent over the past",
    read: "crates/llm-core/src/math/attention.rs",
    next: "00_tinygpt",
    tries: &["--scale off", "--mask none", "--tokens \"a b a b\""],
    exercise: "which word does the first one read most with --mask none? --check WORD",
};

/// How does one token decide which earlier tokens to read?
#[derive(Parser)]
#[command(version, after_help = llm_show::after_help(
    "every matrix between words and mixed values, each step checked; then why √D",
    "crates/llm-core/src/math/{attention,softmax,scale}.rs, src/ops/mod.rs",
    &["03_attention_math -- --mask none", "03_attention_math -- --tokens \"a b a b\""],
))]
struct Args {
    #[command(flatten)]
    common: LessonArgs,
    /// Words to attend over, separated by spaces, 1 to 24 of them
    #[arg(long, default_value = "the cat sat on it", value_name = "WORDS")]
    tokens: String,
    /// Whether scores are divided by √D
    #[arg(long, default_value = "on", value_parser = ["on", "off"])]
    scale: String,
    /// What a word may read: itself and those before it, or all
    #[arg(long, default_value = "causal", value_parser = ["causal", "none"])]
    mask: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    llm_show::run(&CARD, &args.common, |lesson| run(lesson, &args))
}

fn run(lesson: &mut Lesson, args: &Args) -> anyhow::Result<()> {
    let (device, dtype) = (args.common.device.as_str(), args.common.dtype.as_str_or("f64"));
    let machine = Machine::start(device, dtype, args.common.threads)?;
    lesson.weather.settings(&machine.describe());
    let words: Vec<String> = args.tokens.split_whitespace().map(str::to_owned).collect();
    let t = words.len();
    if !(1..=24).contains(&t) {
        let problem = format!("--tokens has {t} words, expected 1 to 24");
        return Err(Complaint::new(problem).hint("--tokens \"the cat sat on it\"").into());
    }

    lesson.step("Three views of each word: what it asks, what it offers, what it says");
    let rng = &mut stream(args.common.seed, Purpose::Demo);
    // Weights of variance 1/C keep the variance of what passes through them.
    let [wq, wk, wv] = [0; 3].map(|_| scale::gaussian(rng, HEAD, CHANNELS, 8f64.sqrt().recip()));
    let mut x = scale::gaussian(rng, t, CHANNELS, 1.0);
    for row in 0..t {
        // A word that comes again has the vector of its first time: without positions they are one.
        let first = words.iter().position(|word| *word == words[row]).unwrap_or(row);
        let vector = x.row(first).to_owned();
        x.row_mut(row).assign(&vector);
    }
    let (q, k, v) = (linear(&x, &wq, None), linear(&x, &wk, None), linear(&x, &wv, None));
    lesson.shapes(vec![
        Shape::new("x", &[('T', t), ('C', CHANNELS)], "f64").note("seeded draws, one a word"),
        Shape::new("q = x Wqᵀ", &[('T', t), ('D', HEAD)], "f64").note("k, v alike"),
    ]);
    lesson.show(&Grid::new(&words, &[], q.as_slice().unwrap_or_default(), GridStyle::Numbers));

    let factor = if args.scale == "on" { (HEAD as f64).sqrt().recip() } else { 1.0 };
    let mask = if args.mask == "causal" { Mask::Causal } else { Mask::None };
    show_steps(lesson, &words, &attend(&q, &k, &v, factor, mask), args);
    let fast = attend_with_ops((&q, &k, &v), factor, machine.dtype, &machine.device)?;
    let ours = attend(&q, &k, &v, factor, Mask::Causal).output;
    let apart = compare(ours.as_slice().unwrap_or_default(), &fast).largest;
    lesson.check("causal: math == ops (Candle)", apart, CLOSE);
    why_scale(lesson, args.common.seed);
    lesson.solution_word(&words[attend(&q, &k, &v, 0.5, Mask::None).most_read(0)]);
    Ok(())
}

/// Steps 2 to 5: scores, mask, weights, output.
fn show_steps(lesson: &mut Lesson, words: &[String], trace: &Trace, args: &Args) {
    let causal = args.mask == "causal";
    let show = |lesson: &mut Lesson, label: &str, matrix: Option<&[f64]>, style, hide: bool| {
        let title = Shape::new(label, &[('T', words.len()), ('S', words.len())], "f64");
        let grid = Grid::new(words, words, matrix.unwrap_or_default(), style).title(title);
        lesson.show(&if hide { grid.causal() } else { grid });
    };
    lesson.step("Every query (row) meets every key (column): one dot product a pair");
    show(lesson, "scores = q kᵀ", trace.scores.as_slice(), GridStyle::Numbers, false);

    let divided = if args.scale == "on" { "Divide by √D = 2" } else { "Leave the size" };
    let hidden = if causal { "hide the future: its score is -inf" } else { "hide nothing" };
    lesson.step(&format!("{divided}, {hidden}"));
    show(lesson, "masked", trace.masked.as_slice(), GridStyle::Numbers, causal);

    lesson.step("Softmax turns each row into shares of 1");
    let heat = GridStyle::Heatmap { low: 0.0, high: 1.0 };
    show(lesson, "weights = softmax(masked)", trace.weights.as_slice(), heat, causal);
    lesson.check("rows sum to 1", trace.row_error(), CLOSE);
    if causal {
        lesson.check("weights of the future are exactly 0.0", trace.leak(), 0.0);
    }

    lesson.step("The shares mix what the words say into one answer a word");
    lesson.shape("output = weights v", &[('T', words.len()), ('D', HEAD)], "f64");
    let output = trace.output.as_slice().unwrap_or_default();
    lesson.show(&Grid::new(words, &[], output, GridStyle::Numbers));
}

/// Step 6: scores of random arrows spread with D, and what that does to softmax.
fn why_scale(lesson: &mut Lesson, seed: u64) {
    lesson.step("Why √D: long arrows have large products; softmax then gives all to one key");
    let mut rng = stream(seed, Purpose::Data);
    let mut table = Table::new(&["D", "entropy of q·k", "largest", "entropy of q·k/√D", "largest"]);
    for d in [4, 16, 64, 256, 1024] {
        let [raw, cut] = scale::spread(&mut rng, d, 16, 100).map(|s| (s.entropy, s.largest));
        table.row([d.into(), raw.0.into(), raw.1.into(), cut.0.into(), cut.1.into()]);
    }
    lesson.show(&table);
    lesson.say(&format!("16 keys, mean of 100 queries; equal shares: ln 16 = {:.4}", 16f64.ln()));
    let mut variance = |d| scale::score_variance(&mut rng, d, 100_000) / d as f64;
    lesson.check("variance of q·k over 100,000 draws / 16", variance(16) - 1.0, 0.03);
    lesson.check("variance of q·k/√32, 100,000 draws", variance(32) - 1.0, 0.03);
}
