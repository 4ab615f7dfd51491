//! One head with its four matrices: against PyTorch, against `ops`, against slopes; what it learns,
//! and what happens to a parameter that was forgotten.
//!
//! The fixture is written by `tools/oracle/attention_module.py`.

use candle_core::{DType, Device};
use llm_core::math::attention::{Mask, attend, word_vectors};
use llm_core::math::audit::{Autograd, autograd};
use llm_core::math::gradient::numeric;
use llm_core::math::recall::{self, Text, Training};
use llm_core::math::self_attention::SelfAttention;
use llm_core::rng::{Purpose, stream};
use ndarray::Array2;
use serde_json::Value;

use crate::math_loss::near;

/// f64 sums of a few dozen terms in another order.
const F64: f64 = 1e-12;
/// What f32 has to keep of gradients of size 1 to 10.
const F32: f64 = 1e-5;
/// Central differences in f64 with h = 1e-5 on sums of size 100.
const SLOPE: f64 = 1e-7;
const NAMES: [&str; 4] = ["query", "key", "value", "output"];

/// The array `key` of the fixture's case.
pub(crate) fn array(all: &Value, case: &str, key: &str) -> Array2<f64> {
    let array = &all[case][key];
    let values = array["values"]
        .as_array()
        .unwrap_or_else(|| panic!("{case}: no {key}"));
    let values: Vec<f64> = values.iter().map(|x| x.as_f64().unwrap()).collect();
    let dims = array["shape"].as_array().unwrap().iter();
    let dims: Vec<usize> = dims.map(|n| n.as_u64().unwrap() as usize).collect();
    let rows = if dims.len() == 2 { dims[0] } else { 1 };
    Array2::from_shape_vec((rows, values.len() / rows), values).unwrap()
}

pub(crate) fn flat(x: &Array2<f64>) -> Vec<f64> {
    x.iter().copied().collect()
}

fn fixture() -> Value {
    let text = include_str!("../fixtures/math/attention_module.json");
    serde_json::from_str(text).unwrap()
}

fn module(all: &Value) -> SelfAttention {
    let [query, key, value, output] = NAMES.map(|name| array(all, "inputs", name));
    SelfAttention {
        query,
        key,
        value,
        output,
    }
}

#[test]
fn output_and_every_gradient_equal_pytorch() {
    let all = fixture();
    let (module, x, d_y) = (
        module(&all),
        array(&all, "inputs", "x"),
        array(&all, "inputs", "d_y"),
    );
    for (case, mask, tolerance) in [
        ("causal_f64", Mask::Causal, F64),
        ("open_f64", Mask::None, F64),
        ("causal_f32", Mask::Causal, F32),
    ] {
        let forward = module.forward(&x, mask);
        let backward = module.backward(&x, &forward, &d_y);
        let heads = &backward.heads;
        let mut ours = vec![
            ("y", &forward.y),
            ("d_q", &heads.q),
            ("d_k", &heads.k),
            ("d_v", &heads.v),
            ("d_x", &backward.x),
        ];
        let names = ["d_query", "d_key", "d_value", "d_output"];
        let matrices = backward.parameters.parameters().map(|(_, matrix)| matrix);
        ours.extend(names.into_iter().zip(matrices));
        for (key, matrix) in ours {
            let theirs = flat(&array(&all, case, key));
            near(&format!("{case} {key}"), &flat(matrix), &theirs, tolerance);
        }
    }
}

fn graded(module: &SelfAttention, all: &Value, forgotten: Option<&str>, dtype: DType) -> Autograd {
    let (x, d_y) = (array(all, "inputs", "x"), array(all, "inputs", "d_y"));
    autograd(module, (&x, &d_y), forgotten, (dtype, &Device::Cpu)).unwrap()
}

#[test]
fn autograd_over_the_operations_equals_pytorch() {
    let all = fixture();
    let module = module(&all);
    for (case, dtype, tolerance) in [
        ("causal_f64", DType::F64, F64),
        ("causal_f32", DType::F32, F32),
    ] {
        let ours = graded(&module, &all, None, dtype);
        near(
            &format!("{case} y"),
            &ours.y,
            &flat(&array(&all, case, "y")),
            tolerance,
        );
        assert!(ours.without_gradient().is_empty(), "{ours:?}");
        for (name, gradient) in &ours.gradients {
            let key = format!("d_{name}");
            let theirs = flat(&array(&all, case, &key));
            let gradient = gradient
                .as_ref()
                .unwrap_or_else(|| panic!("{case}: no {key}"));
            near(&format!("{case} {key}"), gradient, &theirs, tolerance);
        }
    }
}

