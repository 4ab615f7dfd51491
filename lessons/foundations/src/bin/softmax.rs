//! How do scores become probabilities without overflowing?
//!
//! What you will see: softmax step by step, the textbook formula failing on large scores and the
//! shifted one not, what the temperature does, and the slopes of a share.
//!
//! Reads: crates/llm-core/src/math/softmax.rs.
//! Try: `--scores "1,1,1"`, `--scores "1000,1001"`, `--temperature 0.1`.

use clap::Args;
use llm_core::math::gradient::{compare, numeric};
use llm_core::math::softmax::{self, entropy, softmax, softmax_with_temperature as warmed};
use llm_show::{Bars, Lesson, Table, read, svg};

/// The scores without `--scores`, and their shares as printed in the reference table.
const SCORES: &str = "2,1,0.5,-1,3";
const REFERENCE: [f64; 5] = [0.2294, 0.0844, 0.0512, 0.0114, 0.6236];
/// The reference has four decimals; the rest is f64, with slopes measured at h = 1e-5.
const PRINTED: f64 = 0.5e-4;
const CLOSE: f64 = 1e-9;

/// Own flags.
#[derive(Args)]
struct Own {
    /// Scores separated by commas, 1 to 20 finite numbers
    #[arg(long, default_value = SCORES, value_name = "LIST", allow_hyphen_values = true)]
    scores: String,
    /// One more temperature for step 4, 0.001 to 1000
    #[arg(long, default_value_t = 2.0, value_name = "T", allow_hyphen_values = true)]
    temperature: f64,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    lesson.weather.fact("device", "cpu, plain loops in f64");
    let scores = read::numbers("--scores", &own.scores, 1..=20, SCORES)?;
    let cold = "--temperature 0.01 leaves nearly the largest score alone; 0 would divide by 0";
    let own_t = read::within("--temperature", own.temperature, 1e-3..=1e3, cold)?;

    lesson.step("exp makes every score positive, dividing by the sum makes them shares");
    let (shares, largest) = (softmax(&scores), scores.iter().copied().fold(f64::MIN, f64::max));
    let mut table = Table::new(&["score x", "x - max", "exp(x - max)", "share"]);
    for (&x, &share) in scores.iter().zip(&shares) {
        table.row([x, x - largest, (x - largest).exp(), share].map(Into::into));
    }
    lesson.show(&table);
    lesson.check("shares sum to 1", shares.iter().sum::<f64>() - 1.0, CLOSE);
    if own.scores == SCORES {
        lesson.check("reference shares", compare(&shares, &REFERENCE).largest, PRINTED);
    }

    lesson.step("Adding the same number to all scores changes nothing: only differences count");
    let moved: Vec<f64> = scores.iter().map(|x| x + 100.0).collect();
    lesson.check("the same for x + 100", compare(&softmax(&moved), &shares).largest, CLOSE);

    lesson.step("Large scores: exp(1e4) does not fit a float, exp(0) always does");
    let large = [1e4, 1e4 - 1.0];
    let (naive, shifted) = (softmax::naive_softmax(&large), softmax(&large));
    let mut table = Table::new(&["score", "exp(x) / sum", "exp(x - max) / sum"]);
    (0..2).for_each(|i| table.row([large[i], naive[i], shifted[i]].map(Into::into)));
    lesson.show(&table);
    lesson.check_that("the naive formula fails here", "is nan", naive.iter().all(|x| x.is_nan()));
    let small = softmax(&[1.0, 0.0]);
    lesson.check("shifted == softmax([1, 0])", compare(&shifted, &small).largest, CLOSE);

    lesson.step("Dividing by a temperature T: cold is decided, hot is undecided");
    let mut temperatures = vec![0.25, 1.0, 4.0, own_t];
    temperatures.sort_by(f64::total_cmp);
    temperatures.dedup();
    let spread = |t: f64| entropy(&warmed(&scores, t));
    for &t in &temperatures {
        lesson.exhibit_line(&format!("T = {t}   entropy {:.4}", spread(t)));
        let labels = scores.iter().map(|x| format!("  {x}"));
        lesson.show(&Bars::new(labels.zip(warmed(&scores, t))).full(1.0));
    }
    let rises = temperatures.windows(2).all(|t| spread(t[1]) >= spread(t[0]) - CLOSE);
    lesson.check_that("entropy rises with T", "never falls", rises);
    lesson.picture(|| {
        let at = |i: usize, t: f64| (t, warmed(&scores, t)[i]);
        let points = |i: usize| (1..=80).map(|n| at(i, f64::from(n) / 20.0)).collect();
        let line = |(i, x): (usize, &f64)| svg::Line { name: x.to_string(), points: points(i) };
        let lines: Vec<svg::Line> = scores.iter().enumerate().map(line).collect();
        svg::lines("Each score's share", ["temperature", "share"], &lines)
    });

    lesson.step("Its gradient: a share can only grow at the cost of the others");
    // The loss is the last share itself.
    let wish: Vec<f64> = (1..=scores.len()).map(|n| (n / scores.len()) as f64).collect();
    let slopes = softmax::softmax_backward(&shares, &wish);
    let labels = scores.iter().map(|x| format!("d last / d {x}"));
    lesson.show(&Bars::new(labels.zip(slopes.iter().copied())));
    // Without the largest score, which changes nothing, so that a small step is not rounded away.
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let near: Vec<f64> = scores.iter().map(|x| x - top).collect();
    let measured = numeric(&near, 1e-5, |x| softmax(x).pop().unwrap_or(0.0));
    lesson.check("by hand == measured slopes", compare(&slopes, &measured).largest, CLOSE);
    lesson.check("slopes sum to 0", slopes.iter().sum(), CLOSE);
    // exp(3/T) = 2 exp(2/T) where 1/T = ln 2.
    lesson.solution(std::f64::consts::LN_2.recip(), 1e-3);
    Ok(())
}
