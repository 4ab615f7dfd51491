//! The character GPT before it writes: sizes, windows, floor and rates against
//! `tools/oracle/mini_gpt.py`, training down to the floor, runs that stop and go on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use llm_core::config::ModelConfig;
use llm_core::math::loss::{continuations, floor as textbook_floor};
use llm_core::text::chars::CharTokenizer;
use llm_train::chars::floor::{floor, floor_by_position, unigram_entropy};
use llm_train::chars::recipe::Recipe;
use llm_train::chars::run::{CharRun, losses_by_position};
use llm_train::chars::windows::Windows;
use llm_train::chars::write::write_greedy;
use llm_train::chars::{PAGE, Size, mean, parts, read_page};

/// Sums of a few hundred terms near 1 in f64.
pub(crate) const CLOSE: f64 = 1e-12;
/// PyTorch computes its rates from one another, a hundred roundings in f64.
const RATE: f64 = 1e-15;
/// Means of tens of thousands of losses in f32.
pub(crate) const MEAN: f64 = 1e-5;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn fixture() -> serde_json::Value {
    let path = root().join("crates/llm-train/tests/fixtures/mini_gpt.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    let list = value.as_array().unwrap().iter();
    list.map(|x| x.as_f64().unwrap()).collect()
}

#[track_caller]
pub(crate) fn near(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let gaps = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let (place, gap) = gaps.enumerate().fold(
        (0, 0.0),
        |worst, gap| if gap.1 > worst.1 { gap } else { worst },
    );
    assert!(
        gap <= tolerance,
        "{what}: |Δ| = {gap:e} at {place}, tolerance {tolerance:e}"
    );
}

pub(crate) fn page() -> (CharTokenizer, Vec<u32>) {
    let chars = CharTokenizer::from_text(PAGE);
    let ids = chars.encode(PAGE).unwrap();
    (chars, ids)
}

/// A model that learns a line in a second.
pub(crate) const TINY: Size = Size {
    layers: 1,
    heads: 2,
    channels: 16,
    context: 8,
};
pub(crate) const LINE: &str = "the cat sat on the mat, the cat sat on the hat";
pub(crate) const SHORT: Recipe = Recipe {
    epochs: 4,
    batch_size: 4,
    max_lr: 1e-2,
    min_lr: 1e-3,
    ..Recipe::FAITHFUL
};

pub(crate) fn tiny(recipe: Recipe, seed: u64) -> (CharTokenizer, CharRun) {
    let chars = CharTokenizer::from_text(LINE);
    let config = TINY.config(chars.vocab_size(), &recipe).unwrap();
    let run = CharRun::start(chars.encode(LINE).unwrap(), &config, recipe, seed).unwrap();
    (chars, run)
}

fn weights(run: &CharRun) -> Vec<(String, Vec<f32>)> {
    let tensors = run.model.named_tensors().unwrap().into_iter();
    tensors
        .map(|(name, t)| (name, t.flatten_all().unwrap().to_vec1().unwrap()))
        .collect()
}

fn total(config: &ModelConfig) -> usize {
    parts(config).unwrap().iter().map(|part| part.1).sum()
}

#[test]
fn the_model_has_801_536_parameters_and_128_a_character() {
    for vocab_size in [2, 43, 65, 256] {
        let config = Size::MINI.config(vocab_size, &Recipe::FAITHFUL).unwrap();
        assert_eq!(total(&config), 801_536 + 128 * vocab_size);
    }
    // The sum of the reference table, term by term, and the two sizes that it quotes.
    let blocks = 4 * (4 * (128 * 128 + 128) + 2 * 4 * 128 * 128 + 5 * 128 + 4 * 128);
    assert_eq!(43 * 128 + 64 * 128 + blocks + 2 * 128, 807_040);
    assert_eq!(
        total(&Size::MINI.config(65, &Recipe::FAITHFUL).unwrap()),
        809_856
    );
    let (chars, ids) = page();
    let config = Size::MINI
        .config(chars.vocab_size(), &Recipe::FAITHFUL)
        .unwrap();
    let run = CharRun::start(ids, &config, Recipe::FAITHFUL, 7).unwrap();
    let tensors = run.model.named_tensors().unwrap();
    assert_eq!(
        tensors.values().map(|t| t.elem_count()).sum::<usize>(),
        807_040
    );
    assert_eq!((run.steps_per_epoch(), run.total_steps()), (45, 4_500));
    let bad = Size {
        heads: 3,
        ..Size::MINI
    }
    .config(43, &Recipe::FAITHFUL)
    .unwrap_err()
    .to_string();
    assert!(bad.contains("divisor of n_embd 128"), "{bad}");
}

#[test]
fn every_window_asks_what_follows_and_an_epoch_asks_each_once() {
    let (_, ids) = page();
    for (context, stride) in [(64, 1), (64, 24), (5, 1), (1, 7)] {
        let windows = Windows::new(ids.clone(), context, stride).unwrap();
        assert_eq!(windows.count(), (ids.len() - context).div_ceil(stride));
        for window in 0..windows.count() {
            let (x, y) = windows.pair(window);
            let start = window * stride;
            assert_eq!((x.len(), y.len()), (context, context));
            assert_eq!(x, &ids[start..start + context]);
            assert_eq!(y, &ids[start + 1..start + context + 1]);
        }
    }
    let windows = Windows::new(ids.clone(), 64, 1).unwrap();
    assert_eq!(windows.count(), 1512 - 64);
    let epoch = windows.batches(7, 0, 32);
    assert!(
        epoch.len() == 45 && epoch.iter().all(|batch| batch.len() == 32),
        "drop_last"
    );
    let seen: BTreeSet<usize> = epoch.concat().into_iter().collect();
    assert_eq!(seen.len(), 45 * 32, "none twice");
    let mut all = windows.batches(7, 0, 1).concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..windows.count()));
    assert_eq!(epoch, windows.batches(7, 0, 32));
    assert_ne!(epoch, windows.batches(7, 1, 32));
    assert_ne!(epoch, windows.batches(8, 0, 32));
    let batch = windows.batch(&epoch[3]).unwrap();
    assert_eq!(batch.ids.dims(), [32, 64]);
    let read: Vec<Vec<u32>> = batch.ids.to_vec2().unwrap();
    for (row, &window) in epoch[3].iter().enumerate() {
        let (x, y) = windows.pair(window);
        assert_eq!(read[row], x);
        let targets = &batch.targets[row * 64..(row + 1) * 64];
        assert!(targets.iter().zip(y).all(|(&a, &b)| a == i64::from(b)));
    }
}

