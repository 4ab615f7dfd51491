//! The fused projection against its definition, its numeric gradients and itself.

use std::process::Command;

use candle_core::{DType, Device, Tensor, Var};
use llm_core::kernels::simd::{Isa, with_isa};
use llm_core::ops::{Ops, PackedWeight};
use llm_core::rng::{Purpose, normal, stream};

/// f64 central differences of a bilinear function have no error but rounding.
const NUMERIC: f64 = 1e-7;
/// A chain of up to 130 f32 steps against f64, relative to the largest output.
const F32: f64 = 1e-6;

/// Rows, I and O around the sizes of tiles and panels of every instruction set.
const SHAPES: [(usize, usize, usize); 14] = [
    (1, 1, 1),
    (2, 3, 47),
    (3, 47, 3),
    (4, 48, 48),
    (5, 49, 1),
    (7, 130, 49),
    (8, 1, 130),
    (9, 130, 130),
    (15, 48, 49),
    (16, 49, 48),
    (31, 3, 130),
    (33, 47, 47),
    (64, 48, 3),
    (67, 130, 48),
];

fn draw(seed: u64, shape: &[usize]) -> Tensor {
    normal(&mut stream(seed, Purpose::Demo), 1.0, shape, DType::F64).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor
        .to_dtype(DType::F64)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// Fails with the largest difference, where it is and the tolerance, relative to max |reference|.
fn close(what: &str, value: &Tensor, reference: &Tensor, tolerance: f64) {
    assert_eq!(value.dims(), reference.dims(), "{what}");
    let (value, reference) = (values(value), values(reference));
    let scale = reference
        .iter()
        .fold(f64::MIN_POSITIVE, |max, r| max.max(r.abs()));
    let error = |i: usize| (value[i] - reference[i]).abs() / scale;
    if let Some(worst) = (0..value.len()).max_by(|&i, &j| error(i).total_cmp(&error(j))) {
        let most = error(worst);
        println!("{what}: largest difference {most:e}");
        assert!(
            most <= tolerance,
            "{what}: {most:e} at {worst} > {tolerance:e}"
        );
    }
}

/// A projection's inputs, its output and the gradients of `Σ y ∘ dy`.
struct Case {
    x: Var,
    weight: Var,
    bias: Var,
    dy: Tensor,
}

impl Case {
    fn new((rows, inputs, outputs): (usize, usize, usize), dtype: DType) -> Self {
        let draw = |seed, shape: &[usize]| draw(seed, shape).to_dtype(dtype).unwrap();
        let var = |seed, shape: &[usize]| Var::from_tensor(&draw(seed, shape)).unwrap();
        Self {
            x: var(1, &[rows, inputs]),
            weight: var(2, &[outputs, inputs]),
            bias: var(3, &[outputs]),
            dy: draw(4, &[rows, outputs]),
        }
    }

    fn forward(&self, ops: Ops) -> Tensor {
        ops.linear(&self.x, &self.weight, Some(&self.bias)).unwrap()
    }

    fn loss(&self) -> f64 {
        let y = self.forward(Ops::Fused);
        (y * &self.dy)
            .unwrap()
            .sum_all()
            .unwrap()
            .to_scalar()
            .unwrap()
    }

    /// y, dx, dW and db.
    fn all(&self, ops: Ops) -> [Tensor; 4] {
        let y = self.forward(ops);
        let grads = (&y * &self.dy)
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        let grad = |var: &Var| grads.get(var).unwrap().clone();
        [
            y.detach(),
            grad(&self.x),
            grad(&self.weight),
            grad(&self.bias),
        ]
    }
}

const NAMES: [&str; 4] = ["y", "dx", "dW", "db"];

#[test]
fn gradients_are_the_numeric_ones() {
    const STEP: f64 = 1e-3;
    for shape in [(1, 1, 1), (3, 5, 2), (9, 4, 50), (2, 49, 3)] {
        let case = Case::new(shape, DType::F64);
        let analytic = case.all(Ops::Fused);
        for (index, var) in [&case.x, &case.weight, &case.bias].into_iter().enumerate() {
            let start = values(var);
            let set = |at: usize, to: f64| {
                let mut moved = start.clone();
                moved[at] = to;
                var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap())
                    .unwrap();
            };
            let mut numeric = Vec::new();
            for (i, &value) in start.iter().enumerate() {
                set(i, value + STEP);
                let above = case.loss();
                set(i, value - STEP);
                numeric.push((above - case.loss()) / (2.0 * STEP));
                set(i, value);
            }
            let numeric = Tensor::from_vec(numeric, var.shape(), &Device::Cpu).unwrap();
            let name = NAMES[index + 1];
            close(
                &format!("{name} {shape:?}"),
                &analytic[index + 1],
                &numeric,
                NUMERIC,
            );
        }
    }
}

