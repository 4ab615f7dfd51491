//! How fast is the projection, forward and backward, beside the tensor library's own product?
//!
//! Names are `pass/implementation/rows×inputs×outputs`.
//!
//! ```text
//! cargo bench -p llm-benches --bench linear
//! ```

mod shared;

use std::hint::black_box;

use candle_core::{DType, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use llm_benches::Size;
use llm_core::ops::{Ops, PackedWeight};
use llm_core::rng::{Purpose, normal, stream};

#[global_allocator]
static ALLOCATOR: llm_alloc::MiMalloc = llm_alloc::MiMalloc;

/// I and O of the two matrices of a feed-forward block at width 384, and of one at width 1,024.
const WEIGHTS: [(usize, usize); 3] = [(384, 1536), (1536, 384), (1024, 3072)];
const ROWS: [usize; 4] = [1, 8, 64, 512];

type Outcome = llm_core::Result<()>;

/// `products` products of these sizes.
fn size(products: usize, rows: usize, inputs: usize, outputs: usize) -> Size {
    Size {
        tokens: rows as u64,
        flops: 2 * (products * rows * inputs * outputs) as u64,
        parameters: 0,
    }
}

fn draw(seed: u64, shape: &[usize]) -> llm_core::Result<Tensor> {
    normal(&mut stream(seed, Purpose::Demo), 1.0, shape, DType::F32)
}

/// Forward alone, as in generation: the weight is frozen, packed by us, transposed for Candle.
fn forward(criterion: &mut Criterion) -> Outcome {
    let mut group = shared::group(criterion, "linear/forward");
    for (inputs, outputs) in WEIGHTS {
        let weight = draw(1, &[outputs, inputs])?;
        let packed = PackedWeight::new(weight.clone());
        let turned = weight.t()?.contiguous()?;
        for rows in ROWS {
            let x = draw(2, &[rows, inputs])?;
            let shape = format!("{rows}x{inputs}x{outputs}");
            let size = size(1, rows, inputs, outputs);
            shared::function(&mut group, &format!("packed/{shape}"), size, || {
                black_box(Ops::Fused.packed_linear(&x, &packed, None).is_ok());
            });
            shared::function(&mut group, &format!("plain/{shape}"), size, || {
                black_box(Ops::Fused.linear(&x, &weight, None).is_ok());
            });
            shared::function(&mut group, &format!("candle/{shape}"), size, || {
                black_box(x.matmul(&turned).is_ok());
            });
        }
    }
    Ok(())
}

/// Forward and both gradients of a weight that trains, three products; and each gradient alone
/// with the forward pass: a constant input leaves dW, a frozen weight leaves dx.
fn backward(criterion: &mut Criterion) -> Outcome {
    let mut group = shared::group(criterion, "linear/backward");
    for (inputs, outputs) in WEIGHTS {
        let weight = Var::from_tensor(&draw(1, &[outputs, inputs])?)?;
        let frozen = weight.as_detached_tensor();
        for rows in ROWS {
            let x = Var::from_tensor(&draw(2, &[rows, inputs])?)?;
            let constant = x.as_detached_tensor();
            let shape = format!("{rows}x{inputs}x{outputs}");
            let cases = [
                (
                    "all-candle",
                    Ops::Composed,
                    x.as_tensor(),
                    weight.as_tensor(),
                    3,
                ),
                (
                    "all-fused",
                    Ops::Fused,
                    x.as_tensor(),
                    weight.as_tensor(),
                    3,
                ),
                ("dx-fused", Ops::Fused, x.as_tensor(), &frozen, 2),
                ("dW-fused", Ops::Fused, &constant, weight.as_tensor(), 2),
            ];
            for (name, ops, x, weight, products) in cases {
                let size = size(products, rows, inputs, outputs);
                shared::function(&mut group, &format!("{name}/{shape}"), size, || {
                    let y = ops.linear(x, weight, None);
                    black_box(y.is_ok_and(|y| y.backward().is_ok()));
                });
            }
        }
    }
    Ok(())
}

#[expect(clippy::expect_used, reason = "criterion takes no error")]
fn benches(criterion: &mut Criterion) {
    forward(criterion)
        .and_then(|()| backward(criterion))
        .expect("the shapes fit");
}

criterion_group!(all, benches);
criterion_main!(all);
