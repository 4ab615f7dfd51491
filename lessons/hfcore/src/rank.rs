//! How much rank a change needs, on a change whose rank is known.
//!
//! The frozen weight is zero, and what an adapter has to learn is `T = Σₖ σₖ uₖ vₖᵀ` with [`RANK`]
//! orthogonal directions of falling strength. No matrix of rank R comes closer to T than the one that
//! keeps the R strongest (Eckart and Young 1936), so the least error of every rank is known too.

use std::f64::consts::PI;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor, Var};
use llm_core::nn::{Linear, LoraLinear, Pass};
use llm_core::ops::Ops;
use llm_core::params::Parameters;
use llm_core::rng::{Purpose, stream, uniform};
use llm_show::svg::{Line, Picture, lines};
use llm_train::optimizer::{AdamW, AdamWConfig};
use llm_train::schedule::{Schedule, ScheduleKind};
use llm_train::step::Stepper;

/// Rows and columns of T.
pub const SIZE: usize = 64;
/// The rank of T.
pub const RANK: usize = 8;
/// How much weaker each direction is than the one before.
const FALL: f64 = 0.8;
/// The highest rate of [`fit`], which ends at a tenth of it.
const RATE: f64 = 0.02;
/// The rate of the one step of [`first_step`].
const FIRST_RATE: f64 = 0.1;

fn strength(k: usize) -> f64 {
    FALL.powi(k as i32)
}

/// Strength of the directions from `first` on.
fn strength_from(first: usize) -> f64 {
    (first..RANK).fold(0.0, |sum, k| sum + strength(k).powi(2)).sqrt()
}

/// The least that `‖s B A − T‖ / ‖T‖` can be at rank `r`.
pub fn least_error(r: usize) -> f64 {
    strength_from(r) / strength_from(0)
}

/// A cosine wave of length 1; waves of different `frequency` are orthogonal.
fn wave(frequency: usize, place: usize) -> f64 {
    let angle = PI * (place as f64 + 0.5) * frequency as f64 / SIZE as f64;
    angle.cos() * (2.0 / SIZE as f64).sqrt()
}

/// Tᵀ: row i is what the adapter has to answer to the i-th unit vector.
///
/// # Shapes
/// `[I, O]` of f32.
fn answers() -> Result<Tensor> {
    let entry = |row: usize, column: usize| -> f64 {
        (0..RANK).map(|k| strength(k) * wave(k + 1, column) * wave(2 * k + 3, row)).sum()
    };
    let values = (0..SIZE * SIZE).map(|at| entry(at / SIZE, at % SIZE) as f32).collect();
    Ok(Tensor::from_vec(values, (SIZE, SIZE), &Device::Cpu)?)
}

/// A fresh adapter on a weight of zeros, with what trains.
fn adapter(r: usize, scale: f64, seed: u64) -> Result<(LoraLinear, Parameters)> {
    let weight = Tensor::zeros((SIZE, SIZE), DType::F32, &Device::Cpu)?;
    let mut rng = stream(seed, Purpose::Lora);
    let bound = 1.0 / (SIZE as f64).sqrt();
    let a = Var::from_tensor(&uniform(&mut rng, bound, &[r, SIZE], DType::F32)?)?;
    let b = Var::zeros((SIZE, r), DType::F32, &Device::Cpu)?;
    let lora = LoraLinear {
        base: Linear::new(weight, None),
        a: a.as_tensor().clone(),
        b: b.as_tensor().clone(),
        scale,
        dropout: 0.0,
        dora: None,
    };
    let mut parameters = Parameters::default();
    parameters.insert("a", a);
    parameters.insert("b", b);
    Ok((lora, parameters))
}

/// The error `‖s B A − T‖ / ‖T‖` that an adapter of rank `r` is left with after `steps` of Adam on
/// all unit vectors, s = 2.
///
/// # Errors
/// What the optimizer reports.
pub fn fit(r: usize, steps: u64, seed: u64) -> Result<f64> {
    let (lora, parameters) = adapter(r, 2.0, seed)?;
    let (x, answers) = (Tensor::eye(SIZE, DType::F32, &Device::Cpu)?, answers()?);
    let config = AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() };
    let optimizer = AdamW::new(&parameters, config, |_, _| false)?;
    let (kind, max_lr, min_lr) = (ScheduleKind::Cosine, RATE, RATE / 10.0);
    let schedule = Schedule { kind, max_lr, min_lr, warmup_steps: 0, total_steps: steps };
    let mut stepper =
        Stepper { parameters, optimizer, schedule, max_grad_norm: None, scaler: None };
    let missed = || -> llm_train::Result<Tensor> {
        let y = lora.forward(&x, &Pass::eval(Ops::Fused))?;
        Ok((y - &answers)?.sqr()?.sum_all()?)
    };
    for _ in 0..steps {
        stepper.step(1, |_| missed())?;
    }
    let squares = f64::from(missed()?.to_scalar::<f32>()?);
    Ok(squares.sqrt() / strength_from(0))
}

/// How far one step of plain gradient descent on one example moves the answer to it, as a share of
/// what was asked for; the mean over all unit vectors.
///
/// # Errors
/// What the graph reports.
pub fn first_step(r: usize, scale: f64, seed: u64) -> Result<f64> {
    let (lora, parameters) = adapter(r, scale, seed)?;
    let (x, answers) = (Tensor::eye(SIZE, DType::F32, &Device::Cpu)?, answers()?);
    let b = parameters.get("b").context("the adapter has a B")?;
    let size = |t: &Tensor| -> Result<f64> {
        Ok(f64::from(t.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt())
    };
    let mut moved = 0.0;
    for example in 0..SIZE {
        let (x, wanted) = (x.narrow(0, example, 1)?, answers.narrow(0, example, 1)?);
        let y = lora.forward(&x, &Pass::eval(Ops::Fused))?;
        let gradients = (&y - &wanted)?.sqr()?.sum_all()?.backward()?;
        let slope = gradients.get(b).context("B has a gradient")?;
        let step = LoraLinear { b: (slope * -FIRST_RATE)?.detach(), ..lora.clone() };
        moved += size(&step.forward(&x, &Pass::eval(Ops::Fused))?)? / size(&wanted)?;
    }
    Ok(moved / SIZE as f64)
}

/// Rank, error and least error as two lines over the logarithm of the rank.
pub fn picture(found: &[(usize, f64, f64)]) -> Picture {
    let line = |name: &str, value: fn(&(usize, f64, f64)) -> f64| Line {
        name: name.into(),
        points: found.iter().map(|row| ((row.0 as f64).log2(), value(row))).collect(),
    };
    let both = [line("after training", |row| row.1), line("least at this rank", |row| row.2)];
    lines("What a change of rank 8 leaves to adapters", ["log₂ R", "error left"], &both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_change_has_the_strengths_that_it_claims() {
        let squares: f32 =
            answers().unwrap().sqr().unwrap().sum_all().unwrap().to_scalar().unwrap();
        assert!((f64::from(squares).sqrt() - strength_from(0)).abs() < 1e-5);
        assert_eq!((least_error(0), least_error(RANK)), (1.0, 0.0));
        for (a, b) in [(1, 1), (3, 3), (3, 5), (2, 7), (17, 3)] {
            let product: f64 = (0..SIZE).map(|i| wave(a, i) * wave(b, i)).sum();
            assert!((product - f64::from(u8::from(a == b))).abs() < 1e-12, "{a} {b}: {product}");
        }
    }
}
