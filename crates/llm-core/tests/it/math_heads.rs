//! Many heads against one, against a loop over single heads, and against the fused operation.

use candle_core::{DType, Device};
use llm_core::math::attention::{Mask, attend, attend_backward};
use llm_core::math::gradient::{compare, numeric};
use llm_core::math::heads::{
    attend_heads, attend_heads_backward, attend_heads_with_ops, cache_bytes, divisors, repeat,
    split,
};
use llm_core::math::layers::Linear;
use llm_core::math::linear::{linear, linear_backward};
use llm_core::math::multi_head::{HeadSizes, MultiHead, apart};
use llm_core::math::parameters::Layer;
use llm_core::math::scale::gaussian;
use llm_core::math::self_attention::SelfAttention;
use llm_core::math::two_words::one_and_two_heads;
use llm_core::rng::{ChaCha8Rng, Purpose, stream};
use ndarray::{Array2, Array3, Axis, s};

/// f64 sums of a few dozen terms in another order.
const F64: f64 = 1e-12;
/// The same in f32.
const F32: f64 = 1e-6;
/// Central differences in f64 with h = 1e-5.
const SLOPE: f64 = 1e-8;
const T: usize = 5;

fn rng() -> ChaCha8Rng {
    stream(7, Purpose::Demo)
}

/// A layer whose biases are not zero, so that a forgotten bias is seen.
fn layer(channels: usize, heads: usize, kv_heads: usize) -> MultiHead {
    let rng = &mut rng();
    let sizes = HeadSizes {
        channels,
        heads,
        kv_heads,
    };
    let mut layer = MultiHead::draw(rng, sizes, true).unwrap();
    for part in [&mut layer.q, &mut layer.k, &mut layer.v, &mut layer.o] {
        let outputs = part.weight.dim().0;
        part.bias = Some(gaussian(rng, 1, outputs, 0.5).row(0).to_owned());
    }
    layer
}

fn stack(rng: &mut ChaCha8Rng, heads: usize, d: usize) -> Array3<f64> {
    split(&gaussian(rng, T, heads * d, 1.0), heads).unwrap()
}

fn near<'a>(
    what: &str,
    ours: impl IntoIterator<Item = &'a f64>,
    theirs: impl IntoIterator<Item = &'a f64>,
    tolerance: f64,
) {
    let collect = |values: Vec<&f64>| values.into_iter().copied().collect::<Vec<f64>>();
    let ours = collect(ours.into_iter().collect());
    let d = compare(&ours, &collect(theirs.into_iter().collect()));
    assert!(
        d.largest <= tolerance,
        "{what}: |Δ| = {:e} at {} (tolerance {tolerance:e})",
        d.largest,
        d.at
    );
}

#[test]
fn one_head_is_single_attention_bit_for_bit() {
    let (layer, x) = (layer(8, 1, 1), gaussian(&mut rng(), T, 8, 1.0));
    let d_y = gaussian(&mut rng(), T, 8, 0.7);
    let project = |part: &Linear| linear(&x, &part.weight, part.bias.as_ref());
    let (q, k, v) = (project(&layer.q), project(&layer.k), project(&layer.v));
    let scale = 8f64.sqrt().recip();
    let trace = attend(&q, &k, &v, scale, Mask::Causal);
    let ours = layer.forward(&x, Mask::Causal).unwrap();
    assert_eq!(ours.heads[0].weights, trace.weights);
    let output = linear(&trace.output, &layer.o.weight, layer.o.bias.as_ref());
    assert_eq!(ours.output, output);

    let back = |part: &Linear, x, d: &Array2<f64>| linear_backward(x, &part.weight, d);
    let d_o = back(&layer.o, &trace.output, &d_y);
    let d = attend_backward((&q, &k, &v), &trace.weights, scale, &d_o.x);
    let (d_q, d_k, d_v) = (
        back(&layer.q, &x, &d.q),
        back(&layer.k, &x, &d.k),
        back(&layer.v, &x, &d.v),
    );
    let (gradients, d_x) = layer.backward(&x, Mask::Causal, &d_y).unwrap();
    assert_eq!(gradients.q.weight, d_q.weight);
    assert_eq!(gradients.k.bias, Some(d_k.bias));
    assert_eq!(gradients.v.weight, d_v.weight);
    assert_eq!(gradients.o.weight, d_o.weight);
    assert_eq!(d_x, d_q.x + d_k.x + d_v.x);
}

#[test]
fn one_head_is_the_module_of_one_head_bit_for_bit() {
    for mask in [Mask::Causal, Mask::None] {
        let rng = &mut rng();
        let module = SelfAttention::init(rng, 8, 4);
        let layer = MultiHead::from(module.clone());
        let (x, d_y) = (gaussian(rng, T, 8, 1.0), gaussian(rng, T, 8, 1.0));
        let theirs = module.forward(&x, mask);
        assert_eq!(layer.forward(&x, mask).unwrap().output, theirs.y);
        let theirs = module.backward(&x, &theirs, &d_y);
        let (ours, d_x) = layer.backward(&x, mask, &d_y).unwrap();
        assert_eq!(ours, MultiHead::from(theirs.parameters));
        assert_eq!(d_x, theirs.x);
    }
}

