//! Cross-entropy, softmax and attention of the foundations shelf against PyTorch.
//!
//! The fixture is written by `tools/oracle/foundations.py`.

use candle_core::{DType, Device, Tensor};
use llm_core::math::gradient::{autograd, compare, numeric};
use llm_core::math::loss::{
    bits, counted, cross_entropy, cross_entropy_backward, cross_entropy_with_ops, perplexity,
    with_epsilon,
};
use llm_core::math::softmax::{naive_softmax, softmax, softmax_with_temperature};
use llm_core::math::{probe, softmax};
use llm_core::ops::{AttentionSpec, Ops};
use llm_core::rng::{Purpose, stream};
use ndarray::{Array2, array};
use serde_json::Value;

/// f64 sums of a few terms in another order.
const F64: f64 = 1e-12;
/// Central differences in f64 with h = 1e-5.
const SLOPE: f64 = 1e-8;
/// Losses of size 1e4 have four digits less behind the point.
const HUGE: f64 = 1e-8;
/// f32 keeps seven digits; the shares and losses compared are below 4.
const F32: f64 = 2e-6;
/// −ln 1e-10: the most that the epsilon trick can say.
const CEILING: f64 = 23.025_850_929_940_457;

pub(crate) fn fixture(name: &str) -> Value {
    let text = include_str!("../fixtures/math/foundations.json");
    let all: Value = serde_json::from_str(text).unwrap();
    all[name].clone()
}

/// All numbers of a nested list, row-major.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        value => vec![value.as_f64().unwrap()],
    }
}

pub(crate) fn near(what: &str, ours: &[f64], theirs: &[f64], tolerance: f64) {
    let difference = compare(ours, theirs);
    let (largest, at) = (difference.largest, difference.at);
    assert!(
        largest <= tolerance,
        "{what}: |Δ| = {largest:e} at {at} (tolerance {tolerance:e})"
    );
}

struct LossCase {
    logits: Array2<f64>,
    targets: Vec<i64>,
    scale: f64,
    want: Value,
}

fn loss_case(name: &str) -> LossCase {
    let want = fixture("loss")[name].clone();
    let columns = want["logits"][0].as_array().unwrap().len();
    let values = numbers(&want["logits"]);
    let logits = Array2::from_shape_vec((values.len() / columns, columns), values).unwrap();
    let targets: Vec<i64> = numbers(&want["targets"])
        .iter()
        .map(|&t| t as i64)
        .collect();
    let scale = 1.0 / counted(&targets) as f64;
    LossCase {
        logits,
        targets,
        scale,
        want,
    }
}

#[test]
fn losses_and_gradients_equal_pytorch() {
    for (name, tolerance) in [("reference", F64), ("ignored", F64), ("huge", HUGE)] {
        let case = loss_case(name);
        let (loss, slope) = (numbers(&case.want["loss"]), numbers(&case.want["gradient"]));
        let ours = cross_entropy(&case.logits, &case.targets, case.scale);
        near(&format!("{name} loss"), &[ours], &loss, tolerance);
        let ours = cross_entropy_backward(&case.logits, &case.targets, case.scale);
        near(
            &format!("{name} gradient"),
            ours.as_slice().unwrap(),
            &slope,
            F64,
        );
        for (dtype, loose) in [
            (DType::F64, tolerance),
            (DType::F32, F32 * loss[0].max(1.0)),
        ] {
            let where_ = (dtype, &Device::Cpu);
            let (ops, d) =
                cross_entropy_with_ops(&case.logits, &case.targets, case.scale, where_).unwrap();
            near(&format!("{name} {dtype:?} ops"), &[ops], &loss, loose);
            // Scores of 1e4 in f32 are known to 1e-3, so only ordinary ones keep their shares.
            if name != "huge" || dtype == DType::F64 {
                near(
                    &format!("{name} {dtype:?} slope"),
                    &d,
                    &slope,
                    loose.max(F64),
                );
            }
        }
    }
    let reference = loss_case("reference");
    let loss = cross_entropy(&reference.logits, &reference.targets, 1.0);
    near("the reference value", &[loss], &[0.387_64], 0.5e-5);
    near(
        "perplexity",
        &[perplexity(loss)],
        &numbers(&reference.want["perplexity"]),
        F64,
    );
}