#[test]
fn texts_that_make_no_window_are_refused_with_their_length() {
    for (length, context, stride) in [(64, 64, 1), (0, 4, 1), (9, 0, 1), (9, 4, 0)] {
        let error = Windows::new(vec![0; length], context, stride).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
    }
    let error = Windows::new(vec![0; 64], 64, 1).unwrap_err().to_string();
    assert_eq!(
        error,
        "text: has 64 characters, expected more than the context of 64"
    );
    let config = TINY.config(1, &Recipe::FAITHFUL).unwrap();
    let error = CharRun::start(vec![0; 11], &config, SHORT, 7)
        .unwrap_err()
        .to_string();
    assert_eq!(error, "text: has 3 windows, expected a batch of 4 or more");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.txt");
    std::fs::write(&path, "é".repeat(20_001)).unwrap();
    let error = read_page(Some(&path)).unwrap_err().to_string();
    assert!(
        error.ends_with("book.txt: has 20001 characters, expected a page of up to 20000"),
        "{error}"
    );
    assert_eq!(
        read_page(Some(&folder.path().join("none.txt")))
            .unwrap_err()
            .exit_code(),
        3
    );
    assert_eq!(read_page(None).unwrap(), PAGE);
}

#[test]
fn the_floor_is_the_one_counted_elsewhere() {
    let expected = fixture();
    let (chars, ids) = page();
    assert_eq!(expected["characters"], ids.len());
    assert_eq!(expected["vocab_size"], chars.vocab_size());
    let unigram = expected["unigram_entropy"].as_f64().unwrap();
    near("unigram", &[unigram_entropy(&ids)], &[unigram], CLOSE);
    let windows = Windows::new(ids.clone(), 64, 1).unwrap();
    let by_position = floor_by_position(&windows);
    near(
        "floor",
        &by_position,
        &numbers(&expected["floor_by_position"]),
        CLOSE,
    );
    // The textbook version pools all positions; it must come to the same sum.
    near(
        "textbook",
        &[floor(&windows)],
        &[textbook_floor(&continuations(&ids, 64))],
        CLOSE,
    );
    assert!(
        floor(&windows) > 0.06 && floor(&windows) < 0.07,
        "{}",
        floor(&windows)
    );

    let hello = CharTokenizer::from_text("hello hello")
        .encode("hello hello")
        .unwrap();
    let windows = Windows::new(hello, 4, 1).unwrap();
    near(
        "hello",
        &[floor(&windows)],
        &[2.0 * f64::ln(2.0) / 28.0],
        CLOSE,
    );
    near(
        "hello",
        &floor_by_position(&windows),
        &numbers(&expected["hello_floor_by_position"]),
        CLOSE,
    );
    // Every context of "abcdef" is unique, and of "aaaa" known.
    for text in [vec![0, 1, 2, 3, 4, 5], vec![0; 9]] {
        assert_eq!(floor(&Windows::new(text, 3, 1).unwrap()), 0.0);
    }
}

