//! What does attention cost where the bench `attention` does not look: spelled out in f64 loops,
//! over long texts, and for one token that reads a cache?
//!
//! 12 heads of 64, one text. `math` is the readable twin in f64, one head after the other; `cached`
//! is one query over S keys of a cache's slab.

mod shared;

use std::hint::black_box;

use candle_core::{DType, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use llm_benches::attention::{Attention, AttentionShape, Part};
use llm_benches::{Result, Size, Workload, flops};
use llm_core::math::attention::{Mask, attend};
use llm_core::ops::{AttentionSpec, Ops};
use llm_core::rng::{Purpose, normal, standard_normal, stream};
use ndarray::Array2;

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

const HEADS: usize = 12;
const HEAD_SIZE: usize = 64;

fn size(tokens: usize, queries: usize, products: u64) -> Size {
    Size {
        tokens: queries as u64,
        flops: products * flops::attention_product([1, HEADS, HEAD_SIZE], queries, tokens),
        parameters: 0,
    }
}

fn scale() -> f64 {
    1.0 / (HEAD_SIZE as f64).sqrt()
}

fn math(criterion: &mut Criterion) {
    let mut group = shared::group(criterion, "attention/math");
    for t in [128, 256, 512] {
        let mut rng = stream(1, Purpose::Demo);
        let mut random =
            || Array2::from_shape_simple_fn((t, HEAD_SIZE), || standard_normal(&mut rng));
        let [q, k, v] = [random(), random(), random()];
        shared::function(&mut group, &format!("forward/T={t}"), size(t, t, 2), || {
            for _head in 0..HEADS {
                black_box(attend(&q, &k, &v, scale(), Mask::Causal));
            }
        });
    }
}

#[expect(clippy::expect_used, reason = "criterion takes no error")]
fn long(criterion: &mut Criterion) -> Result<()> {
    let mut group = shared::group(criterion, "attention/fused");
    for tokens in [512, 2048, 4096] {
        for (name, part) in [("forward", Part::Forward), ("step", Part::Step)] {
            let shape = AttentionShape {
                heads: HEADS,
                head_size: HEAD_SIZE,
                tokens,
                part,
            };
            let mut work = Attention::new(shape, Ops::Fused)?;
            let size = work.size();
            shared::function(&mut group, &format!("{name}/T={tokens}"), size, || {
                work.run().expect("what could be built runs");
            });
        }
    }
    Ok(())
}

fn cached(criterion: &mut Criterion) -> Result<()> {
    let mut group = shared::group(criterion, "attention/cached");
    let spec = AttentionSpec {
        scale: scale(),
        window: None,
    };
    for s in [128, 512, 2048, 4096] {
        let mut rng = stream(1, Purpose::Demo);
        let mut random = |t| normal(&mut rng, 1.0, &[1, t, HEADS, HEAD_SIZE], DType::F32);
        // A slab with room behind the text, as a cache has it.
        let view = |slab: Tensor| slab.narrow(1, 0, s);
        let (q, k, v) = (random(1)?, view(random(2 * s)?)?, view(random(2 * s)?)?);
        shared::function(&mut group, &format!("S={s}"), size(s, 1, 2), || {
            black_box(Ops::Fused.causal_attention(&q, &k, &v, &spec).is_ok());
        });
    }
    Ok(())
}

#[expect(clippy::expect_used, reason = "criterion takes no error")]
fn bench(criterion: &mut Criterion) {
    math(criterion);
    long(criterion)
        .and_then(|()| cached(criterion))
        .expect("the shapes fit");
}

criterion_group!(benches, bench);
criterion_main!(benches);
