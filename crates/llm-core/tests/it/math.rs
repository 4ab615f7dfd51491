//! The twins of `math` against NumPy and PyTorch, against `ops`, and against their own slopes.

use candle_core::{Device, Tensor, Var};
use llm_core::math::attention::{Mask, attend};
use llm_core::math::gradient::{compare, numeric};
use llm_core::math::{heads, linear, loss, mlp, norm, positions, rope, softmax};
use llm_core::ops::{AttentionSpec, GeluKind, Ops, RopeTable};
use ndarray::{Array, Array1, Array2, Array3, Dimension};
use serde_json::Value;

/// f64 sums of a few dozen terms in another order; the largest seen is 1e-14.
const F64: f64 = 1e-12;
/// B03 asks for six digits; f64 gives more.
const NUMPY: f64 = 1e-12;
/// Central differences in f64 with h = 1e-5.
const SLOPE: f64 = 1e-7;
const OPS: [Ops; 2] = [Ops::Composed, Ops::Fused];

/// One case of the fixture file: named arrays.
struct Case(Value, String);

impl Case {
    fn new(name: &str) -> Self {
        let text = include_str!("../fixtures/math/math.json");
        let all: Value = serde_json::from_str(text).unwrap();
        Self(all[name].clone(), name.to_owned())
    }

    fn values(&self, key: &str) -> Vec<f64> {
        let values = self.0[key]["values"].as_array();
        let values = values.unwrap_or_else(|| panic!("{}: no `{key}`", self.1));
        values.iter().map(|x| x.as_f64().unwrap()).collect()
    }

    fn dims(&self, key: &str) -> Vec<usize> {
        let dims = self.0[key]["shape"].as_array().unwrap().iter();
        dims.map(|n| n.as_u64().unwrap() as usize).collect()
    }

    fn array1(&self, key: &str) -> Array1<f64> {
        self.values(key).into()
    }

    fn array2(&self, key: &str) -> Array2<f64> {
        let dims = self.dims(key);
        Array2::from_shape_vec((dims[0], dims[1]), self.values(key)).unwrap()
    }

    fn array3(&self, key: &str) -> Array3<f64> {
        let dims = self.dims(key);
        Array3::from_shape_vec((dims[0], dims[1], dims[2]), self.values(key)).unwrap()
    }

    fn var(&self, key: &str) -> Var {
        let tensor = Tensor::from_vec(self.values(key), self.dims(key), &Device::Cpu).unwrap();
        Var::from_tensor(&tensor).unwrap()
    }

    /// Asserts that `ours` equals the array called `key`.
    fn agrees(&self, key: &str, ours: &[f64], tolerance: f64) {
        near(
            &format!("{} {key}", self.1),
            ours,
            &self.values(key),
            tolerance,
        );
    }
}

fn near(what: &str, ours: &[f64], theirs: &[f64], tolerance: f64) {
    let difference = compare(ours, theirs);
    assert!(
        difference.largest <= tolerance,
        "{what}: |Δ| = {:e} at {} (tolerance {tolerance:e})",
        difference.largest,
        difference.at
    );
}

