//! Every kernel against its composed version on shapes that no tile, panel or register divides.

use candle_core::{DType, Device, Tensor, Var};
use llm_core::kernels::simd::{Isa, with_isa};
use llm_core::ops::{GeluKind, IGNORE_INDEX, Ops, RopeTable, record};

use crate::ops::{Case, case, random, values};

/// Lengths around the registers and panels of every instruction set.
pub(crate) const LENGTHS: [usize; 16] =
    [1, 2, 3, 7, 15, 16, 17, 31, 33, 47, 48, 49, 63, 65, 97, 130];
/// One more than two blocks of 32 and than a block of 64, and all below.
const MOST_ROWS: usize = 67;
/// Lengths that each number of rows is tried with; steps of 5 and the rows walk through all.
const LENGTHS_PER_ROWS: usize = 3;
/// Keeps `1 / √(variance + ε)` of a row of two or three elements near 1.
const EPS: f64 = 0.1;
/// Two f64 routes to sums of up to 130 terms.
const F64: f64 = 1e-12;
/// Chains of up to 130 roundings of f32 (6e-8 each).
const F32: f64 = 2e-6;

/// Every operation but attention on `rows` rows of `length` elements.
pub(crate) fn operations(rows: usize, length: usize) -> Vec<Case> {
    let (heads, other) = (1 + rows % 3, LENGTHS[(rows * 7 + length) % LENGTHS.len()]);
    let frequencies: Vec<f32> = (0..length).map(|i| 0.8f32.powi(i as i32)).collect();
    let table = RopeTable::new(rows + 3, &frequencies);
    let targets: Vec<i64> = (0..rows)
        .map(|row| match row % 5 {
            3 => IGNORE_INDEX,
            _ => (row * 11 % length) as i64,
        })
        .collect();
    let ids: Vec<u32> = (0..2 * rows).map(|i| (i * i % rows) as u32).collect();
    let ids = Tensor::from_vec(ids, (2, rows), &Device::Cpu).unwrap();
    let x: &[usize] = &[rows, length];
    let mut cases = vec![
        case("linear", &[x, &[other, length], &[other]], |o, x| {
            o.linear(&x[0], &x[1], Some(&x[2]))
        }),
        case("rms_norm", &[x, &[length]], |o, x| {
            o.rms_norm(&x[0], &x[1], EPS)
        }),
        case("layer_norm", &[x, &[length], &[length]], |o, x| {
            o.layer_norm(&x[0], &x[1], &x[2], EPS)
        }),
        case("rope", &[&[1, rows, heads, 2 * length]], move |o, x| {
            o.rope(&x[0], &table, 3)
        }),
        case("gelu_tanh", &[x], |o, x| o.gelu(&x[0], GeluKind::Tanh)),
        case("gelu_erf", &[x], |o, x| o.gelu(&x[0], GeluKind::Erf)),
        case("swiglu", &[x, x], |o, x| o.swiglu(&x[0], &x[1])),
        case("cross_entropy", &[x], move |o, x| {
            o.cross_entropy(&x[0], &targets, 0.25)
        }),
        case("dropout", &[x], |o, x| o.dropout(&x[0], 0.3, 11)),
        case("embedding", &[x], move |o, x| o.embedding(&x[0], &ids)),
    ];
    for case in &mut cases {
        case.name = format!("{} of {rows} rows of {length}", case.name);
    }
    cases
}

/// Fails where `a` is further than `tolerance · max(1, max|b|)` from `b`.
fn assert_near(what: &str, a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = b.iter().fold(1.0, |max: f64, b| max.max(b.abs()));
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        let error = (a - b).abs() / scale;
        assert!(
            error <= tolerance,
            "{what}: {a} for {b} at {i}, {error:e} > {tolerance:e}"
        );
    }
}

#[test]
fn all_rows_and_odd_lengths_equal_the_composed_version() {
    let mut compared = 0;
    for rows in 1..=MOST_ROWS {
        for step in 0..LENGTHS_PER_ROWS {
            for case in operations(rows, LENGTHS[(rows + 5 * step) % LENGTHS.len()]) {
                let expected = case.results(Ops::Composed, DType::F64);
                let compare = |set: &str, results: Vec<Vec<f64>>, tolerance: f64| {
                    for (i, (a, b)) in results.iter().zip(&expected).enumerate() {
                        assert_near(&format!("{} result {i}, {set}", case.name), a, b, tolerance);
                    }
                };
                compare("f64", case.results(Ops::Fused, DType::F64), F64);
                for isa in Isa::available() {
                    let single = with_isa(isa, || case.results(Ops::Fused, DType::F32));
                    compare(&format!("{isa:?}"), single, F32);
                }
                compared += 1 + Isa::available().len();
            }
        }
    }
    println!("{compared} forward and backward passes compared");
}

/// The parts of a narrowed variable and the whole of it get one gradient, added in place.
#[test]
fn gradients_added_in_place_are_those_of_the_library() {
    let add_up = |x: &Tensor, axis: usize| -> llm_core::Result<Tensor> {
        let (ops, n) = (Ops::Fused, x.dim(axis)?);
        let (some, rest) = (n.div_ceil(3), n - n.div_ceil(3));
        let size = |part: &Tensor| part.elem_count();
        let mut logits = ops.reshape(x, (1, size(x)))?;
        // From long to short, so that each part finds enough logits to be added to.
        for (start, len) in [(0, n), (some / 2, n - some / 2), (rest, some), (0, some)] {
            let part = ops.narrow(x, axis, start, len)?;
            let row = ops.gelu(&ops.reshape(&part, (1, size(&part)))?, GeluKind::Tanh)?;
            let head = ops.narrow(&logits, 1, 0, size(&row))?;
            logits = ops.add(&ops.scale(&head, 0.7)?, &row)?;
        }
        ops.cross_entropy(&logits, &[0], 1.0)
    };
    for (rows, length) in LENGTHS
        .into_iter()
        .flat_map(|n| [(1, n), (5, n), (n, 3), (67, n)])
    {
        for (axis, dtype) in [
            (0, DType::F32),
            (1, DType::F32),
            (0, DType::F64),
            (1, DType::F64),
        ] {
            let x = Var::from_tensor(&random(1, &[rows, length], dtype)).unwrap();
            for isa in Isa::available() {
                with_isa(isa, || {
                    let (loss, tape) = record(|| add_up(&x, axis));
                    let loss = loss.unwrap();
                    assert!(tape.is_complete(&loss));
                    let expected = loss.backward().unwrap();
                    let found = tape.backward(&loss).unwrap();
                    let [a, b] = [&found, &expected].map(|g| values(g.get(&x).unwrap()));
                    let tolerance = if dtype == DType::F32 { F32 } else { F64 };
                    assert_near(
                        &format!("{isa:?} ({rows}, {length}) {axis}"),
                        &a,
                        &b,
                        tolerance,
                    );
                });
            }
        }
    }
}