#[test]
fn gradients_by_hand_are_slopes() {
    let all = fixture();
    let (module, x, d_y) = (
        module(&all),
        array(&all, "inputs", "x"),
        array(&all, "inputs", "d_y"),
    );
    let forward = module.forward(&x, Mask::Causal);
    let gradients = module.backward(&x, &forward, &d_y).parameters;
    for ((name, weight), (_, gradient)) in
        module.parameters().into_iter().zip(gradients.parameters())
    {
        let slopes = numeric(&flat(weight), 1e-5, |values| {
            (module.with(name, values).forward(&x, Mask::Causal).y * &d_y).sum()
        });
        near(name, &flat(gradient), &slopes, SLOPE);
    }
}

#[test]
fn the_audit_names_the_forgotten_parameter_and_nothing_else() {
    let all = fixture();
    let module = module(&all);
    let whole = graded(&module, &all, None, DType::F64);
    for name in NAMES {
        let ours = graded(&module, &all, Some(name), DType::F64);
        assert_eq!(ours.without_gradient(), [name]);
        // Nothing else changes, so nothing else could give it away.
        assert_eq!(ours.y, whole.y);
        let others = ours.gradients.iter().zip(&whole.gradients);
        for (ours, whole) in others.filter(|(ours, _)| ours.0 != name) {
            assert_eq!(ours, whole);
        }
    }
}

#[test]
fn one_token_alone_gives_query_and_key_nothing_to_learn() {
    let mut rng = stream(7, Purpose::Init);
    let module = SelfAttention::init(&mut rng, 6, 3);
    let x = word_vectors(&["one".to_owned()], 6, &mut rng);
    let d_y = Array2::ones((1, 6));
    // Its weight is 1 whatever the score: softmax of one number has slope 0.
    let ours = autograd(&module, (&x, &d_y), None, (DType::F64, &Device::Cpu)).unwrap();
    assert_eq!(ours.without_gradient(), ["query", "key"]);
}

#[test]
fn the_module_is_attend_between_four_linear_maps() {
    let all = fixture();
    let (module, x) = (module(&all), array(&all, "inputs", "x"));
    let forward = module.forward(&x, Mask::Causal);
    let bare = attend(
        &forward.q,
        &forward.k,
        &forward.v,
        module.scale(),
        Mask::Causal,
    );
    assert_eq!(bare.output, forward.trace.output);
    assert_eq!((module.count(), module.scale()), (4 * 8 * 4, 0.5));
}

#[test]
fn texts_ask_for_one_of_their_pairs() {
    let mut rng = stream(7, Purpose::Data);
    for _ in 0..50 {
        let text = Text::draw(&mut rng, 5);
        let mut names = text.names.clone();
        names.sort_unstable();
        assert_eq!(names, [0, 1, 2, 3, 4]);
        let (row, question) = (text.x.row(text.asked), text.x.row(5));
        assert_eq!(
            (row[10], row[text.names[text.asked]]),
            (text.answer, 1.0),
            "{text:?}"
        );
        assert_eq!(
            (question[5 + text.names[text.asked]], question.sum()),
            (1.0, 1.0)
        );
    }
    let text = Text::draw(&mut rng, 2);
    let name = ["a", "b"][text.names[0]];
    let label = format!("{name}={:.2}", text.x[[0, 4]]);
    assert_eq!(text.labels()[0], label);
    assert_eq!((text.labels().len(), text.labels()[2].as_str()), (3, "?"));
    assert_eq!(text.questions()[0], format!("{name}?"));
}

#[test]
fn attention_learns_to_look_up_and_a_forgotten_key_keeps_it_from_it() {
    let module = SelfAttention::init(&mut stream(3, Purpose::Init), recall::channels(4), 6);
    let trained = |forgotten| {
        let training = Training {
            forgotten,
            ..Training::default()
        };
        recall::trained(&module, 3, 4, &training).unwrap()
    };
    let whole = trained(None);
    // Single steps see four texts and are noisy.
    let early = |losses: &[f64]| losses[..20].iter().sum::<f64>() / 20.0;
    let (first, loss, share) = (early(&whole.losses), whole.loss, whole.share);
    assert!(first > 0.3, "knows nothing at first: {first}");
    assert!(loss < 0.05 && share > 0.7, "loss {loss}, share {share}");
    let lame = trained(Some("key"));
    assert_eq!(lame.module.key, module.key);
    let lame = lame.loss;
    assert!(lame < 0.9 * first, "its loss falls as well: {lame}");
    assert!(lame > 5.0 * loss, "but not as far: {lame} against {loss}");
}

#[test]
fn a_rate_that_cannot_work_is_refused() {
    let module = SelfAttention::init(&mut stream(3, Purpose::Init), 5, 4);
    let train = |rate| {
        let training = Training {
            steps: 200,
            texts: 4,
            rate,
            ..Training::default()
        };
        let result = recall::train(&module, &mut stream(3, Purpose::Data), 2, &training);
        result.unwrap_err().to_string()
    };
    for rate in [-0.5, 0.0, f64::NAN, f64::INFINITY] {
        let message = train(rate);
        assert!(message.contains("expected a number above 0"), "{message}");
    }
    let message = train(1e3);
    assert!(message.contains("1000 overshoots"), "{message}");
}
