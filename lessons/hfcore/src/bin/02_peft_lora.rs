//! How can two thin matrices change a large one, and when is that enough?
//!
//! What you will see: its price, a fresh one, one by hand, a merge, lengths, two scales, seven ranks.
//!
//! Reads: crates/llm-core/src/{lora,nn/linear,nn/dora}.rs, lessons/hfcore/src/rank.rs.
//! Try: `--r 1`, `--alpha 64`, `--seed 8`.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use clap::Args;
use lessons_hfcore::rank::{RANK, SIZE, first_step, fit, least_error, picture};
use lessons_hfcore::small::{self, apart, fill, logits};
use llm_core::model::Decoder;
use llm_core::nn::{LoraLinear, Pass, Proj};
use llm_core::{device::Machine, lora, ops::Ops};
use llm_show::{Lesson, Table, number};

const RANKS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Sums of a few dozen products of f32, and a weight after an addition and a subtraction.
const CLOSE: f64 = 1e-5;
const BACK: f64 = 1e-6;

#[derive(Args)]
struct Own {
    /// R of the adapters on the small model, 1 to 48
    #[arg(long, default_value_t = 4, value_name = "R", value_parser = clap::value_parser!(u64).range(1..=48))]
    r: u64,
    /// α: the update is scaled by α / R
    #[arg(long, default_value_t = 8.0, value_name = "F")]
    alpha: f64,
}

