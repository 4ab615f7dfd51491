//! Strided, narrowed and transposed arguments and gradients have the bits of contiguous ones.

use candle_core::{DType, Tensor};
use llm_core::kernels::simd::{Isa, with_isa};
use llm_core::ops::Ops;

use crate::kernel_shapes::operations;
use crate::ops::{Case, random};

/// A way to lay a tensor out in memory that is not row-major from its first element on.
type Layout = fn(&Tensor) -> Tensor;

/// The last two axes exchanged in memory; every second element of a vector.
fn transposed(x: &Tensor) -> Tensor {
    let Some(axis) = x.rank().checked_sub(2) else {
        let both = Tensor::stack(&[x, x], 1).unwrap();
        return both.narrow(1, 1, 1).unwrap().squeeze(1).unwrap();
    };
    let swapped = x.transpose(axis, axis + 1).unwrap().contiguous().unwrap();
    swapped.transpose(axis, axis + 1).unwrap()
}

/// The inside of a larger tensor, with gaps between its rows.
fn narrowed(x: &Tensor) -> Tensor {
    (0..x.rank()).fold(x.clone(), |x, axis| {
        let size = x.dim(axis).unwrap();
        let padded = x.pad_with_same(axis, 2, 1).unwrap();
        padded.narrow(axis, 2, size).unwrap()
    })
}

/// A part of its memory that starts later, without gaps.
fn shifted(x: &Tensor) -> Tensor {
    let both = Tensor::cat(&[x, x], 0).unwrap();
    both.narrow(0, x.dim(0).unwrap(), x.dim(0).unwrap())
        .unwrap()
}

const LAYOUTS: [(&str, Layout); 3] = [
    ("transposed", transposed),
    ("narrowed", narrowed),
    ("shifted", shifted),
];

fn bits(results: Vec<Vec<f64>>) -> Vec<Vec<u64>> {
    let bits = |x: Vec<f64>| x.into_iter().map(f64::to_bits).collect();
    results.into_iter().map(bits).collect()
}

/// Weighs the result with one tensor, laid out by `layout`: the gradient arrives in that layout.
fn weigh(y: &Tensor, layout: Layout) -> Tensor {
    let g = random(99, y.dims(), y.dtype());
    match y.rank() {
        0 | 1 => (y * g).unwrap(),
        rank => {
            // A view of y, multiplied by a tensor of the view's shape, hands its gradient back
            // with the strides of the view.
            let view = |x: &Tensor| layout(x).transpose(rank - 2, rank - 1).unwrap();
            let y = y.transpose(rank - 2, rank - 1).unwrap();
            (y * view(&g).contiguous().unwrap()).unwrap()
        }
    }
}

fn each_argument_and_the_gradient(case: &Case, dtype: DType) {
    let arguments = case.arguments(dtype);
    let weigh_plain = |y: &Tensor| {
        let g = random(99, y.dims(), y.dtype());
        (y * g).unwrap()
    };
    let results = |arguments: &[Tensor]| bits(case.results_of(Ops::Fused, arguments, weigh_plain));
    let expected = results(&arguments);
    for (how, layout) in LAYOUTS {
        for i in 0..arguments.len() {
            let mut arguments = arguments.clone();
            arguments[i] = layout(&arguments[i]);
            let found = results(&arguments);
            assert!(found == expected, "{}: argument {i} {how}", case.name);
        }
        let all: Vec<Tensor> = arguments.iter().map(layout).collect();
        assert!(results(&all) == expected, "{}: all {how}", case.name);
        let found = bits(case.results_of(Ops::Fused, &arguments, |y| weigh(y, layout)));
        assert!(found == expected, "{}: gradient {how}", case.name);
    }
    // One number for all elements of the gradient, without memory of its own.
    let broadcast = case.results_of(Ops::Fused, &arguments, Tensor::clone);
    let ones = case.results_of(Ops::Fused, &arguments, |y| {
        (y * y.ones_like().unwrap()).unwrap()
    });
    assert!(bits(broadcast) == bits(ones), "{}: broadcast", case.name);
}

#[test]
fn views_have_the_bits_of_copies_forward_and_backward() {
    for (rows, length) in [(1, 1), (3, 2), (5, 17), (33, 48), (67, 49)] {
        for case in operations(rows, length) {
            each_argument_and_the_gradient(&case, DType::F64);
            for isa in Isa::available() {
                with_isa(isa, || each_argument_and_the_gradient(&case, DType::F32));
            }
        }
    }
}