fn flat<D: Dimension>(array: &Array<f64, D>) -> Vec<f64> {
    array.iter().copied().collect()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Runs `f` with both kinds of operations on the fixture's inputs; its value and the gradients of
/// Σ value · d_y must be those of the fixture.
fn ops_agree(case: &Case, inputs: &[&str], f: impl Fn(Ops, &[Tensor]) -> Tensor) {
    for ops in OPS {
        let vars: Vec<Var> = inputs.iter().map(|key| case.var(key)).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let y = f(ops, &tensors);
        case.agrees("y", &values(&y), F64);
        let d_y = case
            .var("d_y")
            .as_detached_tensor()
            .reshape(y.shape())
            .unwrap();
        let store = (y * d_y).unwrap().sum_all().unwrap().backward().unwrap();
        for (key, var) in inputs.iter().zip(&vars) {
            let gradient = store
                .get(var)
                .unwrap_or_else(|| panic!("{ops:?}: no d_{key}"));
            case.agrees(&format!("d_{key}"), &values(gradient), F64);
        }
    }
}

/// A hand-written gradient against the slope of Σ f(x) · d_y.
fn slope(what: &str, x: &[f64], d_y: &[f64], ours: &[f64], f: impl Fn(&[f64]) -> Vec<f64>) {
    let dot = |y: Vec<f64>| y.iter().zip(d_y).map(|(y, d)| y * d).sum();
    let difference = compare(ours, &numeric(x, 1e-5, |x| dot(f(x))));
    assert!(
        difference.relative() <= SLOPE,
        "{what}: {difference:?} (tolerance {SLOPE:e})"
    );
}

#[test]
fn attention_step_by_step_equals_numpy() {
    let case = Case::new("attention_steps");
    let x = case.array2("x");
    let project = |name: &str| linear::linear(&x, &case.array2(name), None);
    let (q, k, v) = (project("wq"), project("wk"), project("wv"));
    let trace = attend(&q, &k, &v, 0.5, Mask::Causal);
    let steps = [
        ("q", &q),
        ("k", &k),
        ("v", &v),
        ("scores", &trace.scores),
        ("scaled", &trace.scaled),
        ("weights", &trace.weights),
        ("output", &trace.output),
    ];
    for (name, matrix) in steps {
        case.agrees(name, &flat(matrix), NUMPY);
    }
    for row in 0..3 {
        let sum: f64 = trace.weights.row(row).sum();
        assert!((sum - 1.0).abs() <= NUMPY, "row {row} sums to {sum}");
        for key in row + 1..3 {
            assert_eq!(
                trace.weights[[row, key]],
                0.0,
                "[{row}, {key}] reads the future"
            );
            assert_eq!(trace.masked[[row, key]], f64::NEG_INFINITY);
        }
    }
}

#[test]
fn softmax_and_cross_entropy_equal_pytorch() {
    let case = Case::new("softmax");
    let (x, d_y) = (case.values("x"), case.values("d_y"));
    let shares = softmax::softmax(&x);
    case.agrees("y", &shares, F64);
    case.agrees("d_x", &softmax::softmax_backward(&shares, &d_y), F64);
    assert!(
        softmax::softmax(&[1000.0, 1001.0])
            .iter()
            .all(|share| share.is_finite())
    );
    assert_eq!(softmax::softmax(&[f64::NEG_INFINITY; 2]), [0.0, 0.0]);
    near(
        "entropy",
        &[softmax::entropy(&[0.25; 4])],
        &[4f64.ln()],
        F64,
    );

    let case = Case::new("cross_entropy");
    let (logits, targets) = (case.array2("x"), [2, -100, 0, 6]);
    let scale = 1.0 / 3.0;
    case.agrees("y", &[loss::cross_entropy(&logits, &targets, scale)], F64);
    let d = loss::cross_entropy_backward(&logits, &targets, scale);
    case.agrees("d_x", &flat(&d), F64);
    ops_agree(&case, &["x"], |ops, x| {
        ops.cross_entropy(&x[0], &targets, scale).unwrap()
    });
}

#[test]
fn golden_values_of_the_basics() {
    let shares = softmax::softmax(&[2.0, 1.0, 0.5, -1.0, 3.0]);
    near(
        "softmax",
        &shares,
        &[0.2294, 0.0844, 0.0512, 0.0114, 0.6236],
        0.5e-4,
    );
    let logits = Array2::from_shape_vec((1, 5), vec![2.0, 0.5, 3.1, 0.1, -1.0]).unwrap();
    near(
        "cross-entropy",
        &[loss::cross_entropy(&logits, &[2], 1.0)],
        &[0.387_64],
        0.5e-5,
    );
    let table = positions::sinusoids(2, 4).unwrap();
    near(
        "PE(1)",
        &table.row(1).to_vec(),
        &[0.841_471, 0.540_302, 0.010_000, 0.999_950],
        0.5e-6,
    );
    let loss = loss::cross_entropy(&(logits * 1e4), &[2], 1.0);
    assert!(loss.is_finite(), "logits of 1e4 stay finite: {loss}");
}

#[test]
fn linear_and_norms_equal_pytorch_and_ops() {
    let case = Case::new("linear");
    let (x, w, b) = (
        case.array2("input"),
        case.array2("weight"),
        case.array1("bias"),
    );
    case.agrees("y", &flat(&linear::linear(&x, &w, Some(&b))), F64);
    let d = linear::linear_backward(&x, &w, &case.array2("d_y"));
    case.agrees("d_input", &flat(&d.x), F64);
    case.agrees("d_weight", &flat(&d.weight), F64);
    case.agrees("d_bias", &flat(&d.bias), F64);
    ops_agree(&case, &["input", "weight", "bias"], |ops, x| {
        ops.linear(&x[0], &x[1], Some(&x[2])).unwrap()
    });

    let case = Case::new("layer_norm");
    let (x, w, b) = (case.array2("x"), case.array1("weight"), case.array1("bias"));
    case.agrees("y", &flat(&norm::layer_norm(&x, &w, &b, 1e-5)), F64);
    let d = norm::layer_norm_backward(&x, &w, &case.array2("d_y"), 1e-5);
    case.agrees("d_x", &flat(&d.x), F64);
    case.agrees("d_weight", &flat(&d.weight), F64);
    case.agrees("d_bias", &flat(&d.bias), F64);
    ops_agree(&case, &["x", "weight", "bias"], |ops, x| {
        ops.layer_norm(&x[0], &x[1], &x[2], 1e-5).unwrap()
    });

    let case = Case::new("rms_norm");
    let (x, w) = (case.array2("x"), case.array1("weight"));
    case.agrees("y", &flat(&norm::rms_norm(&x, &w, 1e-6)), F64);
    let d = norm::rms_norm_backward(&x, &w, &case.array2("d_y"), 1e-6);
    case.agrees("d_x", &flat(&d.x), F64);
    case.agrees("d_weight", &flat(&d.weight), F64);
    ops_agree(&case, &["x", "weight"], |ops, x| {
        ops.rms_norm(&x[0], &x[1], 1e-6).unwrap()
    });
}

#[test]
fn rope_equals_pytorch_and_ops() {
    let case = Case::new("rope");
    let frequencies = rope::frequencies(8, 10_000.0);
    case.agrees(
        "y",
        &flat(&rope::rope(&case.array3("x"), &frequencies, 3)),
        F64,
    );
    let d = rope::rope_backward(&case.array3("d_y"), &frequencies, 3);
    case.agrees("d_x", &flat(&d), F64);

    // The tables of `ops` round angles to f32; powers of two have no rounding to do.
    let exact: [f32; 4] = [1.0, 0.25, 0.0625, 0.015_625];
    let twin = rope::rope(&case.array3("x"), &exact.map(f64::from), 3);
    let table = RopeTable::new(16, &exact);
    let x = case.var("x").as_detached_tensor().unsqueeze(0).unwrap();
    for ops in OPS {
        near(
            "rope",
            &values(&ops.rope(&x, &table, 3).unwrap()),
            &flat(&twin),
            F64,
        );
    }
}

#[test]
fn feed_forward_equals_pytorch_and_ops() {
    for (name, kind) in [("gelu_erf", GeluKind::Erf), ("gelu_tanh", GeluKind::Tanh)] {
        let case = Case::new(name);
        let (x, d_y) = (case.values("x"), case.values("d_y"));
        let y: Vec<f64> = x.iter().map(|&x| mlp::gelu(x, kind)).collect();
        case.agrees("y", &y, F64);
        let d: Vec<f64> = x
            .iter()
            .zip(&d_y)
            .map(|(&x, d)| d * mlp::gelu_slope(x, kind))
            .collect();
        case.agrees("d_x", &d, F64);
        ops_agree(&case, &["x"], |ops, x| ops.gelu(&x[0], kind).unwrap());
    }

    let case = Case::new("swiglu");
    let (gate, up) = (case.array2("gate"), case.array2("up"));
    case.agrees("y", &flat(&mlp::swiglu(&gate, &up)), F64);
    let (d_gate, d_up) = mlp::swiglu_backward(&gate, &up, &case.array2("d_y"));
    case.agrees("d_gate", &flat(&d_gate), F64);
    case.agrees("d_up", &flat(&d_up), F64);
    ops_agree(&case, &["gate", "up"], |ops, x| {
        ops.swiglu(&x[0], &x[1]).unwrap()
    });

    let case = Case::new("relu_mlp");
    let (w1, b1, w2, b2) = (
        case.array2("w1"),
        case.array1("b1"),
        case.array2("w2"),
        case.array1("b2"),
    );
    let y = mlp::mlp(&case.array2("x"), (&w1, &b1), (&w2, &b2), mlp::relu);
    case.agrees("y", &flat(&y), F64);
}

/// `[H, T, D]` of the fixture as the operations' `[1, T, H, D]`.
fn by_token(x: &Tensor) -> Tensor {
    x.transpose(0, 1).unwrap().unsqueeze(0).unwrap()
}

#[test]
fn many_heads_equal_pytorch_and_ops() {
    let cases = [
        ("causal", Mask::Causal),
        ("grouped", Mask::Causal),
        ("window", Mask::Window(3)),
    ];
    for (name, mask) in cases {
        let case = Case::new(name);
        let (q, k, v) = (case.array3("q"), case.array3("k"), case.array3("v"));
        case.agrees(
            "y",
            &flat(&heads::attend_heads(&q, &k, &v, 0.5, mask).unwrap()),
            F64,
        );
        let d_y = case.array3("d_y");
        let (d_q, d_k, d_v) = heads::attend_heads_backward((&q, &k, &v), 0.5, mask, &d_y).unwrap();
        case.agrees("d_q", &flat(&d_q), F64);
        case.agrees("d_k", &flat(&d_k), F64);
        case.agrees("d_v", &flat(&d_v), F64);
        let window = if let Mask::Window(window) = mask {
            Some(window)
        } else {
            None
        };
        let spec = AttentionSpec { scale: 0.5, window };
        ops_agree(&case, &["q", "k", "v"], |ops, x| {
            let (q, k, v) = (by_token(&x[0]), by_token(&x[1]), by_token(&x[2]));
            let y = ops.causal_attention(&q, &k, &v, &spec).unwrap();
            y.squeeze(0)
                .unwrap()
                .transpose(0, 1)
                .unwrap()
                .contiguous()
                .unwrap()
        });
    }
}

#[test]
fn heads_split_and_concat_are_inverse_and_refuse_what_does_not_divide() {
    let x = Array2::from_shape_fn((3, 8), |(t, c)| (10 * t + c) as f64);
    let split = heads::split(&x, 4).unwrap();
    assert_eq!(split[[3, 2, 1]], 27.0);
    assert_eq!(heads::concat(&split), x);
    assert!(
        heads::split(&x, 3)
            .unwrap_err()
            .to_string()
            .contains("3 does not divide the 8")
    );
    assert!(heads::split(&x, 0).is_err());
    let q = Array3::zeros((4, 1, 2));
    let k = Array3::zeros((3, 1, 2));
    assert!(heads::attend_heads(&q, &k, &k, 1.0, Mask::Causal).is_err());
}

#[test]
fn rope_sees_distances_only() {
    let frequencies = rope::frequencies(8, 10_000.0);
    let case = Case::new("rope");
    let x = case.array3("x");
    let dot = |m: usize, n: usize| -> f64 {
        let (q, k) = (
            rope::rope(&x, &frequencies, m),
            rope::rope(&x, &frequencies, n),
        );
        (0..8).map(|i| q[[0, 0, i]] * k[[1, 1, i]]).sum()
    };
    near("q·k at distance 4", &[dot(9, 5)], &[dot(104, 100)], 1e-10);
    assert!(
        (dot(9, 5) - dot(9, 6)).abs() > 1e-3,
        "another distance gives another product"
    );
}

#[test]
fn hand_written_gradients_are_slopes() {
    let case = Case::new("layer_norm");
    let (x, w, b) = (case.array2("x"), case.array1("weight"), case.array1("bias"));
    let d_y = case.array2("d_y");
    let at = |x: &[f64]| Array2::from_shape_vec((3, 6), x.to_vec()).unwrap();
    let ours = flat(&norm::layer_norm_backward(&x, &w, &d_y, 1e-5).x);
    slope("layer norm", &flat(&x), &flat(&d_y), &ours, |x| {
        flat(&norm::layer_norm(&at(x), &w, &b, 1e-5))
    });

    let case = Case::new("causal");
    let (q, k, v) = (case.array3("q"), case.array3("k"), case.array3("v"));
    let d_y = case.array3("d_y");
    let (_, d_k, _) = heads::attend_heads_backward((&q, &k, &v), 0.5, Mask::Causal, &d_y).unwrap();
    let at = |x: &[f64]| Array3::from_shape_vec((2, 5, 4), x.to_vec()).unwrap();
    slope("attention d_k", &flat(&k), &flat(&d_y), &flat(&d_k), |x| {
        flat(&heads::attend_heads(&q, &at(x), &v, 0.5, Mask::Causal).unwrap())
    });
}

#[test]
fn a_wrong_gradient_is_found() {
    let numeric = numeric(&[1.0, 2.0], 1e-5, |x| x[0] * x[1]);
    assert!(compare(&[2.0, 1.0], &numeric).relative() < 1e-9);
    assert_eq!(compare(&[2.0, -1.0], &numeric).at, 1);
    assert!(compare(&[2.0], &numeric).largest.is_infinite());
    assert!(compare(&[f64::NAN, 1.0], &numeric).largest.is_infinite());
}
