//! How do scores become probabilities without overflowing?
//!
//! What you will see: softmax step by step, the textbook formula failing on large scores and the
//! shifted one not, and what the temperature does.
//!
//! Reads: crates/llm-core/src/math/softmax.rs.
//! Try: `--scores "1,1,1"`, `--scores "1000,1001"`, `--temperature 0.1`.

use std::process::ExitCode;

use clap::Parser;
use llm_core::math::gradient::{compare, numeric};
use llm_core::math::softmax::{entropy, softmax, softmax_backward, softmax_with_temperature};
use llm_show::{Bars, Card, Complaint, Lesson, LessonArgs, Table};

/// The scores without `--scores`, and their shares as printed in the reference table.
const SCORES: &str = "2,1,0.5,-1,3";
const REFERENCE: [f64; 5] = [0.2294, 0.0844, 0.0512, 0.0114, 0.6236];
/// The reference has four decimals.
const PRINTED: f64 = 0.5e-4;
/// Sums and shifts in f64.
const CLOSE: f64 = 1e-12;
/// A slope measured with h = 1e-5.
const SLOPE: f64 = 1e-8;

const CARD: Card = Card {
    number: "",
    title: "softmax",
    shelf: "foundations",
    seconds: 1,
    question: "How do scores become probabilities without overflowing?",
    takeaway: "only differences of scores count, so subtract the largest before exp",
    read: "crates/llm-core/src/math/softmax.rs",
    next: "03_attention_math",
    tries: &["--scores \"1,1,1\"", "--scores \"1000,1001\"", "--temperature 0.1"],
    exercise: "at which T does score 3 get twice the share of score 2? --check NUMBER",
};

/// How do scores become probabilities without overflowing?
#[derive(Parser)]
#[command(version, after_help = llm_show::after_help(
    "softmax step by step, the naive formula failing at 1e4, the temperature",
    "crates/llm-core/src/math/softmax.rs",
    &["softmax -- --scores \"1000,1001\"", "softmax -- --temperature 0.1"],
))]
struct Args {
    #[command(flatten)]
    common: LessonArgs,
    /// Scores separated by commas, 1 to 20 finite numbers
    #[arg(long, default_value = SCORES, value_name = "LIST", allow_hyphen_values = true)]
    scores: String,
    /// One more temperature for step 4, above 0
    #[arg(long, default_value_t = 2.0, value_name = "T")]
    temperature: f64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    llm_show::run(&CARD, &args.common, |lesson| run(lesson, &args))
}

fn run(lesson: &mut Lesson, args: &Args) -> anyhow::Result<()> {
    lesson.weather.fact("device", "cpu, plain loops in f64");
    let scores = parse(&args.scores)?;
    if !(args.temperature > 0.0 && args.temperature.is_finite()) {
        let problem = format!("--temperature is {}, expected more than 0", args.temperature);
        return Err(Complaint::new(problem).into());
    }

    lesson.step("exp makes every score positive, dividing by the sum makes them shares");
    let shares = softmax(&scores);
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut table = Table::new(&["score x", "x - max", "exp(x - max)", "share"]);
    for (x, share) in scores.iter().zip(&shares) {
        table.row([(*x).into(), (x - largest).into(), (x - largest).exp().into(), (*share).into()]);
    }
    lesson.show(&table);
    lesson.check("shares sum to 1", shares.iter().sum::<f64>() - 1.0, CLOSE);
    if args.scores == SCORES {
        lesson.check("reference shares", compare(&shares, &REFERENCE).largest, PRINTED);
    }

    lesson.step("Adding the same number to all scores changes nothing: only differences count");
    let moved: Vec<f64> = scores.iter().map(|x| x + 100.0).collect();
    let apart = compare(&softmax(&moved), &shares).largest;
    lesson.check("softmax(x + 100) == softmax(x)", apart, CLOSE);

    large_scores(lesson);
    temperatures(lesson, &scores, args.temperature);

    lesson.step("Its gradient: a share can only grow at the cost of the others");
    let last = |x: &[f64]| softmax(x).pop().unwrap_or(0.0);
    let wish: Vec<f64> =
        (1..=scores.len()).map(|n| f64::from(u8::from(n == scores.len()))).collect();
    let slopes = softmax_backward(&shares, &wish);
    let labels = scores.iter().map(|x| format!("d last / d {x}"));
    lesson.show(&Bars::new(labels.zip(slopes.iter().copied())));
    let apart = compare(&slopes, &numeric(&scores, 1e-5, last)).largest;
    lesson.check("by hand == measured slopes", apart, SLOPE);
    lesson.check("slopes sum to 0", slopes.iter().sum(), CLOSE);
    // exp(3/T) = 2 exp(2/T) where 1/T = ln 2.
    lesson.solution(std::f64::consts::LN_2.recip(), 1e-3);
    Ok(())
}

/// Step 3: the formula as it stands in textbooks against the shifted one.
fn large_scores(lesson: &mut Lesson) {
    lesson.step("Large scores: exp(1e4) does not fit a float, exp(0) always does");
    let scores = [1e4, 1e4 - 1.0];
    let exps = scores.map(f64::exp);
    let naive = exps.map(|e| e / exps.iter().sum::<f64>());
    let shifted = softmax(&scores);
    let mut table = Table::new(&["score", "exp(x) / sum", "exp(x - max) / sum"]);
    for (x, (naive, shifted)) in scores.iter().zip(naive.iter().zip(&shifted)) {
        table.row([(*x).into(), (*naive).into(), (*shifted).into()]);
    }
    lesson.show(&table);
    lesson.check_that("the naive formula fails here", "is nan", naive.iter().all(|x| x.is_nan()));
    let apart = compare(&shifted, &softmax(&[1.0, 0.0])).largest;
    lesson.check("shifted == softmax([1, 0])", apart, CLOSE);
}

/// Step 4: scores divided by a temperature.
fn temperatures(lesson: &mut Lesson, scores: &[f64], own: f64) {
    lesson.step("Dividing by a temperature T: cold is decided, hot is undecided");
    let (mut last, mut rises) = (-1.0, true);
    let mut all = vec![0.25, 1.0, 4.0, own];
    all.sort_by(f64::total_cmp);
    all.dedup();
    for t in all {
        let shares = softmax_with_temperature(scores, t);
        let spread = entropy(&shares);
        (last, rises) = (spread, rises && spread >= last - CLOSE);
        lesson.exhibit_line(&format!("T = {t}   entropy {spread:.4}"));
        let labels = scores.iter().map(|x| format!("  {x}"));
        lesson.show(&Bars::new(labels.zip(shares)).full(1.0));
    }
    lesson.check_that("entropy rises with T", "never falls", rises);
}

fn parse(text: &str) -> Result<Vec<f64>, Complaint> {
    let numbers =
        text.split(',').map(|part| part.trim().parse::<f64>().ok().filter(|x| x.is_finite()));
    let scores: Option<Vec<f64>> = numbers.collect();
    scores.filter(|scores| (1..=20).contains(&scores.len())).ok_or_else(|| {
        let complaint =
            Complaint::new(format!("--scores is `{text}`, expected 1 to 20 finite numbers"));
        complaint.hint(format!("--scores \"{SCORES}\""))
    })
}
