//! Positions: the tables against NumPy, ALiBi and rope against transformers, and what order means to
//! attention.
//!
//! The fixture is written by `tools/oracle/positions.py`.

use llm_core::math::attention::{Mask, attend_biased, word_vectors};
use llm_core::math::gradient::numeric;
use llm_core::math::positions::{Encoding, LearnedTable, alibi_bias, alibi_slopes, sinusoids};
use llm_core::math::recall::{self, Text, Training};
use llm_core::math::rope::{THETA, circles, score, shift_error, unfinished};
use llm_core::math::self_attention::SelfAttention;
use llm_core::rng::{Purpose, standard_normal, stream};
use ndarray::{Array2, Axis};
use rand::Rng;
use serde_json::Value;

use crate::attention_module::{array, flat};
use crate::math_loss::near;

/// f64 sines and short sums; angles of size 5,000 lose four digits.
const F64: f64 = 1e-11;
/// BLOOM takes its roots in f32.
const BLOOM: f64 = 1e-7;
/// What the relative property has to keep, over any draws.
const RELATIVE: f64 = 1e-5;
/// An order that attention notices moves outputs of size 1 by more than this.
const NOTICED: f64 = 1e-3;

fn fixture() -> Value {
    serde_json::from_str(include_str!("../fixtures/math/positions.json")).unwrap()
}

#[test]
fn sinusoids_equal_numpy() {
    let all = fixture();
    let near =
        |key: &str, ours: &[f64]| near(key, ours, &flat(&array(&all, "sinusoids", key)), F64);
    near("d4", &flat(&sinusoids(3, 4).unwrap()));
    near("d16", &flat(&sinusoids(20, 16).unwrap()));
    near("late", &sinusoids(5001, 6).unwrap().row(5000).to_vec());
}

#[test]
fn channels_that_do_not_pair_are_refused_with_the_reason() {
    for c in [0, 1, 5] {
        let message = sinusoids(3, c).unwrap_err().to_string();
        assert!(message.contains("expected an even number"), "{message}");
        assert!(message.starts_with(&format!("channels: {c},")), "{message}");
        assert!(circles(c, THETA, 8).is_err());
    }
    assert!(sinusoids(0, 2).is_ok());
}

#[test]
fn sinusoids_know_distances() {
    let table = sinusoids(400, 32).unwrap();
    let dot = |a: usize, b: usize| (&table.row(a) * &table.row(b)).sum();
    for distance in [0, 1, 7, 100] {
        let first = dot(0, distance);
        near("dot", &[dot(250, 250 + distance)], &[first], F64);
    }
    assert!(dot(0, 1) < dot(0, 0));
}

#[test]
fn alibi_equals_bloom_and_sdpa() {
    let all = fixture();
    for heads in [1, 2, 4, 8, 12, 16, 20] {
        let key = format!("h{heads}");
        let theirs = flat(&array(&all, "slopes", &key));
        near(&key, &alibi_slopes(heads), &theirs, BLOOM);
    }
    assert!(alibi_slopes(0).is_empty());
    assert_eq!(alibi_slopes(8)[7], 1.0 / 256.0);
    let [q, k, v] = ["q", "k", "v"].map(|key| array(&all, "alibi_attention", key));
    let slope = array(&all, "alibi_attention", "slope")[[0, 0]];
    let bias = |position, key| alibi_bias(slope, position, key);
    let ours = attend_biased((&q, &k, &v), 0.5, Mask::Causal, bias).output;
    let theirs = flat(&array(&all, "alibi_attention", "y"));
    near("attention with ALiBi", &flat(&ours), &theirs, F64);
}

#[test]
fn rope_scores_equal_llama() {
    let all = fixture();
    let [q, k] = ["q", "k"].map(|key| flat(&array(&all, "rope_scores", key)));
    let pairs = array(&all, "rope_scores", "pairs");
    let theirs = flat(&array(&all, "rope_scores", "scores"));
    for (pair, theirs) in pairs.outer_iter().zip(theirs) {
        let (m, n) = (pair[0] as usize, pair[1] as usize);
        near(
            &format!("({m}, {n})"),
            &[score(&q, &k, m, n)],
            &[theirs],
            F64,
        );
    }
}

#[test]
fn rope_scores_depend_on_the_distance_alone() {
    let mut rng = stream(7, Purpose::Demo);
    let most = shift_error(&mut rng, 64, 1000);
    assert!(
        most > 0.0 && most <= RELATIVE,
        "{most:e} (tolerance {RELATIVE:e})"
    );
    let mut moved = 0;
    for draw in 0..1000 {
        let d = 2 * rng.random_range(1..=32);
        let mut arrow = || -> Vec<f64> { (0..d).map(|_| standard_normal(&mut rng)).collect() };
        let (q, k) = (arrow(), arrow());
        let mut position = |most| rng.random_range(0..=most);
        let (m, n, shift) = (position(2000), position(2000), position(2000));
        let here = score(&q, &k, m, n);
        let there = score(&q, &k, m + shift, n + shift);
        near(
            &format!("draw {draw}: ({m}, {n}) + {shift}"),
            &[there],
            &[here],
            RELATIVE,
        );
        moved += usize::from((score(&q, &k, m + 1, n) - here).abs() > NOTICED);
    }
    assert!(
        moved > 950,
        "another distance, another score: {moved} of 1000"
    );
}

