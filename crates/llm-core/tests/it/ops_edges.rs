//! Infinities, denormals, extreme sizes and bad arguments.

use candle_core::{DType, Device, Tensor, Var};
use llm_core::kernels::simd::{Isa, with_isa};
use llm_core::ops::{AttentionSpec, GeluKind, IGNORE_INDEX, Ops, RopeTable};

use crate::ops::{assert_close, random, values};

const DTYPES: [DType; 2] = [DType::F32, DType::F64];
/// A few units in the last place of f32.
const F32_TOLERANCE: f64 = 1e-6;

fn everywhere(test: impl Fn(DType)) {
    for isa in Isa::available() {
        for dtype in DTYPES {
            with_isa(isa, || test(dtype));
        }
    }
}

fn tensor(values: &[f64], shape: &[usize], dtype: DType) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu)
        .unwrap()
        .to_dtype(dtype)
        .unwrap()
}

fn gradient(x: &Tensor, f: impl Fn(&Tensor) -> Tensor) -> Vec<f64> {
    let var = Var::from_tensor(x).unwrap();
    let loss = f(var.as_tensor()).sum_all().unwrap();
    values(loss.backward().unwrap().get(&var).unwrap())
}

#[test]
fn activations_saturate() {
    everywhere(|dtype| {
        let x = [
            0.0,
            -1e-40,
            1e-40,
            -30.0,
            30.0,
            -300.0,
            300.0,
            -1e35,
            1e35,
            f64::INFINITY,
        ];
        let line = [
            0.0,
            0.0,
            0.0,
            0.0,
            30.0,
            0.0,
            300.0,
            0.0,
            1e35,
            f64::INFINITY,
        ];
        let slopes = [0.5, 0.5, 0.5, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0];
        let x = tensor(&x, &[10], dtype);
        for kind in [GeluKind::Tanh, GeluKind::Erf] {
            let gelu = |x: &Tensor| Ops::Fused.gelu(x, kind).unwrap();
            for (y, line) in values(&gelu(&x)).into_iter().zip(line) {
                assert!((y - line).abs() <= F32_TOLERANCE * line || y == line || y.abs() < 1e-12);
            }
            for (slope, expected) in gradient(&x, gelu).into_iter().zip(slopes) {
                assert!(
                    (slope - expected).abs() < F32_TOLERANCE,
                    "{kind:?}: {slope}, {expected}"
                );
            }
        }
        let one = Tensor::ones(10, dtype, &Device::Cpu).unwrap();
        let swiglu = |x: &Tensor| Ops::Fused.swiglu(x, &one).unwrap();
        for (y, line) in values(&swiglu(&x)).into_iter().zip(line) {
            assert!((y - line).abs() <= F32_TOLERANCE * line || y == line || y.abs() < 1e-11);
        }
        for (slope, expected) in gradient(&x.narrow(0, 0, 9).unwrap(), |x| {
            Ops::Fused.swiglu(x, &one.narrow(0, 0, 9).unwrap()).unwrap()
        })
        .into_iter()
        .zip(slopes)
        {
            assert!(
                (slope - expected).abs() < F32_TOLERANCE,
                "swiglu: {slope}, {expected}"
            );
        }
    });
}

#[test]
fn nan_is_not_lost() {
    everywhere(|dtype| {
        let x = tensor(&[1.0, f64::NAN, 2.0], &[1, 3], dtype);
        let one = Tensor::ones(3, dtype, &Device::Cpu).unwrap();
        let ops = Ops::Fused;
        let second = |y: Tensor| values(&y)[1];
        assert!(second(ops.gelu(&x, GeluKind::Tanh).unwrap()).is_nan());
        assert!(second(ops.gelu(&x, GeluKind::Erf).unwrap()).is_nan());
        assert!(second(ops.swiglu(&x, &x).unwrap()).is_nan());
        assert!(second(ops.rms_norm(&x, &one, 1e-6).unwrap()).is_nan());
        assert!(second(ops.layer_norm(&x, &one, &one, 1e-6).unwrap()).is_nan());
        let loss = ops.cross_entropy(&x, &[0], 1.0).unwrap();
        assert!(values(&loss)[0].is_nan());
    });
}

#[test]
fn cross_entropy_with_large_and_infinite_logits() {
    everywhere(|dtype| {
        let rows = [
            1e4,
            1e4,
            -1e4,
            f64::NEG_INFINITY,
            0.0,
            0.0,
            0.0,
            f64::NEG_INFINITY,
        ];
        let logits = tensor(&rows, &[2, 4], dtype);
        let loss = |x: &Tensor| Ops::Fused.cross_entropy(x, &[0, 2], 1.0).unwrap();
        let expected = [2f64.ln() + 3f64.ln()];
        assert_close("loss", &values(&loss(&logits)), &expected, F32_TOLERANCE);
        let third = 1.0 / 3.0;
        let expected = [-0.5, 0.5, 0.0, 0.0, third, third, third - 1.0, 0.0];
        assert_close(
            "gradient",
            &gradient(&logits, loss),
            &expected,
            F32_TOLERANCE,
        );
    });
}

