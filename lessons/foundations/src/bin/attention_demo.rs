//! What happens inside one call of scaled dot-product attention?
//!
//! What you will see: what goes into the one call that models make, what comes out, the weights that
//! it never hands over, read out of it head by head, and the memory that never writing them saves.
//!
//! Reads: crates/llm-core/src/ops/attention.rs, crates/llm-core/src/math/probe.rs.
//! Try: `--shape 2,8,12,16`, `--kv-heads 1`, `--window 2`.

use candle_core::DType;
use clap::Args;
use llm_core::math::{gradient::compare, probe};
use llm_core::{device::Machine, ops::Ops, rng};
use llm_show::{Cell, Complaint, Grid, GridStyle, Lesson, Shape, Table, number, read, svg};

const SHAPE: &str = "1,4,6,4";
/// Kernel, basic operations and loops add in different orders; f32 keeps six digits.
const CLOSE: f64 = 1e-5;

/// Own flags.
#[derive(Args)]
struct Own {
    /// Batch, heads, tokens and head size, each 1 to 32
    #[arg(long, default_value = SHAPE, value_name = "B,H,T,D")]
    shape: String,
    /// Heads of keys and values, a divisor of H [default: H]
    #[arg(long, value_name = "K")]
    kv_heads: Option<usize>,
    /// How many tokens a query reads at most, its own included, 1 or more [default: all]
    #[arg(long, value_name = "N")]
    window: Option<std::num::NonZeroUsize>,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    let [b, h, t, d] = read::shape("--shape", &own.shape, 32, SHAPE)?;
    let kv = own.kv_heads.unwrap_or(h);
    let machine = Machine::start("cpu", lesson.args.dtype.as_str_or("f64"), lesson.args.threads)?;
    lesson.weather.settings(&machine.describe());

    lesson.step("What goes in: for each token and head a question, a label, things to say");
    let rng = &mut rng::stream(lesson.args.seed, rng::Purpose::Demo);
    let mut call = probe::Call::draw(rng, [b, h, t, d], kv, machine.dtype)?;
    call.spec.window = own.window.map(Into::into);
    // The core refuses what does not fit; here is the place to say what does.
    let out = call.output(Ops::Fused).map_err(|error| {
        Complaint::new(error.to_string())
            .hint("--kv-heads 1 fits any number of heads; --dtype f32 or f64")
    })?;
    let name = machine.dtype.as_str();
    lesson.shapes(vec![
        Shape::new("q", &[('B', b), ('T', t), ('H', h), ('D', d)], name).note("seeded draws"),
        Shape::new("k, v", &[('B', b), ('S', t), ('K', kv), ('D', d)], name),
        Shape::new("out = attention(q, k, v)", &[('B', b), ('T', t), ('H', h), ('D', d)], name),
    ]);

    lesson.step("What comes out: the same as from basic operations and from plain loops");
    let (composed, loops) = (call.output(Ops::Composed)?, call.loops()?);
    lesson.check("fused == composed", compare(&out, &composed).largest, CLOSE);
    lesson.check("fused == math", compare(&out, &loops.output).largest, CLOSE);
    let change = call.notices_the_future(Ops::Fused)?;
    lesson.check("another last token changes nothing before", change, 0.0);

    lesson.step("What it keeps to itself: values of one channel each make the weights show");
    let weights = call.weights(Ops::Fused)?;
    let names: Vec<String> = (0..t).map(|token| format!("t{token}")).collect();
    for (head, weights) in weights.chunks_exact(t * t).enumerate().take(h.min(4)) {
        let title = Shape::new(format!("head {head}"), &[('T', t), ('S', t)], "");
        let style = GridStyle::Heatmap { low: 0.0, high: 1.0 };
        lesson.show(&Grid::new(&names, &names, weights, style).title(title).causal());
    }
    let (sums, leak) = probe::faults(&weights, t);
    lesson.check("every row sums to 1", sums, CLOSE);
    lesson.check("weights of the future are exactly 0.0", leak, 0.0);
    lesson.check("weights == math", compare(&weights, &loops.weights).largest, CLOSE);
    lesson.picture(|| {
        // Row t of the picture is the query's row in every head of the first text.
        let row = |query| weights.chunks_exact(t).skip(query).step_by(t).take(h).flatten();
        let values: Vec<f64> = (0..t).flat_map(row).copied().collect();
        let (columns, scale) =
            (vec![names.clone(); h].concat(), svg::Scale { low: 0.0, high: 1.0 });
        svg::heatmap("What each query (row) reads", &names, &columns, &values, scale)
    });

    lesson.step("What that saves: one block of scores and two numbers a row, not T x T");
    let all = |t| probe::score_bytes([b, h, t], DType::F32);
    let tiled = |t| probe::tiled_bytes([b, h, t], 1, DType::F32);
    let mut table = Table::new(&["T", "all scores in f32", "tiled, 1 thread", "times less"]);
    for t in [1_024_usize, 4_096, 16_384, 65_536, 262_144] {
        let [whole, block] = [all(t), tiled(t)].map(|n| Cell::number(number::bytes(n)));
        table.row([t.into(), whole, block, ((all(t) / tiled(t)) as usize).into()]);
    }
    lesson.show(&table);
    lesson.check_equal("twice the text: scores x", &(all(8_192) / all(4_096)), &4);
    lesson.check_that("twice the text: tiled x", "at most 2", tiled(8_192) <= 2 * tiled(4_096));
    lesson.solution(8.0, 0.01);
    Ok(())
}