#[test]
fn rates_are_pytorchs_staircase_and_warmup_is_a_ramp() {
    let recipe = Recipe::FAITHFUL;
    let rates: Vec<f64> = (0..100)
        .map(|epoch| recipe.rate(epoch, epoch * 45))
        .collect();
    near("rates", &rates, &numbers(&fixture()["rates"]), RATE);
    // One stair for each epoch: every step of it has the same rate.
    assert!((0..45).all(|step| recipe.rate(3, 135 + step) == recipe.rate(3, 135)));
    let fast = Recipe::FAST;
    near(
        "ramp",
        &[fast.rate(0, 0), fast.rate(0, 49)],
        &[4e-5, 2e-3],
        RATE,
    );
    assert_eq!((fast.rate(0, 99), fast.rate(0, 180)), (4e-3, 4e-3));
}

#[test]
fn losses_start_at_ln_v_and_end_at_the_floor() {
    let recipe = Recipe {
        epochs: 60,
        dropout: 0.0,
        ..SHORT
    };
    let (chars, mut run) = tiny(recipe, 7);
    let floors = floor_by_position(&run.windows);
    let before = mean(&losses_by_position(&run.model, &run.windows).unwrap());
    assert!(
        (before - (chars.vocab_size() as f64).ln()).abs() < 0.2,
        "{before}"
    );
    run.train(None, |_| {}).unwrap();
    let after = losses_by_position(&run.model, &run.windows).unwrap();
    for (position, (loss, floor)) in after.iter().zip(&floors).enumerate() {
        assert!(*loss >= floor - MEAN, "{position}: {loss} is below {floor}");
    }
    let (found, lowest) = (mean(&after), mean(&floors));
    assert!(
        found <= lowest + 0.05,
        "{found} against a floor of {lowest}"
    );
    let text =
        chars.decode(&write_greedy(&run.model, &chars.encode("the cat s").unwrap(), 8).unwrap());
    assert_eq!(text.unwrap(), "at on th");
}

#[test]
fn a_run_that_stopped_is_the_run_that_did_not() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut whole) = tiny(SHORT, 7);
    whole.train(None, |_| {}).unwrap();
    let (_, mut first) = tiny(SHORT, 7);
    first.epoch(|_| {}).unwrap();
    first.epoch(|_| {}).unwrap();
    first.save(folder.path()).unwrap();
    let (_, mut second) = tiny(SHORT, 7);
    assert!(second.resume(folder.path()).unwrap());
    assert_eq!(second.losses().len(), 2);
    let mut steps = Vec::new();
    while !second.is_done() {
        second.epoch(|report| steps.push(report.step)).unwrap();
    }
    assert_eq!(steps.first(), Some(&(2 * whole.steps_per_epoch() + 1)));
    assert_eq!(weights(&whole), weights(&second), "bit for bit");
    near("losses", second.losses(), whole.losses(), CLOSE);
}

#[test]
fn only_the_same_run_goes_on_and_damage_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut first) = tiny(SHORT, 7);
    first.epoch(|_| {}).unwrap();
    let saved = || std::fs::read_dir(folder.path()).unwrap().count();
    for other in [
        tiny(SHORT, 8).1,
        tiny(Recipe { epochs: 5, ..SHORT }, 7).1,
        tiny(
            Recipe {
                dropout: 0.2,
                ..SHORT
            },
            7,
        )
        .1,
    ] {
        first.save(folder.path()).unwrap();
        let mut other = other;
        assert!(!other.resume(folder.path()).unwrap());
        assert_eq!(
            (other.losses().len(), saved()),
            (0, 0),
            "another run's state is removed"
        );
    }
    assert!(
        !tiny(SHORT, 7)
            .1
            .resume(&folder.path().join("none"))
            .unwrap()
    );
    first.save(folder.path()).unwrap();
    let file = folder.path().join("step-00000009/parameters.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let error = tiny(SHORT, 7)
        .1
        .resume(folder.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("parameters.safetensors"), "{error}");
}
