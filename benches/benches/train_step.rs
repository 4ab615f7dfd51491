//! How many tokens a second does a full training step take on this machine?
//!
//! Forward, backward, clipping and AdamW in f32, fused against composed operations.

use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use llm_benches::{GPT_SHAPES, GptShape, VOCABULARY};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::Mode;
use llm_train::optimizer::{AdamW, AdamWConfig, decays};
use llm_train::schedule::{Schedule, ScheduleKind};
use llm_train::step::Stepper;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LEARNING_RATE: f64 = 1e-4;

fn bench_shape(c: &mut Criterion, shape: &GptShape, ops: Ops) -> llm_train::Result<()> {
    let (model, parameters) = Decoder::init(&shape.config()?, 7, Mode::Trainable, DType::F32)?;
    let config = AdamWConfig::default();
    let optimizer = AdamW::new(&parameters, config, |name, shape| decays(name, shape, true))?;
    let schedule = Schedule {
        kind: ScheduleKind::Constant,
        max_lr: LEARNING_RATE,
        min_lr: LEARNING_RATE,
        warmup_steps: 0,
        total_steps: u64::MAX,
    };
    let mut stepper = Stepper {
        parameters,
        optimizer,
        schedule,
        max_grad_norm: Some(1.0),
    };
    let (ids, targets) = shape.batch();
    let ids = Tensor::from_vec(ids, (shape.batch, shape.tokens), &Device::Cpu)?;
    let scale = 1.0 / targets.len() as f64;
    let pass = Pass::eval(ops);
    let mut group = c.benchmark_group("train_step");
    group
        .throughput(Throughput::Elements(targets.len() as u64))
        .sample_size(10);
    group.bench_function(format!("{}/{ops:?}", shape.name), |bencher| {
        bencher.iter(|| {
            stepper.step(1, |_| {
                let logits = model.forward(&ids, &pass)?;
                let logits = ops.reshape(&logits, (targets.len(), VOCABULARY))?;
                Ok(ops.cross_entropy(&logits, &targets, scale)?)
            })
        });
    });
    group.finish();
    Ok(())
}

#[expect(
    clippy::print_stderr,
    reason = "a bench has no other place for its errors"
)]
fn bench(c: &mut Criterion) {
    for shape in &GPT_SHAPES {
        for ops in [Ops::Fused, Ops::Composed] {
            if let Err(error) = bench_shape(c, shape, ops) {
                eprintln!("{}: {error}", shape.name);
            }
        }
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