#[test]
fn ignored_rows_have_no_loss_and_no_gradient() {
    everywhere(|dtype| {
        let logits = random(1, &[5, 9], dtype);
        let all = |x: &Tensor| {
            Ops::Fused
                .cross_entropy(x, &[IGNORE_INDEX; 5], 1.0)
                .unwrap()
        };
        assert_eq!(values(&all(&logits)), [0.0]);
        assert!(gradient(&logits, all).iter().all(|&g| g == 0.0));
        let targets = [3, IGNORE_INDEX, 0, IGNORE_INDEX, 8];
        let some = |x: &Tensor| Ops::Fused.cross_entropy(x, &targets, 1.0).unwrap();
        for (row, target) in gradient(&logits, some).chunks(9).zip(targets) {
            assert_eq!(
                row.iter().all(|&g| g == 0.0),
                target == IGNORE_INDEX,
                "{target}"
            );
        }
    });
}

#[test]
fn norms_of_denormal_and_shifted_rows() {
    everywhere(|dtype| {
        let one = Tensor::ones(4, dtype, &Device::Cpu).unwrap();
        let zero = Tensor::zeros(4, dtype, &Device::Cpu).unwrap();
        let tiny = tensor(&[1e-42, -1e-42, 0.0, 1e-40], &[1, 4], dtype);
        let y = values(&Ops::Fused.rms_norm(&tiny, &one, 1e-6).unwrap());
        assert!(y.iter().all(|y| y.is_finite() && y.abs() < 1e-36), "{y:?}");
        let still = values(&Ops::Fused.layer_norm(&zero, &one, &one, 1e-5).unwrap());
        assert_eq!(still, [1.0; 4]);
        // A mean of 10,000 must not eat the digits of a spread of 1.
        let shifted = tensor(&[9999.0, 10_001.0, 9999.0, 10_002.0], &[1, 4], dtype);
        let y = values(&Ops::Fused.layer_norm(&shifted, &one, &zero, 0.0).unwrap());
        let std = 1.6875f64.sqrt();
        let expected = [-1.25, 0.75, -1.25, 1.75].map(|x| x / std);
        assert_close("shifted", &y, &expected, F32_TOLERANCE);
    });
}

#[test]
fn a_nan_or_infinity_behind_the_mask_stays_there() {
    let spec = AttentionSpec {
        scale: 0.5,
        window: Some(3),
    };
    everywhere(|dtype| {
        let (q, k) = (
            random(1, &[1, 67, 1, 5], dtype),
            random(2, &[1, 67, 1, 5], dtype),
        );
        let v = random(3, &[1, 67, 1, 5], dtype);
        let clean = values(&Ops::Fused.causal_attention(&q, &k, &v, &spec).unwrap());
        for bad in [f64::NAN, f64::INFINITY] {
            let spoil = |x: &Tensor| {
                let mut values = values(x);
                values[40 * 5..41 * 5].fill(bad);
                tensor(&values, &[1, 67, 1, 5], dtype)
            };
            let y = Ops::Fused
                .causal_attention(&q, &spoil(&k), &spoil(&v), &spec)
                .unwrap();
            let y = values(&y);
            assert_eq!(y[..40 * 5], clean[..40 * 5], "queries before the bad key");
            assert_eq!(
                y[43 * 5..],
                clean[43 * 5..],
                "queries whose window has passed it"
            );
            assert!(
                y[40 * 5..43 * 5].iter().all(|y| y.is_nan()),
                "queries that read it"
            );
        }
    });
}

#[test]
fn attention_with_scores_of_ten_thousand() {
    everywhere(|dtype| {
        let spec = AttentionSpec {
            scale: 100.0,
            window: None,
        };
        let q = tensor(&[100.0, -100.0], &[1, 2, 1, 1], dtype);
        let k = tensor(&[1.0, 2.0], &[1, 2, 1, 1], dtype);
        let v = tensor(&[3.0, 5.0], &[1, 2, 1, 1], dtype);
        let y = Ops::Fused.causal_attention(&q, &k, &v, &spec).unwrap();
        assert_eq!(values(&y), [3.0, 3.0]);
    });
}

#[test]
fn empty_inputs_give_empty_results() {
    everywhere(|dtype| {
        let none = |shape: &[usize]| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
        let (ops, w) = (Ops::Fused, none(&[8]));
        assert_eq!(
            ops.rms_norm(&none(&[0, 8]), &w, 1e-6).unwrap().dims(),
            [0, 8]
        );
        assert_eq!(ops.gelu(&none(&[0]), GeluKind::Tanh).unwrap().dims(), [0]);
        let spec = AttentionSpec {
            scale: 1.0,
            window: None,
        };
        let (q, k) = (none(&[1, 0, 2, 4]), none(&[1, 3, 1, 4]));
        assert_eq!(
            ops.causal_attention(&q, &k, &k, &spec).unwrap().dims(),
            [1, 0, 2, 4]
        );
        let q = none(&[0, 3, 2, 4]);
        let k = none(&[0, 3, 1, 4]);
        assert_eq!(
            ops.causal_attention(&q, &k, &k, &spec).unwrap().dims(),
            [0, 3, 2, 4]
        );
        assert_eq!(
            values(&ops.cross_entropy(&none(&[0, 5]), &[], 1.0).unwrap()),
            [0.0]
        );
    });
}

