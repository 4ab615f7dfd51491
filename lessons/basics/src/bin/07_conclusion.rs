//! How do attention, norms and an MLP become one Transformer block?
//!
//! What you will see: every tensor of a block counted, the stream of vectors through it with the norms
//! after each sum (2017) and before each half (today), that no word sees a later one, that every
//! gradient is right, and what the order of norm and sum means for deep stacks.
//!
//! Reads: crates/llm-core/src/math/{block,layers,multi_head,flow}.rs.
//! Try: `--style original`, `--style llama`.

use llm_core::math::block::{Block, BlockSizes, Order, Style};
use llm_core::math::parameters::{Layer, kept_promise};
use llm_core::math::{flow::flow, scale::gaussian};
use llm_core::rng::{Purpose, stream};
use llm_show::{Cell, Lesson, Table, svg};

/// C, channels of the stream.
const C: usize = 16;
/// H, heads of attention.
const H: usize = 4;
/// T, words.
const T: usize = 6;

/// Own flags.
#[derive(clap::Args)]
struct Own {
    /// The block as it was built in 2017, 2019 or 2023
    #[arg(long, default_value = "gpt2", value_parser = ["original", "gpt2", "llama"])]
    style: String,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    let rng = &mut stream(lesson.args.seed, Purpose::Demo);
    let named = |style: &Style| style.name() == own.style;
    let style = Style::ALL.into_iter().find(named).unwrap_or(Style::Gpt2);
    let block = Block::draw(rng, style, BlockSizes::usual(style, C, H))?;
    lesson.step("The parts of one block: every tensor, outputs first");
    let mut table = Table::new(&["tensor", "shape", "numbers"]);
    for part in block.parameters() {
        table.row([part.name.into(), format!("{:?}", part.shape).into(), part.values.len().into()]);
    }
    table.row(["sum".into(), "".into(), block.count().into()]);
    table.total();
    lesson.show(&table);
    let (name, expected) = match style {
        Style::Llama => ("4C² + 3CF, norms 2C", 4 * C * C + 3 * C * style.inner(C) + 2 * C),
        _ => ("12C², biases 9C, norms 4C", 12 * C * C + 9 * C + 4 * C),
    };
    lesson.check_equal(name, &block.count(), &expected);

    lesson.step("Follow the stream [T=6, C=16]: the size of a typical number at each place");
    let x = gaussian(rng, T, C, 1.0);
    let [post, pre] = [Order::Post, Order::Pre].map(|order| Block { order, ..block.clone() });
    let mut table = Table::new(&["place", "norm after each sum", "norm before each half"]);
    let (post, pre) = (post.forward(&x)?.sizes(), pre.forward(&x)?.sizes());
    for ((place, post), (_, pre)) in post.into_iter().zip(pre) {
        table.row([place.into(), post.into(), pre.into()]);
    }
    lesson.show(&table);
    lesson.say("After: the stream is 1 again and again. Before: it grows; layers read 1.");

    lesson.step("Change word 5: nothing before it moves");
    let moved = block.moved_by(&x, 4)?;
    lesson.check("words 1 to 4, bit for bit", moved[..4].iter().sum(), 0.0);
    lesson.check_that("words 5 and 6", "move", moved[4..].iter().all(|&far| far > 1e-3));

    lesson.step("Backward: move every number a little along its gradient, and look at the loss");
    let d_y = gaussian(rng, T, C, 1.0);
    let (gradients, _) = block.backward(&x, &d_y)?;
    let loss = |block: &Block| Ok((block.forward(&x)?.output * &d_y).sum());
    let kept = kept_promise(&block, &gradients, loss)?;
    // Measured with h = 1e-5 in f64.
    lesson.check("measured slope / promised slope - 1", kept - 1.0, 1e-6);
    let still = gradients.still(1e-12).join(", ");
    lesson.say(&format!(
        "Tensors without a gradient: {}",
        if still.is_empty() { "none" } else { &still }
    ));
    stack(lesson)?;
    lesson.solution(7_087_872.0, 0.0);
    Ok(())
}

/// Steps 5 and 6: what the place of the norms means for deep stacks, and who built which block.
fn stack(lesson: &mut Lesson) -> anyhow::Result<()> {
    lesson.step("Stack blocks: how much of the gradient at the top arrives at the bottom");
    let mut table =
        Table::new(&["blocks", "after: straight", "after: all", "before: straight", "before: all"]);
    let mut lines = Vec::new();
    let seed = lesson.args.seed;
    let rng = || stream(seed, Purpose::Init);
    for blocks in [1, 4, 16] {
        let run = |style| flow(&mut rng(), style, BlockSizes::usual(style, C, H), (blocks, T));
        let (after, before) = (run(Style::Original)?, run(Style::Gpt2)?);
        let shares = after.arrives().into_iter().chain(before.arrives());
        table.push([blocks.into()].into_iter().chain(shares.map(Cell::from)).collect());
        lines = [("post-norm", after), ("pre-norm", before)]
            .map(|(name, flow)| svg::Line { name: name.into(), points: flow.straight_shares() })
            .into();
    }
    lesson.show(&table);
    lesson.say("Straight: past every layer. Norms on that way divide, those beside it do not.");
    lesson.check("straight, norms before: all of it", lines[1].points[0].1 - 1.0, 0.0);
    lesson.check_between("straight, 32 norms after sums", lines[0].points[0].1, (0.0, 0.05));
    let axes = ["after so many blocks", "share of the gradient"];
    lesson.picture(|| svg::lines("The gradient that comes straight down 16 blocks", axes, &lines));

    lesson.step("The same block in three times");
    let mut table = Table::new(&["--style", "year", "norm", "where", "mlp", "numbers"]);
    for style in Style::ALL {
        let block = Block::draw(&mut rng(), style, BlockSizes::usual(style, C, H))?;
        let words = [style.name()].into_iter().chain(style.described()).map(Cell::from);
        table.push(words.chain([block.count().into()]).collect());
    }
    lesson.show(&table);
    Ok(())
}