#[test]
fn only_positions_tell_one_order_from_another() {
    let mut rng = stream(7, Purpose::Demo);
    for _ in 0..20 {
        let module = SelfAttention::init(&mut rng, 8, 4);
        let words: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        let x = word_vectors(&words, 8, &mut rng);
        // No mirror image: ALiBi counts steps either way, and would rightly see no difference.
        let order = [3, 0, 4, 1, 2];
        let mixed = x.select(Axis(0), &order);
        for (name, encoding) in Encoding::every(&mut rng, 5, 8) {
            let straight = encoding.read(&module, &x, Mask::None).unwrap();
            let y = encoding.read(&module, &mixed, Mask::None).unwrap();
            let moved = (y - straight.select(Axis(0), &order)).mapv(f64::abs);
            let most = moved.iter().copied().fold(0.0, f64::max);
            match encoding {
                Encoding::None => assert!(most <= F64, "{most:e} (tolerance {F64:e})"),
                _ => assert!(most > NOTICED, "{name} does not notice: {most:e}"),
            }
            // The measure of the lesson sees the same, for two words that change places.
            let effect = encoding
                .order_effect(&module, &x, (1, 4), Mask::None)
                .unwrap();
            assert_eq!(
                effect > NOTICED,
                encoding != Encoding::None,
                "{name}: {effect:e}"
            );
            assert!(
                encoding
                    .order_effect(&module, &x, (1, 5), Mask::None)
                    .is_err()
            );
        }
    }
}

#[test]
fn a_causal_mask_alone_gives_order_away() {
    let mut rng = stream(7, Purpose::Demo);
    let module = SelfAttention::init(&mut rng, 8, 4);
    let words: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
    let x = word_vectors(&words, 8, &mut rng);
    let order = [1, 0, 2];
    let read = |x: &Array2<f64>| Encoding::None.read(&module, x, Mask::Causal).unwrap();
    let (straight, y) = (read(&x), read(&x.select(Axis(0), &order)));
    let moved = (y - straight.select(Axis(0), &order)).mapv(f64::abs);
    assert!(moved.row(0).sum() > NOTICED, "b lost a in front of it");
    assert!(moved.row(2).sum() <= F64, "c still reads the same three");
}

#[test]
fn a_learned_table_ends_and_learns_only_where_tokens_stood() {
    let mut rng = stream(7, Purpose::Demo);
    let rows = Array2::from_shape_simple_fn((4, 2), || standard_normal(&mut rng));
    let table = LearnedTable { rows };
    let x = Array2::ones((3, 2));
    let y = table.add(&x, 1).unwrap();
    near(
        "row 3",
        &y.row(2).to_vec(),
        &(&table.rows.row(3) + 1.0).to_vec(),
        0.0,
    );
    let message = table.add(&x, 2).unwrap_err().to_string();
    assert_eq!(message, "position: 4 lies past the table of 4 learned rows");
    assert!(table.add(&Array2::ones((1, 3)), 0).is_err());
    // Σ y · d_y moves with row p as d_y says, and not at all with rows where nothing stood.
    let d_y = Array2::from_shape_fn((2, 2), |(t, c)| (1 + 2 * t + c) as f64);
    let slopes = numeric(&flat(&table.rows), 1e-5, |rows| {
        let rows = Array2::from_shape_vec((4, 2), rows.to_vec()).unwrap();
        let y = LearnedTable { rows }.add(&Array2::ones((2, 2)), 1).unwrap();
        (y * &d_y).sum()
    });
    near("gradient", &flat(&table.backward(&d_y, 1)), &slopes, 1e-8);
    assert_eq!(slopes[6..], [0.0, 0.0]);
}

#[test]
fn slow_pairs_never_see_their_whole_circle() {
    // 32 pairs; ω_i · 2047 < 2π from i = 21 on.
    let circles = circles(64, THETA, 2048).unwrap();
    assert_eq!(unfinished(64, THETA, 2048).unwrap(), 11);
    assert_eq!(circles[20].seen, 1.0);
    near(
        "slowest",
        &[circles[31].seen],
        &[2047.0 * THETA.powf(-62.0 / 64.0) / std::f64::consts::TAU],
        1e-15,
    );
    assert!(circles.windows(2).all(|pair| pair[1].seen <= pair[0].seen));
}

#[test]
fn plain_rope_fails_past_its_trained_length_and_interpolation_does_not() {
    let module = SelfAttention::init(&mut stream(3, Purpose::Init), recall::channels(4), 8);
    let training = Training {
        longest: Some(16),
        ..Training::default()
    };
    let head = recall::trained(&module, 3, 4, &training).unwrap().module;
    let [trained, same] = recall::loss_at(&head, (3, 4), 16, 16);
    assert!(
        trained < 0.05 && same == trained,
        "learned within its length: {trained}"
    );
    let [plain, squeezed] = recall::loss_at(&head, (3, 4), 1024, 16);
    assert!(plain > 10.0 * trained, "{plain} at length 1024");
    assert!(squeezed < 2.0 * trained, "{squeezed} with places squeezed");
}

#[test]
fn gradients_through_turned_places_are_slopes() {
    let mut rng = stream(7, Purpose::Demo);
    let module = SelfAttention::init(&mut rng, recall::channels(2), 4);
    let text = Text::draw(&mut rng, 2).placed(9, 0.7);
    let gradients = recall::grade(&module, &text).gradient;
    for ((name, weight), (_, gradient)) in
        module.parameters().into_iter().zip(gradients.parameters())
    {
        let slopes = numeric(&flat(weight), 1e-5, |values| {
            recall::grade(&module.with(name, values), &text).loss
        });
        near(name, &flat(gradient), &slopes, 1e-8);
    }
}
