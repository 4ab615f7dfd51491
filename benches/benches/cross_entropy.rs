//! How long does the loss over the vocabulary take, with its gradient?
//!
//! Names are `pass/implementation/N x V`; the rate is rows (tokens).

mod shared;

use std::hint::black_box;

use candle_core::{DType, Result, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use llm_benches::Size;
use llm_core::ops::Ops;
use llm_core::rng::{Purpose, normal, stream};

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

/// N and V of the large GPT over characters, and of a LoRA step of 2 x 256 tokens.
const SHAPES: [(usize, usize); 2] = [(2048, 65), (512, 32_768)];

fn run(criterion: &mut Criterion) -> Result<()> {
    let mut group = shared::group(criterion, "cross_entropy");
    for (rows, v) in SHAPES {
        let mut rng = stream(1, Purpose::Demo);
        let logits = normal(&mut rng, 1.0, &[rows, v], DType::F32);
        let logits = Var::from_tensor(&logits.map_err(candle_core::Error::wrap)?)?;
        let constant = logits.as_detached_tensor();
        let targets: Vec<i64> = (0..rows).map(|row| (row * 7919 % v) as i64).collect();
        let scale = 1.0 / rows as f64;
        let size = Size {
            tokens: rows as u64,
            ..Size::default()
        };
        for ops in [Ops::Fused, Ops::Composed] {
            let label = |pass: &str| format!("{pass}/{ops:?}/{rows}x{v}");
            shared::function(&mut group, &label("forward"), size, || {
                black_box(ops.cross_entropy(&constant, &targets, scale).is_ok());
            });
            shared::function(&mut group, &label("step"), size, || {
                let loss = ops.cross_entropy(logits.as_tensor(), &targets, scale);
                black_box(loss.is_ok_and(|loss| loss.backward().is_ok()));
            });
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
