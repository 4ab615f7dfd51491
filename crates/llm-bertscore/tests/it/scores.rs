//! Scores: those of the package, and what must hold for any encoder.

use std::path::{Path, PathBuf};

use candle_core::DType;
use llm_bertscore::{BertScore, Options, Score};
use serde_json::Value;

/// Two layers in f32 on either side, cosines rounded to seven digits in the fixture.
const CLOSE: f64 = 5e-6;

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The pairs that the metrics of llm-train are tested on.
fn pairs() -> Vec<(String, String)> {
    let path = fixtures().join("../../../llm-train/tests/fixtures/metrics/pairs.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        let field = |key: &str| value[key].as_str().unwrap().to_owned();
        (field("prediction"), field("reference"))
    };
    text.split('\n')
        .filter(|line| !line.is_empty())
        .map(row)
        .collect()
}

fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect()
}

fn expected(family: &str, key: &str) -> Vec<[f64; 3]> {
    let text = std::fs::read_to_string(fixtures().join("expected.json")).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(value[family][key].clone()).unwrap()
}

/// An encoder of the fixtures. On one thread: its products are so small that threads would wait for
/// one another longer than they compute.
fn open(family: &str, options: &Options) -> BertScore {
    llm_core::kernels::pool::set_threads(1).unwrap();
    BertScore::open(&fixtures().join(family), options).unwrap()
}

fn numbers(score: &Score) -> [f64; 3] {
    [score.precision, score.recall, score.f1]
}

/// Scores the first `count` pairs and compares.
fn compare((family, key): (&str, &str), count: usize, options: &Options) {
    let mut pairs = pairs();
    pairs.truncate(count);
    let scorer = open(family, options);
    let mut done = 0;
    let found = scorer
        .score(&borrowed(&pairs), |so_far| done = so_far)
        .unwrap();
    assert_eq!((found.len(), done), (count, count));
    for (index, (score, theirs)) in found.iter().zip(expected(family, key)).enumerate() {
        for (ours, theirs) in numbers(score).into_iter().zip(theirs) {
            let gap = (ours - theirs).abs();
            assert!(
                gap <= CLOSE,
                "{family}, {key}, row {}: {score:?}, expected {theirs}, |Δ| = {gap:e}: {:?}",
                index + 1,
                pairs[index]
            );
        }
    }
}

#[test]
fn two_hundred_pairs_are_those_of_the_package() {
    let layers = |layers| Options {
        layers: Some(layers),
        ..Options::default()
    };
    let idf = Options {
        idf: true,
        ..Options::default()
    };
    for family in ["bert", "roberta"] {
        compare((family, "two_layers"), 200, &Options::default());
        compare((family, "one_layer"), 40, &layers(1));
        compare((family, "idf"), 200, &idf);
    }
    let spaced = Options {
        prefix_space: true,
        ..Options::default()
    };
    compare(("roberta", "prefix_space"), 40, &spaced);
    // Another expectation must not pass: the comparison sees what it should see.
    let (two, one) = (
        expected("bert", "two_layers"),
        expected("bert", "one_layer"),
    );
    let differ = two
        .iter()
        .zip(&one)
        .filter(|(a, b)| (a[2] - b[2]).abs() > 100.0 * CLOSE);
    assert!(differ.count() > 100);
}

#[test]
fn f64_agrees_with_f32() {
    let options = Options {
        dtype: DType::F64,
        ..Options::default()
    };
    compare(("bert", "two_layers"), 40, &options);
}

#[test]
fn a_text_is_most_similar_to_itself_and_an_empty_one_to_nothing() {
    for family in ["bert", "roberta"] {
        let scorer = open(family, &Options::default());
        assert_eq!(scorer.layers(), 2);
        let pairs = [
            ("the cat", "the cat"),
            ("", "the cat"),
            ("the cat", " \n"),
            ("", ""),
        ];
        let scores = scorer.score(&pairs, |_| ()).unwrap();
        for part in numbers(&scores[0]) {
            assert!((part - 1.0).abs() <= 1e-6, "{part}");
        }
        assert_eq!(scores[1..], [Score::default(); 3]);
    }
}

#[test]
fn neighbours_and_sides_do_not_matter() {
    let mut pairs = pairs();
    pairs.truncate(60);
    let scorer = open("bert", &Options::default());
    let all = scorer.score(&borrowed(&pairs), |_| ()).unwrap();
    let swapped: Vec<(&str, &str)> = borrowed(&pairs).into_iter().map(|(a, b)| (b, a)).collect();
    let back = scorer.score(&swapped, |_| ()).unwrap();
    for (there, back) in all.iter().zip(&back) {
        // One product is the other's transpose; sums may be taken in another order.
        assert!((there.precision - back.recall).abs() <= 1e-6);
        assert!((there.f1 - back.f1).abs() <= 1e-6);
    }
    for index in [20, 40, 59] {
        let alone = scorer
            .score(&borrowed(&pairs[index..=index]), |_| ())
            .unwrap();
        assert!((alone[0].f1 - all[index].f1).abs() <= 1e-6);
    }
}
