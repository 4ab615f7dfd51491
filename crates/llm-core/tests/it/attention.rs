//! Attention over many shapes: packed against separate, strides, and what must not leak.

use candle_core::{DType, Tensor, Var};
use llm_core::kernels::simd::{Isa, with_isa};
use llm_core::ops::{AttentionSpec, Ops};

use crate::ops::{assert_close, random, values};

/// As in `ops_accuracy`, a little more for sums over head sizes of up to 128.
const F32_TOLERANCE: f64 = 2e-6;
const F64_TOLERANCE: f64 = 1e-12;
const WINDOW: usize = 3;

fn everywhere(test: impl Fn(DType)) {
    for isa in Isa::available() {
        for dtype in [DType::F32, DType::F64] {
            with_isa(isa, || test(dtype));
        }
    }
}

/// T, H, K, D and window: odd lengths, head sizes on both sides of every vector, groups, and
/// lengths over several blocks of keys and tiles of queries.
fn shapes() -> Vec<(usize, usize, usize, usize, Option<usize>)> {
    let mut shapes: Vec<_> = (1..=67)
        .step_by(6)
        .enumerate()
        .map(|(i, t)| {
            let (h, k) = [(1, 1), (2, 1), (4, 2), (3, 3)][i % 4];
            let window = [None, Some(1), Some(20)][i % 3];
            (t, h, k, [1, 3, 40, 64, 128][i % 5], window)
        })
        .collect();
    shapes.extend([
        (200, 2, 1, 64, None),
        (193, 1, 1, 40, Some(100)),
        (97, 8, 8, 3, None),
    ]);
    shapes
}

fn spec(d: usize, window: Option<usize>) -> AttentionSpec {
    AttentionSpec {
        scale: 1.0 / (d as f64).sqrt(),
        window,
    }
}

/// The result and the gradient of `Σ result · G`.
fn with_gradient(qkv: &Tensor, f: impl Fn(&Tensor) -> Tensor) -> [Tensor; 2] {
    let qkv = Var::from_tensor(qkv).unwrap();
    let y = f(qkv.as_tensor());
    let g = random(9, y.dims(), DType::F32).to_dtype(y.dtype()).unwrap();
    let loss = (&y * g).unwrap().sum_all().unwrap();
    let gradient = loss.backward().unwrap().remove(&qkv).unwrap();
    [y.detach(), gradient]
}

#[test]
fn packed_has_the_bits_of_views_and_the_values_of_the_composed_one() {
    everywhere(|dtype| {
        for (t, h, k, d, window) in shapes() {
            let spec = spec(d, window);
            let qkv = random(1, &[2, t, (h + 2 * k) * d], DType::F32);
            let qkv = qkv.to_dtype(dtype).unwrap();
            let packed = with_gradient(&qkv, |x| {
                Ops::Fused.causal_attention_packed(x, h, k, &spec).unwrap()
            });
            let views = with_gradient(&qkv, |x| {
                let x = x.reshape((2, t, h + 2 * k, d)).unwrap();
                let part = |first, count| x.narrow(2, first, count).unwrap();
                let (q, k, v) = (part(0, h), part(h, k), part(h + k, k));
                let y = Ops::Fused.causal_attention(&q, &k, &v, &spec).unwrap();
                y.reshape((2, t, h * d)).unwrap()
            });
            let what = format!("{dtype:?} T={t} H={h} K={k} D={d} {window:?}");
            for (a, b) in packed.iter().zip(&views) {
                assert_eq!(values(a), values(b), "{what}");
            }
            let exact = with_gradient(&qkv.to_dtype(DType::F64).unwrap(), |x| {
                Ops::Composed
                    .causal_attention_packed(x, h, k, &spec)
                    .unwrap()
            });
            let tolerance = match dtype {
                DType::F32 => F32_TOLERANCE,
                _ => F64_TOLERANCE,
            };
            for (a, b) in packed.iter().zip(&exact) {
                assert_close(&what, &values(a), &values(b), tolerance);
            }
        }
    });
}

#[test]
fn swapped_axes_have_the_gradients_of_copies() {
    everywhere(|dtype| {
        let spec = spec(5, None);
        let swapped = random(1, &[2, 5, 2, 70], dtype);
        let straight = swapped.transpose(1, 3).unwrap().contiguous().unwrap();
        let own = |x: &Tensor| Ops::Fused.causal_attention(x, x, x, &spec).unwrap();
        let [y, g] = with_gradient(&straight, own);
        let [y2, g2] = with_gradient(&swapped, |x| own(&x.transpose(1, 3).unwrap()));
        assert_eq!(values(&y), values(&y2));
        assert_eq!(values(&g), values(&g2.transpose(1, 3).unwrap()));
    });
}