#[test]
fn every_set_equals_f64_forward_and_backward() {
    for shape in SHAPES {
        let exact = Case::new(shape, DType::F64);
        let reference = exact.all(Ops::Composed);
        let fused = exact.all(Ops::Fused);
        for i in 0..4 {
            close(
                &format!("f64 {} {shape:?}", NAMES[i]),
                &fused[i],
                &reference[i],
                1e-13,
            );
        }
        // f32 inputs are rounded once, so the reference is taken from them.
        let case = Case::new(shape, DType::F32);
        let wide = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap();
        let rounded = Case {
            x: Var::from_tensor(&wide(&case.x)).unwrap(),
            weight: Var::from_tensor(&wide(&case.weight)).unwrap(),
            bias: Var::from_tensor(&wide(&case.bias)).unwrap(),
            dy: wide(&case.dy),
        };
        let reference = rounded.all(Ops::Fused);
        for isa in Isa::available() {
            let fused = with_isa(isa, || case.all(Ops::Fused));
            for i in 0..4 {
                close(
                    &format!("{isa:?} {} {shape:?}", NAMES[i]),
                    &fused[i],
                    &reference[i],
                    F32,
                );
            }
        }
    }
}

#[test]
fn leading_axes_and_empty_inputs() {
    let weight = draw(1, &[5, 4]);
    for shape in [
        vec![4],
        vec![2, 4],
        vec![2, 3, 4],
        vec![2, 3, 1, 4],
        vec![0, 4],
        vec![2, 0, 4],
    ] {
        let x = Var::from_tensor(&draw(2, &shape)).unwrap();
        let y = Ops::Fused.linear(&x, &weight, None).unwrap();
        let mut expected = shape.clone();
        *expected.last_mut().unwrap() = 5;
        assert_eq!(y.dims(), expected);
        if x.rank() > 1 {
            close(
                "y",
                &y,
                &Ops::Composed.linear(&x, &weight, None).unwrap(),
                1e-14,
            );
        }
        let grads = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(grads.get(&x).unwrap().dims(), shape);
    }
    // No inputs: the bias alone. No outputs: nothing.
    let bias = draw(3, &[5]);
    let empty = Tensor::zeros((3, 0), DType::F64, &Device::Cpu).unwrap();
    let weight = Tensor::zeros((5, 0), DType::F64, &Device::Cpu).unwrap();
    let y = Ops::Fused.linear(&empty, &weight, Some(&bias)).unwrap();
    close("bias", &y, &bias.broadcast_as((3, 5)).unwrap(), 0.0);
    let none = Ops::Fused.linear(&draw(4, &[3, 4]), &weight.reshape((0, 4)).unwrap(), None);
    assert_eq!(none.unwrap().dims(), [3, 0]);
}

#[test]
fn strides_do_not_matter() {
    let x = draw(1, &[7, 6, 5]);
    let weight = draw(2, &[9, 8]);
    let views = [
        (x.transpose(0, 1).unwrap(), weight.narrow(1, 2, 5).unwrap()),
        (
            x.transpose(1, 2).unwrap(),
            weight.t().unwrap().narrow(1, 1, 6).unwrap(),
        ),
        (
            x.narrow(1, 2, 3).unwrap(),
            weight.narrow(0, 3, 4).unwrap().narrow(1, 0, 5).unwrap(),
        ),
        (x.narrow(2, 1, 3).unwrap(), weight.narrow(1, 5, 3).unwrap()),
    ];
    for (x, weight) in views {
        let bias = draw(3, &[2 * weight.dims()[0]]).reshape(((), 2)).unwrap();
        let bias = bias.narrow(1, 1, 1).unwrap().squeeze(1).unwrap();
        let plain = |tensor: &Tensor| tensor.copy().unwrap().contiguous().unwrap();
        for tracked in [false, true] {
            let leaf = |tensor: &Tensor| match tracked {
                // A Var keeps the strides of its tensor.
                true => Var::from_tensor(tensor).unwrap().as_tensor().clone(),
                false => tensor.clone(),
            };
            let y = Ops::Fused
                .linear(&x, &leaf(&weight), Some(&leaf(&bias)))
                .unwrap();
            let expected = Ops::Composed
                .linear(&plain(&x), &plain(&weight), Some(&plain(&bias)))
                .unwrap();
            close("y", &y, &expected, 1e-14);
        }
    }
    // A strided x and a broadcast dy in the backward pass.
    let base = Var::from_tensor(&draw(5, &[4, 3, 6])).unwrap();
    let weight = Var::from_tensor(&draw(6, &[5, 4])).unwrap();
    let grads = |ops: Ops| {
        let x = base.as_tensor().transpose(0, 2).unwrap();
        let y = ops.linear(&x, &weight, None).unwrap();
        let grads = y.sum_all().unwrap().backward().unwrap();
        [
            grads.get(&base).unwrap().clone(),
            grads.get(&weight).unwrap().clone(),
        ]
    };
    let (fused, composed) = (grads(Ops::Fused), grads(Ops::Composed));
    close("dx", &fused[0], &composed[0], 1e-13);
    close("dW", &fused[1], &composed[1], 1e-13);
}