#[test]
fn many_heads_are_a_loop_over_single_heads() {
    // Written without split and concat: each head has its rows of Wq, Wk, Wv and its columns of Wo,
    // and the layer's output is the sum of what the heads contribute.
    for (h, k) in [(4, 4), (4, 2), (4, 1), (2, 2), (8, 1)] {
        let (layer, x) = (layer(8, h, k), gaussian(&mut rng(), T, 8, 1.0));
        let d = 8 / h;
        let rows = |part: &Linear, head: usize| {
            let own = s![head * d..(head + 1) * d, ..];
            let bias = part
                .bias
                .as_ref()
                .unwrap()
                .slice(s![head * d..(head + 1) * d]);
            linear(
                &x,
                &part.weight.slice(own).to_owned(),
                Some(&bias.to_owned()),
            )
        };
        let mut sum = Array2::zeros((T, 8));
        for head in 0..h {
            let shared = head * k / h;
            let (q, k, v) = (
                rows(&layer.q, head),
                rows(&layer.k, shared),
                rows(&layer.v, shared),
            );
            let read = attend(&q, &k, &v, (d as f64).sqrt().recip(), Mask::Causal).output;
            let columns = layer.o.weight.slice(s![.., head * d..(head + 1) * d]);
            sum += &linear(&read, &columns.to_owned(), None);
        }
        sum += layer.o.bias.as_ref().unwrap();
        let ours = layer.forward(&x, Mask::Causal).unwrap().output;
        near(&format!("H={h} K={k}"), &ours, &sum, F64);
    }
}

#[test]
fn heads_are_the_fused_operation() {
    for (h, k) in [(4, 4), (4, 2), (4, 1), (1, 1)] {
        let rng = &mut rng();
        let (q, k, v) = (stack(rng, h, 4), stack(rng, k, 4), stack(rng, k, 4));
        let ours = attend_heads(&q, &k, &v, 0.5, Mask::Causal).unwrap();
        for (dtype, tolerance) in [(DType::F64, F64), (DType::F32, F32)] {
            let fused = attend_heads_with_ops((&q, &k, &v), 0.5, dtype, &Device::Cpu).unwrap();
            near(&format!("H={h} {dtype:?}"), &fused, &ours, tolerance);
        }
    }
}

#[test]
fn grouped_heads_lie_between_multi_head_and_multi_query() {
    let rng = &mut rng();
    let q = stack(rng, 8, 2);
    for kv_heads in [8, 4, 2, 1] {
        let (k, v) = (stack(rng, kv_heads, 2), stack(rng, kv_heads, 2));
        let grouped = attend_heads(&q, &k, &v, 0.7, Mask::Causal).unwrap();
        let (all_k, all_v) = (repeat(&k, 8 / kv_heads), repeat(&v, 8 / kv_heads));
        let every = attend_heads(&q, &all_k, &all_v, 0.7, Mask::Causal).unwrap();
        assert_eq!(
            grouped, every,
            "K={kv_heads}: shared heads are repeated heads"
        );
        if kv_heads == 1 {
            let one = |x: &Array3<f64>, head| x.index_axis(Axis(0), head).to_owned();
            for head in 0..8 {
                let alone = attend(&one(&q, head), &one(&k, 0), &one(&v, 0), 0.7, Mask::Causal);
                assert_eq!(one(&grouped, head), alone.output, "multi-query head {head}");
            }
        }
        // What is shared collects the gradients of its copies.
        let d_y = stack(rng, 8, 2);
        let shared = attend_heads_backward((&q, &k, &v), 0.7, Mask::Causal, &d_y).unwrap();
        let copies = attend_heads_backward((&q, &all_k, &all_v), 0.7, Mask::Causal, &d_y).unwrap();
        assert_eq!(shared.0, copies.0);
        for (shared, copies) in [(shared.1, copies.1), (shared.2, copies.2)] {
            let groups = copies.axis_chunks_iter(Axis(0), 8 / kv_heads);
            for (head, group) in groups.enumerate() {
                let sum = group.sum_axis(Axis(0));
                near("shared gradient", &one_head(&shared, head), &sum, F64);
            }
        }
    }
    let (full, grouped) = (layer(8, 8, 8), layer(8, 8, 8));
    assert_eq!(full, grouped, "K = H is multi-head attention");
}

fn one_head(x: &Array3<f64>, head: usize) -> Array2<f64> {
    x.index_axis(Axis(0), head).to_owned()
}

#[test]
fn sizes_that_do_not_divide_are_refused_with_those_that_do() {
    let draw = |channels, heads, kv_heads| {
        let sizes = HeadSizes {
            channels,
            heads,
            kv_heads,
        };
        MultiHead::draw(&mut rng(), sizes, false).map_err(|error| error.to_string())
    };
    let error = draw(12, 5, 5).unwrap_err();
    assert_eq!(
        error,
        "heads: 5 does not divide the 12 channels; 1, 2, 3, 4, 6, 12 do"
    );
    let error = draw(16, 8, 3).unwrap_err();
    assert_eq!(
        error,
        "key-value heads: 3 does not divide the 8 query heads; 1, 2, 4, 8 do"
    );
    for (heads, kv_heads) in [(0, 1), (4, 0), (32, 1), (4, 8)] {
        assert!(draw(16, heads, kv_heads).is_err(), "H={heads} K={kv_heads}");
    }
    assert_eq!(divisors(1), [1]);
    assert!(divisors(0).is_empty());
}