/// Fails unless `result` is an error of one line that says `part`.
fn refused(result: llm_core::Result<Tensor>, part: &str) {
    let error = result.expect_err(part).to_string();
    assert!(
        error.contains(part) && !error.contains('\n'),
        "`{error}` does not say `{part}`"
    );
}

#[test]
fn bad_arguments_are_named() {
    let ops = Ops::Fused;
    let x = |shape: &[usize]| random(1, shape, DType::F32);
    let wide = random(1, &[8], DType::F64);
    refused(ops.rms_norm(&x(&[2, 8]), &x(&[7]), 1e-6), "rms_norm weight");
    refused(ops.rms_norm(&x(&[2, 8]), &x(&[8]), f64::NAN), "eps is NaN");
    refused(ops.rms_norm(&x(&[2, 8]), &wide, 1e-6), "mixes f32 and f64");
    refused(
        ops.layer_norm(&x(&[2, 8]), &x(&[8]), &x(&[1]), 1e-6),
        "layer_norm bias",
    );
    refused(
        ops.layer_norm(&x(&[2, 8]), &x(&[8]), &x(&[8]), -1.0),
        "eps is -1",
    );
    let table = RopeTable::new(4, &[1.0, 0.5]);
    refused(
        ops.rope(&x(&[1, 4, 1, 6]), &table, 0),
        "head size is 6, the table's is 4",
    );
    refused(
        ops.rope(&x(&[1, 4, 1, 4]), &table, 1),
        "do not fit the context of 4",
    );
    refused(
        ops.rope(&x(&[1, 4, 1, 4]), &table, usize::MAX),
        "do not fit the context of 4",
    );
    refused(ops.rope(&x(&[4, 1, 4]), &table, 0), "expected [B, T, H, D]");
    refused(ops.rms_norm(&x(&[]), &x(&[1]), 1e-6), "is a scalar");
    refused(ops.cross_entropy(&x(&[2]), &[1, 2], 1.0), "expected [N, V]");
    refused(ops.swiglu(&x(&[2, 8]), &x(&[2, 7])), "swiglu up");
    refused(
        ops.cross_entropy(&x(&[2, 8]), &[1, 2], f64::INFINITY),
        "scale is inf",
    );
    refused(
        ops.cross_entropy(&x(&[2, 8]), &[1, 8], 1.0),
        "8 is not in 0..8",
    );
    refused(ops.cross_entropy(&x(&[2, 8]), &[1], 1.0), "1 for 2 rows");
    for p in [1.0, -0.1, f64::NAN] {
        refused(ops.dropout(&x(&[4]), p, 0), "expected 0 ≤ p < 1");
    }
    let half = x(&[4]).to_dtype(DType::BF16).unwrap();
    refused(ops.gelu(&half, GeluKind::Tanh), "bf16 is not f32 or f64");
    let ids = Tensor::new(&[[0i64, -3]], &Device::Cpu).unwrap();
    refused(ops.embedding(&x(&[4, 2]), &ids), "-3 is not in 0..4");
    let ids = Tensor::new(&[[0u32, 4]], &Device::Cpu).unwrap();
    refused(ops.embedding(&x(&[4, 2]), &ids), "4 is not in 0..4");
    refused(
        ops.embedding(&x(&[4, 2]), &ids.to_dtype(DType::F32).unwrap()),
        "expected u32",
    );
}

#[test]
fn bad_attention_arguments_are_named() {
    let x = |shape: &[usize]| random(1, shape, DType::F32);
    let run = |q: &[usize], k: &[usize], v: &[usize], spec: AttentionSpec| {
        Ops::Fused.causal_attention(&x(q), &x(k), &x(v), &spec)
    };
    let spec = AttentionSpec {
        scale: 1.0,
        window: None,
    };
    let (q, k) = ([1, 3, 4, 8], [1, 3, 2, 8]);
    refused(
        run(&q, &[1, 3, 3, 8], &[1, 3, 3, 8], spec),
        "3 key-value heads do not divide 4",
    );
    refused(
        run(&q, &[1, 3, 0, 8], &[1, 3, 0, 8], spec),
        "0 key-value heads",
    );
    refused(
        run(&q, &[1, 2, 2, 8], &[1, 2, 2, 8], spec),
        "2 keys for 3 queries",
    );
    refused(run(&q, &[2, 3, 2, 8], &[2, 3, 2, 8], spec), "attention k");
    refused(run(&q, &k, &[1, 3, 2, 4], spec), "attention v");
    refused(
        run(
            &q,
            &k,
            &k,
            AttentionSpec {
                scale: f64::NAN,
                ..spec
            },
        ),
        "scale is NaN",
    );
    refused(
        run(
            &q,
            &k,
            &k,
            AttentionSpec {
                window: Some(0),
                ..spec
            },
        ),
        "window is 0",
    );
    refused(run(&[3, 4, 8], &k, &k, spec), "attention q");
}