#[test]
fn the_gradient_is_the_slope_and_ignored_rows_have_none() {
    let case = loss_case("ignored");
    let at = |x: &[f64]| Array2::from_shape_vec(case.logits.dim(), x.to_vec()).unwrap();
    let loss = |x: &[f64]| cross_entropy(&at(x), &case.targets, case.scale);
    let flat: Vec<f64> = case.logits.iter().copied().collect();
    let ours = cross_entropy_backward(&case.logits, &case.targets, case.scale);
    near(
        "slope",
        ours.as_slice().unwrap(),
        &numeric(&flat, 1e-5, loss),
        SLOPE,
    );
    for (row, &target) in ours.outer_iter().zip(&case.targets) {
        near("a row sums to 0", &[row.sum()], &[0.0], F64);
        assert_eq!(
            target == -100,
            row.iter().all(|&x| x == 0.0),
            "target {target}"
        );
    }
    let bad = cross_entropy_with_ops(&case.logits, &[7; 6], 1.0, (DType::F64, &Device::Cpu));
    assert!(bad.unwrap_err().to_string().contains("7 is not in 0..7"));
}

#[test]
fn huge_logits_stay_finite_where_the_epsilon_trick_goes_flat() {
    for gap in [30.0, 100.0, 1e4] {
        let logits = [0.0, gap];
        let right = cross_entropy(&array![[0.0, gap]], &[0], 1.0);
        near("the loss is the gap", &[right], &[gap], 1e-12 * gap);
        let tricked = with_epsilon(&logits, 0, 1e-10);
        assert!(
            tricked <= CEILING && right - tricked > 6.9,
            "{gap}: {right} and {tricked}"
        );
        let right = cross_entropy_backward(&array![[0.0, gap]], &[0], 1.0)[[0, 0]];
        let tricked = numeric(&logits, 1e-5, |x| with_epsilon(x, 0, 1e-10))[0];
        near(
            "the slope pulls with full strength",
            &[right],
            &[-1.0],
            1e-12,
        );
        assert!(
            tricked.abs() < 1e-3,
            "{gap}: the trick's slope is {tricked}"
        );
    }
    // Where nothing is extreme the trick is harmless, which is why it survives.
    let mild = [2.0, 0.5, 3.1, 0.1, -1.0];
    near(
        "mild",
        &[with_epsilon(&mild, 2, 1e-10)],
        &[0.387_643_513_134_840_2],
        1e-9,
    );
    assert!(
        with_epsilon(&[800.0, 0.0], 0, 1e-10) < 0.0,
        "certainty costs less than nothing"
    );
}

#[test]
fn an_equal_guess_costs_ln_v() {
    for v in [2, 5, 43, 50_257] {
        let loss = cross_entropy(&Array2::zeros((1, v)), &[0], 1.0);
        near(
            "ln V",
            &[loss, perplexity(loss)],
            &[(v as f64).ln(), v as f64],
            1e-9 * v as f64,
        );
        near("bits", &[bits(loss)], &[(v as f64).log2()], F64);
    }
    assert_eq!(counted(&[3, -100, 0]), 2);
}

#[test]
fn softmax_survives_what_breaks_the_formula() {
    assert!(
        naive_softmax(&[1e4, 1e4 - 1.0])
            .iter()
            .all(|share| share.is_nan())
    );
    near(
        "shifted",
        &softmax(&[1e4, 1e4 - 1.0]),
        &softmax(&[1.0, 0.0]),
        F64,
    );
    let scores = [2.0, 1.0, 0.5, -1.0, 3.0];
    near(
        "both where both work",
        &naive_softmax(&scores),
        &softmax(&scores),
        F64,
    );
    // exp(3/T) = 2 exp(2/T) where T = 1 / ln 2.
    let shares = softmax_with_temperature(&scores, std::f64::consts::LN_2.recip());
    near("twice the share", &[shares[4] / shares[0]], &[2.0], F64);
    near(
        "entropy",
        &[softmax::entropy(&softmax(&[0.0; 8]))],
        &[8f64.ln()],
        F64,
    );
}

