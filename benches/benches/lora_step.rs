//! How many tokens a second does a LoRA step take on the shape of Qwen3-0.6B?
//!
//! Rank 16 on q, k and v, a frozen base in f32, 1 x 64 tokens: the whole 2 x 256 step is for
//! `benches/peers/lora.py`, this is what a change can be seen with in half a minute.

mod shared;

use criterion::{Criterion, criterion_group, criterion_main};
use llm_benches::Workload;
use llm_benches::lora::{LoraShape, LoraStep};

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

#[expect(clippy::expect_used, reason = "criterion takes no error")]
fn bench(criterion: &mut Criterion) {
    let shape = LoraShape {
        config: None,
        dtype: "f32".into(),
        batch: 1,
        tokens: 64,
        r: 16,
        lora_alpha: 32,
        sizes: None,
    };
    let mut group = shared::group(criterion, "lora_step");
    let mut step = LoraStep::new(&shape).expect("memory for the weights");
    let size = step.size();
    shared::function(&mut group, "qwen3-0.6b/T=64/B=1/R=16", size, || {
        step.run().expect("what could be built runs");
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
