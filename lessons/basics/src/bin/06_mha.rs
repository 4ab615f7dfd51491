//! Why look through several small heads instead of one large one?
//!
//! What you will see: what one row of weights cannot read however well it is trained, a layer of
//! heads with every shape on the way, who reads what, and what sharing keys and values saves.
//!
//! Reads: crates/llm-core/src/math/{multi_head,heads,two_words}.rs.
//! Try: `--heads 1`, `--heads 8 --kv-heads 2`, `--heads 5`.

use llm_core::math::attention::Mask::Causal;
use llm_core::math::heads::{PUBLISHED, cache_bytes, divisors};
use llm_core::math::multi_head::{HeadSizes, HeadsTrace, MultiHead, apart};
use llm_core::math::{parameters::Layer, scale::gaussian};
use llm_core::math::{self_attention::SelfAttention, two_words::one_and_two_heads};
use llm_core::rng::{Purpose, stream};
use llm_show::{Bars, Cell, Complaint, Grid, GridStyle, Lesson, Shape, Table, svg};

/// C, channels of a word's vector; the heads share them out.
const C: usize = 32;
const WORDS: [&str; 6] = ["the", "cat", "sat", "on", "the", "mat"];
/// Sums of a few dozen f64 in another order.
const CLOSE: f64 = 1e-12;

/// Own flags.
#[derive(clap::Args)]
struct Own {
    /// H, heads that ask; a divisor of the 32 channels
    #[arg(long, default_value_t = 4, value_name = "H")]
    heads: usize,
    /// K, heads with keys and values of their own; a divisor of H [default: H]
    #[arg(long, value_name = "K")]
    kv_heads: Option<usize>,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    let rng = &mut stream(lesson.args.seed, Purpose::Demo);
    let sizes = |heads, kv_heads| HeadSizes { channels: C, heads, kv_heads };
    let asked = sizes(own.heads, own.kv_heads.unwrap_or(own.heads));
    let layer = MultiHead::draw(rng, asked, true).map_err(|error| {
        let hint = format!("--heads one of {:?}, --kv-heads a divisor of it", divisors(C));
        Complaint::new(error.to_string()).hint(hint)
    })?;
    lesson.step("Wanted: half of word A, half of word B. One row of weights is one average");
    let shares = [1.0, 0.75, 0.5, 0.25, 0.0];
    let (one, two) = one_and_two_heads(rng, &shares, 2_000);
    let bars = shares.iter().zip(&one).map(|(a, lost)| (format!("1 head, {a:.2} on A"), *lost));
    lesson.show(&Bars::new(bars.chain([("2 heads, one on each".into(), two)])).full(1.0));
    lesson.say("Lost even with the best output matrix after it, so no training gets it back.");
    let least = one.iter().copied().fold(1.0, f64::min);
    lesson.check_between("lost by one head, at its best shares", least, (0.45, 0.55));
    lesson.check("lost by two heads of half the size", two, CLOSE);

    let x = gaussian(rng, WORDS.len(), C, 1.0);
    show_layer(lesson, &layer, &layer.forward(&x, Causal)?)?;
    let one = SelfAttention::init(rng, C, C);
    let (theirs, ours) = (one.forward(&x, Causal).y, MultiHead::from(one).forward(&x, Causal)?);
    lesson.check("one head == the attention of lesson 04", apart(&ours.output, &theirs), 0.0);

    lesson.step("Only keys and values are cached: let 8 heads share K (bf16, one layer)");
    let mut table = Table::new(&["K", "called", "numbers", "bytes a token"]);
    let (mut worst, bytes) = (0.0_f64, |k| cache_bytes(1, k, C / 8, 2));
    for (k, name) in [(8, "multi-head"), (4, "grouped"), (2, "grouped"), (1, "multi-query")] {
        let layer = MultiHead::draw(rng, sizes(8, k), false)?;
        worst = worst.max(layer.apart_from_copies(&layer.forward(&x, Causal)?, Causal)?);
        table.row([k.into(), name.into(), layer.count().into(), bytes(k).into()]);
    }
    lesson.show(&table);
    lesson.check("sharing == a copy for every head", worst, 0.0);
    lesson.check_equal("8 heads, 2 groups: so many times smaller", &(bytes(8) / bytes(2)), &4);

    lesson.step("Published models: 2 · L · K · D · 2 bytes for each token in bf16");
    let mut table = Table::new(&["model", "L", "H", "K", "D", "if K = H", "as built", "if K = 1"]);
    for (name, [l, h, k, d]) in PUBLISHED {
        let bytes = [h, k, 1].map(|k| cache_bytes(l, k, d, 2));
        let cells = [l, h, k, d].into_iter().chain(bytes).map(Cell::from);
        table.push([name.into()].into_iter().chain(cells).collect());
    }
    lesson.show(&table);
    lesson.check_equal("Qwen3-0.6B, bytes a token", &cache_bytes(28, 8, 128, 2), &114_688);
    lesson.solution(4.375, 1e-3);
    Ok(())
}

/// Steps 2 and 3: the way through the layer, and who reads what.
fn show_layer(lesson: &mut Lesson, layer: &MultiHead, trace: &HeadsTrace) -> anyhow::Result<()> {
    lesson.step("Project as before, then cut the channels: D of them for each head to itself");
    let ((h, t, d), (k, ..)) = (trace.q.dim(), trace.k.dim());
    let line = |label: &str, axes: &[(char, usize)]| Shape::new(label, axes, "f64");
    lesson.shapes(vec![
        line("x, and q = x Wqᵀ", &[('T', t), ('C', C)]),
        line("split(q)", &[('H', h), ('T', t), ('D', d)]).note("numbers only move"),
        line("split(k), split(v)", &[('K', k), ('T', t), ('D', d)]),
        line("softmax(q kᵀ / √D + mask)", &[('H', h), ('T', t), ('S', t)]),
        line("weights v", &[('H', h), ('T', t), ('D', d)]),
        line("concat, y = concat Woᵀ + b", &[('T', t), ('C', C)]).note("heads meet in Wo"),
    ]);
    let formula = 2 * C * (C + k * d) + 2 * (C + k * d);
    lesson.check_equal("numbers: 2C(C + KD) + 2(C + KD)", &layer.count(), &formula);
    lesson.check("head by head == fused (Candle)", layer.apart_from_fused(trace)?, CLOSE);

    lesson.step("What the last word reads: each head spends a budget of its own");
    let (words, maps) = (WORDS.map(str::to_owned), trace.maps());
    let heads: Vec<String> = (1..=h).map(|head| format!("head {head}")).collect();
    let style = GridStyle::Heatmap { low: 0.0, high: 1.0 };
    lesson.show(&Grid::new(&heads, &words, &maps.row(t - 1).to_vec(), style));
    lesson.picture(|| {
        let columns: Vec<String> = heads
            .iter()
            .flat_map(|head| words.iter().map(move |word| format!("{head}: {word}")))
            .collect();
        let scale = svg::Scale { low: 0.0, high: 1.0 };
        svg::heatmap(
            "Which words (columns) each word (row) reads",
            &words,
            &columns,
            maps.as_slice().unwrap_or_default(),
            scale,
        )
    });
    Ok(())
}