#[test]
fn autograd_equals_slopes_and_refuses_what_has_none() {
    let x = [0.3, -1.2, 2.0];
    let ours = autograd(&x, |x| Ok((x.sqr()? * x)?.sum_all()?)).unwrap();
    near(
        "x³",
        &ours,
        &numeric(&x, 1e-5, |x| x.iter().map(|x| x.powi(3)).sum()),
        SLOPE,
    );
    let constant = autograd(&x, |_| Ok(Tensor::new(1.0, &Device::Cpu)?));
    assert!(
        constant
            .unwrap_err()
            .to_string()
            .contains("does not depend on its input")
    );
}

/// `[B, H, T, D]` of the fixture as the operation's `[B, T, H, D]`.
fn by_token(values: &Value) -> Tensor {
    let x = Tensor::from_vec(numbers(values), (1, 4, 6, 4), &Device::Cpu).unwrap();
    x.transpose(1, 2).unwrap().contiguous().unwrap()
}

#[test]
fn one_call_of_attention_equals_pytorch_and_its_weights_can_be_read_out() {
    let case = fixture("attention");
    let [q, k, v] = ["q", "k", "v"].map(|name| by_token(&case[name]));
    let spec = AttentionSpec {
        scale: 0.5,
        window: None,
    };
    let call = probe::Call { q, k, v, spec };
    let loops = call.loops().unwrap();
    let expected = by_token(&case["output"]).flatten_all().unwrap();
    let expected: Vec<f64> = expected.to_vec1().unwrap();
    near("output of the loops", &loops.output, &expected, F64);
    near(
        "weights of the loops",
        &loops.weights,
        &numbers(&case["weights"]),
        F64,
    );
    for ops in [Ops::Fused, Ops::Composed] {
        near("output", &call.output(ops).unwrap(), &expected, F64);
        let weights = call.weights(ops).unwrap();
        near("weights", &weights, &loops.weights, F64);
        let (sums, leak) = probe::faults(&weights, 6);
        near("row sums", &[sums], &[0.0], F64);
        assert_eq!(leak, 0.0, "weights of the future");
        assert_eq!(call.notices_the_future(ops).unwrap(), 0.0);
    }
}

#[test]
fn the_probe_follows_batches_shared_heads_windows_and_more_keys_than_channels() {
    let cases = [
        ([2, 4, 7, 4], 2, None),
        ([1, 2, 130, 4], 1, None),
        ([2, 3, 9, 5], 3, Some(3)),
        ([1, 1, 1, 1], 1, None),
    ];
    for (shape, kv, window) in cases {
        let rng = &mut stream(7, Purpose::Demo);
        let mut call = probe::Call::draw(rng, shape, kv, DType::F64).unwrap();
        call.spec.window = window;
        let loops = call.loops().unwrap();
        near(
            "weights",
            &loops.weights,
            &call.weights(Ops::Fused).unwrap(),
            F64,
        );
        near(
            "output",
            &loops.output,
            &call.output(Ops::Fused).unwrap(),
            F64,
        );
        assert_eq!(
            call.notices_the_future(Ops::Fused).unwrap(),
            0.0,
            "{shape:?}"
        );
    }
    let rng = &mut stream(7, Purpose::Demo);
    let call = probe::Call::draw(rng, [1, 4, 6, 4], 3, DType::F64).unwrap();
    let error = call.output(Ops::Fused).unwrap_err().to_string();
    assert!(
        error.contains("3 key-value heads do not divide 4 query heads"),
        "{error}"
    );
}

#[test]
fn faults_of_weights_are_found() {
    let good = [1.0, 0.0, 0.25, 0.75, 1.0, 0.0, 0.5, 0.5];
    assert_eq!(probe::faults(&good, 2), (0.0, 0.0));
    let mut bad = good;
    (bad[5], bad[6]) = (0.125, 0.25);
    assert_eq!(probe::faults(&bad, 2), (0.25, 0.125));
}

#[test]
fn scores_grow_with_the_square_and_the_tiled_kernel_does_not() {
    let scores = |t| probe::score_bytes([1, 32, t], DType::F32);
    let tiled = |t| probe::tiled_bytes([1, 32, t], 1, DType::F32);
    assert_eq!(scores(8192), 8 << 30);
    assert_eq!(scores(16_384), 4 * scores(8192));
    assert_eq!(tiled(8192) - tiled(4096), 2 * 32 * 4096 * 4);
    assert_eq!(probe::tiled_bytes([1, 1, 0], 1, DType::F32), 96 * 96 * 4);
}
