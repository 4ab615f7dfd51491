//! How long do the norms take, forward and backward, and how near are they to reading memory?
//!
//! Names are `norm/pass/implementation/rows x channels`; a norm has no arithmetic worth a share of
//! the peak, so the rate is rows (tokens).

mod shared;

use std::hint::black_box;

use candle_core::{DType, Result, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use llm_benches::Size;
use llm_core::ops::Ops;
use llm_core::rng::{Purpose, normal, stream};

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

const EPS: f64 = 1e-5;
/// N and C of the large GPT and of Qwen3-0.6B.
const SHAPES: [(usize, usize); 2] = [(2048, 384), (512, 1024)];

fn draw(shape: &[usize]) -> Result<Tensor> {
    normal(&mut stream(1, Purpose::Demo), 1.0, shape, DType::F32).map_err(candle_core::Error::wrap)
}

fn norm(name: &str, ops: Ops, x: &Tensor, [weight, bias]: [&Tensor; 2]) -> Result<Tensor> {
    match name {
        "rms" => ops.rms_norm(x, weight, EPS),
        _ => ops.layer_norm(x, weight, bias, EPS),
    }
    .map_err(candle_core::Error::wrap)
}

fn run(criterion: &mut Criterion) -> Result<()> {
    let mut group = shared::group(criterion, "norms");
    for (rows, channels) in SHAPES {
        let x = Var::from_tensor(&draw(&[rows, channels])?)?;
        let affine = [draw(&[channels])?, draw(&[channels])?].map(|x| Var::from_tensor(&x));
        let [weight, bias] = affine;
        let (weight, bias) = (weight?, bias?);
        let size = Size {
            tokens: rows as u64,
            ..Size::default()
        };
        for name in ["rms", "layer"] {
            for ops in [Ops::Fused, Ops::Composed] {
                let constants = [&weight, &bias].map(|x| x.as_detached_tensor());
                let label = |pass: &str| format!("{name}/{pass}/{ops:?}/{rows}x{channels}");
                let constant = x.as_detached_tensor();
                shared::function(&mut group, &label("forward"), size, || {
                    black_box(norm(name, ops, &constant, constants.each_ref()).is_ok());
                });
                let tracked = [&weight, &bias].map(|x| x.as_tensor());
                shared::function(&mut group, &label("step"), size, || {
                    let y = norm(name, ops, x.as_tensor(), tracked);
                    black_box(y.and_then(|y| y.backward()).is_ok());
                });
            }
        }
    }
    Ok(())
}

#[expect(clippy::expect_used, reason = "criterion takes no error")]
fn bench(criterion: &mut Criterion) {
    run(criterion).expect("the shapes fit");
}

criterion_group!(benches, bench);
criterion_main!(benches);