#[test]
fn parameters_do_not_depend_on_the_number_of_heads() {
    let count = |heads, kv_heads, bias| {
        let sizes = HeadSizes {
            channels: 16,
            heads,
            kv_heads,
        };
        MultiHead::draw(&mut rng(), sizes, bias).unwrap().count()
    };
    for heads in [1, 2, 4, 8, 16] {
        assert_eq!(count(heads, heads, false), 4 * 16 * 16);
        assert_eq!(count(heads, heads, true), 4 * 16 * 16 + 4 * 16);
    }
    // Two of the four matrices shrink with the key-value heads.
    assert_eq!(count(8, 2, false), 2 * 16 * 16 + 2 * 4 * 16);
    assert_eq!(count(8, 1, true), 2 * 16 * 16 + 2 * 2 * 16 + 2 * 16 + 2 * 2);
}

#[test]
fn the_cache_shrinks_by_heads_over_key_value_heads() {
    for (heads, kv_heads) in [(8, 2), (8, 1), (16, 8), (32, 8), (40, 10)] {
        let (full, shared) = (
            cache_bytes(3, heads, 64, 2),
            cache_bytes(3, kv_heads, 64, 2),
        );
        assert_eq!(full % shared, 0);
        assert_eq!(full / shared, heads / kv_heads);
    }
    assert_eq!(cache_bytes(1, 8, 64, 2), 4 * cache_bytes(1, 2, 64, 2));
    assert_eq!(cache_bytes(28, 8, 128, 2), 114_688, "Qwen3-0.6B");
    assert_eq!(cache_bytes(32, 8, 128, 2), 131_072, "Llama-3.1-8B");
}

#[test]
fn the_layers_gradients_are_slopes() {
    for (h, k) in [(4, 4), (4, 2), (4, 1)] {
        let (layer, rng) = (layer(8, h, k), &mut rng());
        let (x, d_y) = (gaussian(rng, T, 8, 1.0), gaussian(rng, T, 8, 1.0));
        let loss = |layer: &MultiHead, x: &Array2<f64>| {
            (&layer.forward(x, Mask::Causal).unwrap().output * &d_y).sum()
        };
        let (gradients, d_x) = layer.backward(&x, Mask::Causal, &d_y).unwrap();
        let flat: Vec<f64> = x.iter().copied().collect();
        let slopes = numeric(&flat, 1e-5, |x| {
            loss(&layer, &Array2::from_shape_vec((T, 8), x.to_vec()).unwrap())
        });
        near(&format!("d_x K={k}"), &d_x, &slopes, SLOPE * 10.0);
        // Every number of every tensor moves at once, in a drawn direction.
        let (mut up, mut down, direction) = (layer.clone(), layer.clone(), self::layer(8, h, k));
        up.add(&direction, 1e-5);
        down.add(&direction, -1e-5);
        let slope = (loss(&up, &x) - loss(&down, &x)) / 2e-5;
        let ours = gradients.dot(&direction);
        assert!(
            (ours - slope).abs() <= SLOPE * slope.abs().max(1.0) * 10.0,
            "K={k}: {ours} is not {slope}"
        );
        // A key bias adds q·b to every score of a row, and softmax does not see what all share.
        near(
            "key bias",
            gradients.k.bias.as_ref().unwrap(),
            &vec![0.0; k * 8 / h],
            F64,
        );
    }
}

#[test]
fn queries_need_a_matrix_of_their_own() {
    // With the key's matrix for the query as well, as the formula is sometimes misprinted, token i
    // wants token j exactly as much as j wants i.
    let (mut layer, x) = (layer(8, 2, 2), gaussian(&mut rng(), T, 8, 1.0));
    let lopsided = |layer: &MultiHead| {
        let trace = layer.forward(&x, Mask::None).unwrap();
        let scores = &trace.heads[0].scores;
        apart(scores, &scores.t().to_owned())
    };
    assert!(lopsided(&layer) > 0.1, "who asks and who is asked differ");
    layer.q = layer.k.clone();
    assert!(lopsided(&layer) <= F64);
}

#[test]
fn one_head_loses_half_of_two_words_and_two_heads_nothing() {
    let shares = [0.0, 0.1, 0.5, 0.73, 1.0];
    let (one, two) = one_and_two_heads(&mut rng(), &shares, 2_000);
    for (a, one) in shares.iter().zip(one) {
        // In expectation exactly 1/2; 8 fitted numbers and 2,000 draws leave about 1 %.
        assert!((one - 0.5).abs() < 0.02, "share {a}: one head loses {one}");
    }
    assert!(two < F64, "two heads lose {two}");
}
