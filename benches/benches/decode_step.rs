//! How many tokens a second come out of a model that reads one token at a time?
//!
//! One token after S in the cache, f32.

mod shared;

use criterion::{Criterion, criterion_group, criterion_main};
use llm_benches::Workload;
use llm_benches::decode::{Decode, DecodeShape};

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

/// The named sizes, and the large one after a long text.
const SHAPES: [DecodeShape; 3] = [
    DecodeShape::SMALL,
    DecodeShape::LARGE,
    DecodeShape::new([6, 6, 384, 65, 2047]),
];

#[expect(clippy::expect_used, reason = "criterion takes no error")]
fn bench(criterion: &mut Criterion) {
    let mut group = shared::group(criterion, "decode_step");
    for shape in SHAPES {
        let model = shape.model().expect("the shapes fit");
        let mut step = Decode::new(model, shape.context).expect("the text fits the context");
        let size = step.size();
        shared::function(&mut group, &shape.label(), size, || {
            step.run().expect("what could be built runs");
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
