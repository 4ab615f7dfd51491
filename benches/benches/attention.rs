//! How long does causal attention take at each length, fused and spelled out?
//!
//! 12 heads of 64, one text, f32. `forward` builds no graph; `step` is forward and backward to the
//! gradients of q, k and v, `packed` the same with the three side by side in one tensor; `decode`
//! is the last query alone. The rate is queries (tokens) per second.

use std::hint::black_box;
use std::time::Duration;

use candle_core::{DType, Result, Tensor, Var};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use llm_core::ops::{AttentionSpec, Ops};
use llm_core::rng::{Purpose, normal, stream};

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

const HEADS: usize = 12;
const HEAD_SIZE: usize = 64;

/// Spelled out, attention holds several `[H, T, T]` tensors: longer texts only show the paging.
const LONGEST_COMPOSED: usize = 1024;

const SPEC: AttentionSpec = AttentionSpec {
    scale: 0.125, // 1 / √HEAD_SIZE
    window: None,
};

fn attention(ops: Ops, x: &[Tensor; 3]) -> Result<Tensor> {
    ops.causal_attention(&x[0], &x[1], &x[2], &SPEC)
        .map_err(candle_core::Error::wrap)
}

fn step(ops: Ops, vars: &[Var; 3]) -> Result<()> {
    let inputs = vars.each_ref().map(|var| var.as_tensor().clone());
    let gradients = attention(ops, &inputs)?.sum_all()?.backward()?;
    black_box(gradients.get(&vars[0]));
    Ok(())
}

fn packed_step(qkv: &Var) -> Result<()> {
    let y = Ops::Fused
        .causal_attention_packed(qkv.as_tensor(), HEADS, HEADS, &SPEC)
        .map_err(candle_core::Error::wrap)?;
    black_box(y.sum_all()?.backward()?.get(qkv));
    Ok(())
}

fn bench_lengths(criterion: &mut Criterion) -> llm_core::Result<()> {
    let mut group = criterion.benchmark_group(format!("attention/H={HEADS}/D={HEAD_SIZE}"));
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    for t in [128, 256, 512, 1024, 2048, 4096] {
        group.throughput(Throughput::Elements(t as u64));
        let mut rng = stream(1, Purpose::Demo);
        let mut random = || normal(&mut rng, 1.0, &[1, t, HEADS, HEAD_SIZE], DType::F32);
        let inputs = [random()?, random()?, random()?];
        let [q, k, v] = inputs.each_ref().map(Var::from_tensor);
        let vars = [q?, k?, v?];
        let packed = Var::from_tensor(&Tensor::cat(&inputs, 2)?.flatten_from(2)?)?;
        let step_packed = BenchmarkId::new("step/packed", format!("T={t}"));
        group.bench_function(step_packed, |b| b.iter(|| packed_step(&packed)));
        let last = inputs[0].narrow(1, t - 1, 1)?;
        let decode = [last, inputs[1].clone(), inputs[2].clone()];
        let one = BenchmarkId::new("decode", format!("S={t}"));
        group.bench_function(one, |b| b.iter(|| attention(Ops::Fused, &decode)));
        for (name, ops) in [("fused", Ops::Fused), ("composed", Ops::Composed)] {
            if ops == Ops::Composed && t > LONGEST_COMPOSED {
                continue;
            }
            let forward = BenchmarkId::new(format!("forward/{name}"), format!("T={t}"));
            group.bench_function(forward, |b| b.iter(|| attention(ops, black_box(&inputs))));
            let whole = BenchmarkId::new(format!("step/{name}"), format!("T={t}"));
            group.bench_function(whole, |b| b.iter(|| step(ops, black_box(&vars))));
        }
    }
    group.finish();
    Ok(())
}

#[expect(
    clippy::expect_used,
    reason = "a bench without its inputs has nothing to measure"
)]
fn bench(criterion: &mut Criterion) {
    bench_lengths(criterion).expect("random inputs of a known shape");
}

criterion_group!(benches, bench);
criterion_main!(benches);
