//! How does one token decide which earlier tokens to read?
//!
//! What you will see: attention on one short sentence, every matrix from the words' vectors to the
//! mixed values, each step checked; then why scores are divided by √D. The vectors are seeded draws,
//! not trained: watch the mechanism, not the meaning.
//!
//! Reads: crates/llm-core/src/math/{attention,softmax,scale}.rs, ops/mod.rs (the fast twin).
//! Try: `--mask none`, `--scale off`, `--tokens "a b a b"`.

use clap::Args;
use llm_core::device::Machine;
use llm_core::math::attention::{Mask, Trace, attend, attend_with_ops, word_vectors};
use llm_core::math::{gradient::compare, linear::linear, scale};
use llm_core::rng::{Purpose, stream};
use llm_show::{Complaint, Grid, GridStyle, Lesson, Shape, Table, svg};

const CHANNELS: usize = 8; // C, of a word's vector
const HEAD: usize = 4; // D, of a query, a key and a value
/// Both sides compute in f64; `--dtype f32` keeps six digits as well.
const CLOSE: f64 = 1e-6;

/// Own flags.
#[derive(Args)]
struct Own {
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

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    let (device, dtype) = (lesson.args.device.as_str(), lesson.args.dtype.as_str_or("f64"));
    let machine = Machine::start(device, dtype, lesson.args.threads)?;
    lesson.weather.settings(&machine.describe());
    let words: Vec<String> = own.tokens.split_whitespace().map(str::to_owned).collect();
    let t = words.len();
    if !(1..=24).contains(&t) {
        let problem = format!("--tokens has {t} words, expected 1 to 24");
        return Err(Complaint::new(problem).hint("--tokens \"the cat sat on it\"").into());
    }

    lesson.step("Three views of each word: what it asks, what it offers, what it says");
    let rng = &mut stream(lesson.args.seed, Purpose::Demo);
    // Weights of variance 1/C keep the variance of what passes through them.
    let [wq, wk, wv] = [0; 3].map(|_| scale::gaussian(rng, HEAD, CHANNELS, 8f64.sqrt().recip()));
    let x = word_vectors(&words, CHANNELS, rng);
    let (q, k, v) = (linear(&x, &wq, None), linear(&x, &wk, None), linear(&x, &wv, None));
    lesson.shape("x: a seeded draw a word", &[('T', t), ('C', CHANNELS)], "f64");
    let title = Shape::new("q = x Wqᵀ; k, v alike", &[('T', t), ('D', HEAD)], "f64");
    let q_values = q.as_slice().unwrap_or(&[]);
    lesson.show(&Grid::new(&words, &[], q_values, GridStyle::Numbers).title(title));

    let factor = if own.scale == "on" { (HEAD as f64).sqrt().recip() } else { 1.0 };
    let mask = if own.mask == "causal" { Mask::Causal } else { Mask::None };
    show_steps(lesson, &words, &attend(&q, &k, &v, factor, mask), (factor, mask));
    let fast = attend_with_ops((&q, &k, &v), factor, machine.dtype, &machine.device)?;
    let ours = attend(&q, &k, &v, factor, Mask::Causal).output;
    let apart = compare(ours.as_slice().unwrap_or(&[]), &fast).largest;
    lesson.check("causal: math == ops (Candle)", apart, CLOSE);

    lesson.step("Why √D: long arrows have large products; softmax then gives all to one key");
    let rng = &mut stream(lesson.args.seed, Purpose::Data);
    let mut table = Table::new(&["D", "entropy of q·k", "largest", "entropy of q·k/√D", "largest"]);
    for d in [4, 16, 64, 256, 1024] {
        let [raw, cut] = scale::spread(rng, d, 16, 100).map(|s| (s.entropy, s.largest));
        table.row([d.into(), raw.0.into(), raw.1.into(), cut.0.into(), cut.1.into()]);
    }
    lesson.show(&table);
    lesson.say(&format!("16 keys, mean of 100 queries; equal shares: ln 16 = {:.4}", 16f64.ln()));
    let mut variance = |d| scale::score_variance(rng, d, 100_000) / d as f64;
    lesson.check("variance of q·k over 100,000 draws / 16", variance(16) - 1.0, 0.03);
    lesson.check("variance of q·k/√32, 100,000 draws", variance(32) - 1.0, 0.03);
    lesson.solution_word(&words[attend(&q, &k, &v, 0.5, Mask::None).most_read(0)]);
    Ok(())
}

/// Steps 2 to 5: scores, mask, weights, output.
fn show_steps(lesson: &mut Lesson, words: &[String], trace: &Trace, (factor, mask): (f64, Mask)) {
    let (t, causal, numbers) = (words.len(), mask == Mask::Causal, GridStyle::Numbers);
    let pairs = |label: &str, matrix: Option<_>, style| {
        let title = Shape::new(label, &[('T', t), ('S', t)], "f64");
        Grid::new(words, words, matrix.unwrap_or_default(), style).title(title)
    };
    lesson.step("Every query (row) meets every key (column): one dot product a pair");
    lesson.show(&pairs("scores = q kᵀ", trace.scores.as_slice(), numbers));

    let hidden = if causal { "hide the future: its score is -inf" } else { "hide nothing" };
    lesson.step(&format!("Times {factor} (1/√D = 0.5); {hidden}"));
    lesson.show(&pairs("masked", trace.masked.as_slice(), numbers));

    lesson.step("Softmax turns each row into shares of 1; exp(-inf) is exactly 0");
    let (low, high, weights) = (0.0, 1.0, trace.weights.as_slice());
    let grid = pairs("weights = softmax(masked)", weights, GridStyle::Heatmap { low, high });
    lesson.show(&if causal { grid.causal() } else { grid });
    let (weights, scale) = (weights.unwrap_or(&[]), svg::Scale { low, high });
    lesson.picture(|| svg::heatmap("attention weights", words, words, weights, scale));
    lesson.check("rows sum to 1", trace.row_error(), CLOSE);
    if causal {
        lesson.check("weights of the future are exactly 0.0", trace.leak(), 0.0);
    }

    lesson.step("The shares mix what the words say into one answer a word");
    let title = Shape::new("output = weights v", &[('T', t), ('D', HEAD)], "f64");
    let output = trace.output.as_slice().unwrap_or(&[]);
    lesson.show(&Grid::new(words, &[], output, numbers).title(title));
}