#[test]
fn infinities_nan_and_denormals_are_those_of_ieee() {
    let least = f32::from_bits(1);
    let rows: [[f32; 2]; 6] = [
        [f32::INFINITY, 1.0],
        [f32::INFINITY, f32::NEG_INFINITY],
        [f32::NAN, 0.0],
        [least, 0.0],
        [f32::MAX, f32::MAX],
        [1e-30, 0.0],
    ];
    let x = Tensor::new(&rows, &Device::Cpu).unwrap();
    let weight = Tensor::new(&[[1f32, 1.0], [0.0, 2.0], [1e-10, 0.0]], &Device::Cpu).unwrap();
    for isa in Isa::available() {
        let y = with_isa(isa, || Ops::Fused.linear(&x, &weight, None)).unwrap();
        let y: Vec<Vec<f32>> = y.to_vec2().unwrap();
        assert_eq!(y[0][0], f32::INFINITY, "{isa:?}");
        assert!(y[0][1].is_nan() && y[1][0].is_nan() && y[2].iter().all(|v| v.is_nan()));
        assert_eq!(y[3], [least, 0.0, 0.0], "{isa:?}");
        assert_eq!(y[4][0], f32::INFINITY, "{isa:?}");
        assert_eq!(y[5][2], 1e-30 * 1e-10, "{isa:?}: a denormal product");
        assert!(y[5][2] > 0.0);
    }
}

#[test]
fn a_row_has_the_same_bits_alone_in_chunks_and_in_a_batch() {
    // 1,100 inputs: K is cut once. 150 rows: more than outputs, so both ways of tiling meet.
    for (rows, inputs, outputs) in [(67, 130, 49), (150, 1100, 100), (70, 5, 300)] {
        let x = draw(1, &[rows, inputs]).to_dtype(DType::F32).unwrap();
        let weight = draw(2, &[outputs, inputs]).to_dtype(DType::F32).unwrap();
        let bias = draw(3, &[outputs]).to_dtype(DType::F32).unwrap();
        for isa in Isa::available() {
            with_isa(isa, || {
                let kept = PackedWeight::new(weight.clone());
                let whole = Ops::Fused.linear(&x, &weight, Some(&bias)).unwrap();
                for chunk in [1, 2, 3, 8, 13, 64] {
                    let parts: Vec<Tensor> = (0..rows)
                        .step_by(chunk)
                        .map(|start| {
                            let part = x.narrow(0, start, chunk.min(rows - start)).unwrap();
                            let plain = Ops::Fused.linear(&part, &weight, Some(&bias)).unwrap();
                            let kept = Ops::Fused.packed_linear(&part, &kept, Some(&bias)).unwrap();
                            assert_eq!(bits(&plain), bits(&kept), "{isa:?} packed");
                            plain
                        })
                        .collect();
                    let parts = Tensor::cat(&parts, 0).unwrap();
                    assert_eq!(bits(&whole), bits(&parts), "{isa:?} in chunks of {chunk}");
                }
                let many = Ops::Fused.packed_linear(&x, &kept, Some(&bias)).unwrap();
                assert_eq!(bits(&whole), bits(&many), "{isa:?} packed, all rows");
            });
        }
    }
}