/// Gradients of q, k and v for the arguments, `bad` written over token `at` of argument `which`.
fn spoiled_gradients(dtype: DType, which: usize, at: usize, bad: f64) -> [Vec<f64>; 3] {
    let vars = [0, 1, 2].map(|i| {
        let mut x = values(&random(i as u64, &[1, 130, 1, 5], dtype));
        if i == which {
            x[at * 5..(at + 1) * 5].fill(bad);
        }
        let x = Tensor::from_vec(x, (1, 130, 1, 5), &candle_core::Device::Cpu).unwrap();
        Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap()
    });
    let [q, k, v] = vars.each_ref().map(|var| var.as_tensor());
    let y = Ops::Fused
        .causal_attention(q, k, v, &spec(5, Some(WINDOW)))
        .unwrap();
    let g = random(9, y.dims(), dtype);
    let gradients = (y * g).unwrap().sum_all().unwrap().backward().unwrap();
    vars.each_ref()
        .map(|var| values(gradients.get(var.as_tensor()).unwrap()))
}

/// What stands at one token reaches, in the backward pass too, only the queries that read it and
/// the keys that those read.
#[test]
fn gradients_behind_the_mask_are_clean() {
    everywhere(|dtype| {
        let at = 60;
        let clean = spoiled_gradients(dtype, 3, at, 0.0);
        for bad in [f64::NAN, f64::INFINITY] {
            for which in 0..3 {
                let spoiled = spoiled_gradients(dtype, which, at, bad);
                let queries = if which == 0 {
                    at..at + 1
                } else {
                    at..at + WINDOW
                };
                let keys = at + 1 - WINDOW..queries.end;
                for (i, (a, b)) in spoiled.iter().zip(&clean).enumerate() {
                    let touched = if i == 0 { &queries } else { &keys };
                    for token in (0..130).filter(|token| !touched.contains(token)) {
                        let row = token * 5..(token + 1) * 5;
                        assert_eq!(
                            a[row.clone()],
                            b[row],
                            "{dtype:?} {bad} in argument {which}: gradient {i} of token {token}"
                        );
                    }
                }
            }
        }
    });
}

/// Infinities that are read, and numbers below the normal range, do what they do in the version
/// that is spelled out.
#[test]
fn infinite_and_denormal_inputs_behave_as_composed() {
    everywhere(|dtype| {
        for (which, bad) in [
            (0, f64::INFINITY),
            (1, f64::NEG_INFINITY),
            (1, f64::INFINITY),
            (2, f64::INFINITY),
            (0, 1e-40),
            (1, 1e-40),
            (2, 1e-40),
        ] {
            let run = |ops: Ops| {
                let x = [0, 1, 2].map(|i| {
                    let mut x = values(&random(i + 1, &[1, 40, 1, 3], dtype));
                    if i == which {
                        x[30 * 3..31 * 3].fill(bad);
                    }
                    let x = Tensor::from_vec(x, (1, 40, 1, 3), &candle_core::Device::Cpu);
                    x.unwrap().to_dtype(dtype).unwrap()
                });
                values(
                    &ops.causal_attention(&x[0], &x[1], &x[2], &spec(3, None))
                        .unwrap(),
                )
            };
            let (fused, composed) = (run(Ops::Fused), run(Ops::Composed));
            // Spelled out, a NaN comes through the mask: 0 · ∞ for the queries before.
            for (i, (a, b)) in fused.iter().zip(&composed).enumerate().skip(30 * 3) {
                let same = (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= F32_TOLERANCE;
                assert!(
                    same,
                    "{dtype:?} {bad} in {which}: element {i} is {a}, not {b}"
                );
            }
        }
    });
}

#[test]
fn bad_packed_arguments_are_named() {
    let x = random(1, &[1, 3, 20], DType::F32);
    let run = |x: &Tensor, h, k| {
        let refused = Ops::Fused.causal_attention_packed(x, h, k, &spec(4, None));
        refused.unwrap_err().to_string()
    };
    assert!(run(&x, 3, 2).contains("2 key-value heads do not divide 3"));
    assert!(run(&x, 4, 0).contains("0 key-value heads"));
    assert!(run(&x, 1, 1).contains("not 1 + 2 · 1 heads of one size"));
    let flat = x.reshape((3, 20)).unwrap();
    assert!(run(&flat, 3, 1).contains("attention qkv"));
    let none = random(1, &[1, 0, 20], DType::F32);
    let y = Ops::Fused.causal_attention_packed(&none, 3, 1, &spec(4, None));
    assert_eq!(y.unwrap().dims(), [1, 0, 12]);
}