fn main() -> std::process::ExitCode {
    lessons_hfcore::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> Result<()> {
    lesson.weather.settings(&Machine::start("cpu", "f32", lesson.args.threads)?.describe());
    costs(lesson)?;
    let mut model = small::model(lesson.args.seed)?;
    lesson.step("A fresh adapter: A random within ±1/√I, as PEFT draws it, B zero");
    trained(lesson, &mut model, own, false)?;
    by_hand(lesson, &mut model)?;
    lesson.step("Merge: W' = W + s B A is one matrix again; subtracting takes it back");
    merge_and_back(lesson, &mut model)?;
    lesson.step("DoRA: the direction of each row of W + s B A, and its length m apart");
    let mut model = small::model(lesson.args.seed)?;
    trained(lesson, &mut model, own, true)?;
    merge_and_back(lesson, &mut model)?;
    scales(lesson)?;
    ranks(lesson)?;
    // R (in + out) = 8 (4096 + 14336)
    lesson.solution(147_456.0, 0.0);
    Ok(())
}

fn costs(lesson: &mut Lesson) -> Result<()> {
    lesson.step("W [O, I] stays; B [O, R] and A [R, I] train: R (O + I) numbers, not O I");
    let (side, r) = (4_096_u64, 16);
    let (whole, thin) = (side * side, r * (side + side));
    let [large, small] = [whole, thin].map(number::count);
    lesson.exhibit_line(&format!("4,096 x 4,096 with R = 16: {small} train beside {large}"));
    lesson.check_equal("times fewer", &(whole / thin), &128);
    let (table, right) = small::known_costs()?;
    lesson.show(&table);
    lesson.check_that("every number that trains", "as PEFT counts", right);
    Ok(())
}

/// Puts a fresh adapter on `model`, and then numbers into it.
fn trained(lesson: &mut Lesson, model: &mut Decoder, own: &Own, dora: bool) -> Result<()> {
    let (base, seed) = (logits(model)?, lesson.args.seed);
    let parameters = lora::attach(model, &small::settings(own.r, own.alpha, dora), seed)?;
    let numbers = number::count(parameters.count() as u64);
    lesson.exhibit_line(&format!("{} tensors, {numbers} numbers train", parameters.len()));
    lesson.check("fresh adapter == base", apart(&logits(model)?, &base)?, 0.0);
    fill(&parameters, seed)?;
    let moved = apart(&logits(model)?, &base)? > 0.01;
    lesson.check_that("with numbers in B it says", "something else", moved);
    Ok(())
}

/// One projection in plain loops, beside what runs.
fn by_hand(lesson: &mut Lesson, model: &mut Decoder) -> Result<()> {
    lesson.step("By hand: y = W x + s B (A x); only R numbers stand between A and B");
    let (name, projection) = model.projections_mut().next().context("a projection")?;
    let Proj::Lora(LoraLinear { base, a, b, scale, .. }) = &*projection else {
        anyhow::bail!("{name} has no adapter");
    };
    let rows = |t: &Tensor| t.detach().to_vec2::<f32>();
    let (w, a, b) = (rows(base.weight())?, rows(a)?, rows(b)?);
    let x: Vec<f32> = (0..w[0].len()).map(|i| (i as f32).sin()).collect();
    let dot =
        |row: &[f32], x: &[f64]| -> f64 { row.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum() };
    let wide: Vec<f64> = x.iter().map(|&x| x.into()).collect();
    let narrow: Vec<f64> = a.iter().map(|row| dot(row, &wide)).collect();
    let y: Vec<f64> =
        w.iter().zip(&b).map(|(w, b)| dot(w, &wide) + scale * dot(b, &narrow)).collect();
    lesson.shape(&name, &[('O', w.len()), ('R', narrow.len()), ('I', wide.len())], "f32");
    let x = Tensor::from_vec(x, (1, wide.len()), &Device::Cpu)?;
    let found = projection.forward(&x, &Pass::eval(Ops::Fused))?.flatten_all()?.to_vec1::<f32>()?;
    let gaps = found.into_iter().zip(&y).map(|(found, y)| (f64::from(found) - y).abs());
    lesson.check("loops == nn::LoraLinear", gaps.fold(0.0, f64::max), CLOSE);
    Ok(())
}

fn merge_and_back(lesson: &mut Lesson, model: &mut Decoder) -> Result<()> {
    let (beside, weights) = (logits(model)?, model.named_tensors()?);
    let merged = lora::merge(model)?;
    lesson.check("merged == adapter beside the base", apart(&logits(model)?, &beside)?, CLOSE);
    lora::unmerge(model, merged)?;
    let worst = small::largest_change(&weights, &model.named_tensors()?)?;
    lesson.check("taken back == the weights before", worst, BACK);
    Ok(())
}

/// How far one step moves the answer to the example that it was made for.
fn scales(lesson: &mut Lesson) -> Result<()> {
    lesson.step("The scale: with α / R a high rank learns slowly, with α / √R (rsLoRA) as fast");
    let head = ["R", "one step, α / R", "one step, α / √R"];
    let (mut table, mut moved) = (Table::new(&head), Vec::new());
    for r in RANKS {
        let step = |by: f64| first_step(r, 4.0 / by, lesson.args.seed);
        let (plain, stable) = (step(r as f64)?, step((r as f64).sqrt())?);
        table.row([r.into(), plain.into(), stable.into()]);
        moved.push([plain, stable]);
    }
    lesson.show(&table);
    let [fall, stays] = [0, 1].map(|way| moved[0][way] / moved[RANKS.len() - 1][way]);
    lesson.check_between("R = 1 to 64, α / R: slower by", fall, (40.0, 100.0));
    lesson.check_between("R = 1 to 64, α / √R: slower by", stays, (0.6, 1.6));
    Ok(())
}

fn ranks(lesson: &mut Lesson) -> Result<()> {
    lesson.step(&format!("Which rank? A change of rank {RANK}, {SIZE} x {SIZE}, learnt by seven"));
    let steps = if lesson.args.quick { 200 } else { 300 };
    let (mut found, mut over) = (Vec::new(), 0.0_f64);
    let mut table = Table::new(&["R", "trained", "error left", "least"]);
    for r in RANKS {
        let (left, least) = (fit(r, steps, lesson.args.seed)?, least_error(r));
        table.row([r.into(), (2 * r * SIZE).into(), left.into(), least.into()]);
        over = over.max(left - least);
        found.push((r, left, least));
    }
    lesson.show(&table);
    lesson.check("above the least that a rank can", over, 0.005);
    lesson.picture(|| picture(&found));
    Ok(())
}