#[test]
fn only_what_is_tracked_gets_a_gradient() {
    let case = Case::new((6, 7, 5), DType::F64);
    let expected = case.all(Ops::Composed);
    for tracked in 0..8 {
        let leaf = |index: usize, var: &Var| match tracked >> index & 1 {
            1 => var.as_tensor().clone(),
            _ => var.as_detached_tensor(),
        };
        let (x, weight, bias) = (leaf(0, &case.x), leaf(1, &case.weight), leaf(2, &case.bias));
        let packed = PackedWeight::new(weight.clone());
        for y in [
            Ops::Fused.linear(&x, &weight, Some(&bias)).unwrap(),
            Ops::Fused.packed_linear(&x, &packed, Some(&bias)).unwrap(),
        ] {
            close("y", &y, &expected[0], 1e-14);
            let grads = (&y * &case.dy)
                .unwrap()
                .sum_all()
                .unwrap()
                .backward()
                .unwrap();
            for (i, leaf) in [&x, &weight, &bias].into_iter().enumerate() {
                let gradient = grads.get(leaf);
                assert_eq!(
                    gradient.is_some(),
                    tracked >> i & 1 == 1,
                    "{tracked:03b} {i}"
                );
                if let Some(gradient) = gradient {
                    close(NAMES[i + 1], gradient, &expected[i + 1], 1e-13);
                }
            }
        }
    }
}

#[test]
fn gradients_flow_through_a_frozen_projection() {
    // x is not a leaf: a None here would lose the gradient of everything before.
    let case = Case::new((6, 7, 7), DType::F64);
    let frozen = PackedWeight::new(case.weight.as_detached_tensor());
    let grad = |ops: Ops| {
        let hidden = ops.packed_linear(&case.x, &frozen, None).unwrap();
        let y = ops
            .packed_linear(&hidden.tanh().unwrap(), &frozen, None)
            .unwrap();
        let grads = (&y * &case.dy)
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        grads.get(&case.x).unwrap().clone()
    };
    close("dx", &grad(Ops::Fused), &grad(Ops::Composed), 1e-13);
}

#[test]
fn misfits_are_named() {
    let (x, weight) = (draw(1, &[2, 3]), draw(2, &[5, 4]));
    let message = |result: llm_core::Result<Tensor>| result.unwrap_err().to_string();
    let wrong = message(Ops::Fused.linear(&x, &weight, None));
    assert_eq!(
        wrong,
        "linear: x [2, 3] does not fit weight [5, 4], expected [.., I] and [O, I]"
    );
    let bias = draw(3, &[4]);
    let wrong = message(Ops::Fused.linear(&draw(1, &[2, 4]), &weight, Some(&bias)));
    assert_eq!(wrong, "linear: bias [4] does not fit weight [5, 4]");
    let scalar = Tensor::new(1.0, &Device::Cpu).unwrap();
    assert!(message(Ops::Fused.linear(&scalar, &weight, None)).contains("does not fit"));
    let single = x.to_dtype(DType::F32).unwrap();
    assert!(message(Ops::Fused.linear(&single, &weight, None)).contains("f32"));
    let half = |tensor: &Tensor| tensor.to_dtype(DType::BF16).unwrap();
    assert!(message(Ops::Fused.linear(&half(&x), &half(&weight), None)).contains("bf16"));
}

/// All bits of a few forward and backward passes, hashed (FNV-1a).
fn digest() -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for shape in [(1, 200, 300), (7, 64, 1000), (100, 130, 90), (130, 90, 40)] {
        for tensor in Case::new(shape, DType::F32).all(Ops::Fused) {
            for bits in bits(&tensor) {
                hash = (hash ^ u64::from(bits)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    hash
}

#[test]
fn digest_of_this_process() {
    assert_eq!(digest(), digest());
    println!("digest of linear: {:016x}", digest());
}

#[test]
fn one_two_and_four_threads_give_the_same_bits() {
    // The pool has its threads for good once it runs: each count is a process of its own.
    let lines = [1, 2, 4].map(|threads| {
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "linear::digest_of_this_process", "--nocapture"])
            .env("RAYON_NUM_THREADS", threads.to_string())
            .env("CANDLE_NUM_THREADS", threads.to_string())
            .output()
            .unwrap();
        let out = String::from_utf8(out.stdout).unwrap();
        let start = out
            .find("digest of linear: ")
            .unwrap_or_else(|| panic!("no digest: {out}"));
        out[start..].lines().next().unwrap().to_owned()
    });
    assert_eq!(lines[0], lines[1], "1 and 2 threads");
    assert_eq!(lines[0], lines[2], "1 and 4 threads");
    assert!(
        lines[0].ends_with(&format!("{:016x}", digest())),
        "this process"
    );
}
