//! How many tokens a second does a full training step take on this machine?
//!
//! Forward, backward, clipping and AdamW in f32, fused against composed operations.

mod shared;

use criterion::{Criterion, criterion_group, criterion_main};
use llm_benches::Workload;
use llm_benches::shape::GPT_SHAPES;
use llm_benches::train::TrainStep;
use llm_core::ops::Ops;

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

#[expect(clippy::expect_used, reason = "criterion takes no error")]
fn bench(criterion: &mut Criterion) {
    let mut group = shared::group(criterion, "train_step");
    for shape in &GPT_SHAPES {
        for ops in [Ops::Fused, Ops::Composed] {
            let mut step = TrainStep::new(shape, ops).expect("the shapes fit");
            let size = step.size();
            shared::function(
                &mut group,
                &format!("{}/{ops:?}", shape.label()),
                size,
                || {
                    step.run().expect("what could be built runs");
                },
            );
        }
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
