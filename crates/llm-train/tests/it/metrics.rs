//! Metrics against rouge-score, sacrebleu, torchmetrics and transformers (`tools/oracle/metrics.py`),
//! and what must hold for every text.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use llm_core::model::Decoder;
use llm_core::ops::Ops;
use llm_core::params::Mode;
use llm_core::text::hf::HfTokenizer;
use llm_store::ModelFolder;
use llm_train::evaluate::{example_losses, mean_loss};
use llm_train::labels::Example;
use llm_train::metrics::bleu::{BleuCounts, sentence_bleu};
use llm_train::metrics::likelihood::{bits_per_byte, perplexity};
use llm_train::metrics::overlap::{f1, jaccard};
use llm_train::metrics::rouge::rouge;
use llm_train::metrics::{Overlap, Pair, RowScores, corpus, row, rows_and_corpus};
use proptest::prelude::*;
use serde_json::Value;

/// The same sums of the same counts, at most in another order.
const SAME: f64 = 1e-12;
/// torchmetrics computes F1 in f32.
const SINGLE: f64 = 1e-6;
/// BLEU is a hundred times as large, and goes through logarithms.
const BLEU: f64 = 1e-9;

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn json(name: &str) -> Value {
    serde_json::from_str(&fixture(name)).unwrap()
}

fn pairs() -> Vec<Pair> {
    let text = fixture("pairs.jsonl");
    let lines = text.split('\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn near(what: &str, found: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    let gap = (found - expected).abs();
    assert!(
        gap <= tolerance,
        "{what}: {found} and {expected}, |Δ| = {gap:e}, tolerance {tolerance:e}"
    );
}

#[test]
fn two_hundred_rows_are_those_of_the_packages() {
    let (pairs, expected) = (pairs(), json("expected.json"));
    assert_eq!(pairs.len(), 200);
    for (index, pair) in pairs.iter().enumerate() {
        let (prediction, reference) = (&pair.prediction, &pair.reference);
        let expected = &expected["rows"][index];
        let what = |name: &str| format!("row {}: {name} of {pair:?}", index + 1);
        let (scores, rouge) = (row(prediction, reference), rouge(prediction, reference));
        near(&what("EM"), scores.exact_match, &expected["exact_match"], 0.0);
        near(&what("Jaccard"), scores.jaccard, &expected["jaccard"], SAME);
        near(&what("F1"), scores.f1, &expected["f1"], SINGLE);
        let named = [("rouge1", rouge.rouge1), ("rouge2", rouge.rouge2), ("rougeL", rouge.rouge_l)];
        for (name, Overlap { precision, recall, f1 }) in named {
            for (place, found) in [precision, recall, f1].into_iter().enumerate() {
                near(&what(name), found, &expected[name][place], SAME);
            }
        }
        let bleu = sentence_bleu(prediction, reference);
        near(&what("BLEU"), bleu, &expected["sentence_bleu"], BLEU);
    }
}

#[test]
fn the_set_is_that_of_the_packages() {
    let (found, expected) = (corpus(&pairs()), &json("expected.json")["corpus"]);
    let counts: BleuCounts = pairs()
        .iter()
        .map(|pair| BleuCounts::of(&pair.prediction, &pair.reference))
        .sum();
    let list = |key: &str| -> Vec<usize> {
        let list = expected[key].as_array().unwrap().iter();
        list.map(|count| count.as_u64().unwrap() as usize).collect()
    };
    assert_eq!(counts.matches.to_vec(), list("matches"));
    assert_eq!(counts.totals.to_vec(), list("totals"));
    assert_eq!([counts.predicted, counts.expected].to_vec(), list("lengths"));
    near("BLEU", found.bleu, &expected["bleu"], BLEU);
    near("EM", found.exact_match, &expected["exact_match"], SAME);
    near("F1", found.f1, &expected["f1"], SINGLE);
    near("Jaccard", found.jaccard, &expected["jaccard"], SAME);
    near("ROUGE-1", found.rouge1, &expected["rouge1"], SAME);
    near("ROUGE-2", found.rouge2, &expected["rouge2"], SAME);
    near("ROUGE-L", found.rouge_l, &expected["rougeL"], SAME);
}

#[test]
fn without_rows_everything_is_zero() {
    let (rows, corpus) = rows_and_corpus(&[]);
    assert!(rows.is_empty());
    assert_eq!(corpus, llm_train::metrics::Corpus::default());
}

#[test]
fn long_texts_are_scored_in_full() {
    // 3,000 words against the same in another order of halves: the longest common half counts.
    let words: Vec<String> = (0..3000).map(|n| format!("w{n}")).collect();
    let (first, last) = words.split_at(1200);
    let swapped = [last, first].concat().join(" ");
    let scores = rouge(&swapped, &words.join(" "));
    assert_eq!(scores.rouge1.f1, 1.0);
    assert_eq!(scores.rouge_l.recall, 1800.0 / 3000.0);
}

/// Text with the characters that tokenizers look at.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-cA ,.&;<>0-9\u{e9}\u{65e5}\u{301}\\n-]{0,40}",
        Just(String::new()),
        "[ \\n\\t\u{a0}]{0,4}",
    ]
}

fn values(scores: &RowScores) -> [f64; 6] {
    let RowScores {
        exact_match,
        f1,
        jaccard,
        rouge1,
        rouge2,
        rouge_l,
    } = *scores;
    [exact_match, f1, jaccard, rouge1, rouge2, rouge_l]
}

proptest! {
    #[test]
    fn a_text_matches_itself(x in text()) {
        let scores = row(&x, &x);
        prop_assert_eq!((scores.exact_match, scores.f1, scores.jaccard), (1.0, 1.0, 1.0));
        // A text without a word of ASCII has no ROUGE, and one word has no pairs.
        for part in [scores.rouge1, scores.rouge2, scores.rouge_l] {
            prop_assert!(part == 0.0 || part == 1.0);
        }
        prop_assert_eq!(row(&format!("  {x}\n"), &x).exact_match, 1.0);
    }

    #[test]
    fn shares_are_shares_and_f_measures_symmetric(a in text(), b in text()) {
        let (there, back) = (row(&a, &b), row(&b, &a));
        prop_assert!(values(&there).iter().all(|part| (0.0..=1.0).contains(part)));
        for (x, y) in values(&there).into_iter().zip(values(&back)) {
            prop_assert!((x - y).abs() <= SAME);
        }
        prop_assert_eq!(jaccard(&a, &b), jaccard(&b, &a));
        prop_assert_eq!(f1(&a, ""), f1("", &a));
        let bleu = sentence_bleu(&a, &b);
        prop_assert!((0.0..=100.0 + BLEU).contains(&bleu), "{bleu}");
    }

    #[test]
    fn a_corpus_equal_to_its_references_has_bleu_100(
        texts in prop::collection::vec(text(), 0..6)
    ) {
        let same = |text: &String| Pair { prediction: text.clone(), reference: text.clone() };
        let mut pairs: Vec<Pair> = texts.iter().map(same).collect();
        pairs.push(same(&"one sentence of five words".into())); // or no order of four may exist
        let found = corpus(&pairs);
        prop_assert!((found.bleu - 100.0).abs() <= BLEU, "{}", found.bleu);
        prop_assert_eq!((found.exact_match, found.f1, found.jaccard), (1.0, 1.0, 1.0));
    }

    #[test]
    fn the_order_of_rows_does_not_matter(
        pairs in prop::collection::vec((text(), text()), 1..8)
    ) {
        let pair = |(prediction, reference): (String, String)| Pair { prediction, reference };
        let forward: Vec<Pair> = pairs.into_iter().map(pair).collect();
        let backward: Vec<Pair> = forward.iter().rev().cloned().collect();
        let (a, b) = (corpus(&forward), corpus(&backward));
        prop_assert_eq!(a.bleu, b.bleu);
        for (x, y) in [(a.f1, b.f1), (a.rouge_l, b.rouge_l), (a.jaccard, b.jaccard)] {
            prop_assert!((x - y).abs() <= SAME);
        }
    }
}

/// The bundled model with its tokenizer.
fn bundled() -> (Decoder, HfTokenizer) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../output_models/deeper-base");
    let folder = ModelFolder::open(&path).unwrap();
    let (model, _) = Decoder::load(
        &folder.config,
        folder.tensors().unwrap(),
        Mode::Frozen,
        DType::F32,
        &Device::Cpu,
    )
    .unwrap();
    (model, HfTokenizer::from_file(folder.tokenizer().unwrap()).unwrap())
}

#[test]
fn perplexity_is_that_of_transformers() {
    /// Means of some 200 losses in f32.
    const RELATIVE: f64 = 1e-6;
    let expected = json("perplexity.json");
    let (model, tokenizer) = bundled();
    let ids = tokenizer
        .encode_with_special(expected["text"].as_str().unwrap())
        .unwrap();
    assert_eq!(serde_json::json!(ids), expected["ids"]);
    let labels = ids.iter().map(|&id| i64::from(id)).collect();
    let parts = example_losses(&model, &[Example { ids, labels }], 1, 0, &Device::Cpu).unwrap();
    let part = parts[0];
    for key in ["f32", "f64"] {
        let theirs = expected[key].as_f64().unwrap();
        let gap = (mean_loss(&parts) / theirs - 1.0).abs();
        assert!(gap <= RELATIVE, "loss against {key}: {gap:e}");
        let ours = perplexity(part.sum, part.weight as usize);
        let gap = (ours / theirs.exp() - 1.0).abs();
        assert!(gap <= 10.0 * RELATIVE, "perplexity against {key}: {gap:e}");
    }
}

#[test]
fn a_model_that_knows_nothing_is_as_perplexed_as_its_vocabulary_is_large() {
    for v in [2_usize, 31, 2048] {
        let tokens = 64;
        let targets: Vec<i64> = (0..tokens).map(|t| (t * 7 % v) as i64).collect();
        for (dtype, relative) in [(DType::F64, SAME), (DType::F32, SINGLE)] {
            let logits = Tensor::zeros((tokens, v), dtype, &Device::Cpu).unwrap();
            let loss = Ops::Fused.cross_entropy(&logits, &targets, 1.0).unwrap();
            let nats = loss.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap();
            let gap = (perplexity(nats, tokens) / v as f64 - 1.0).abs();
            assert!(gap <= relative, "{v} tokens in {dtype:?}: {gap:e}");
        }
    }
}

#[test]
fn the_same_text_under_two_tokenizers_compares_in_bits_per_byte() {
    // Both know only how often each of their own tokens stands in the text. The words of the
    // trained tokenizer say more about the text than its bytes do, so they need fewer bits.
    let expected = json("perplexity.json");
    let text = expected["text"].as_str().unwrap();
    let (_, tokenizer) = bundled();
    let pieces = tokenizer.encode_with_special(text).unwrap();
    let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
    let cost = |ids: &[u32]| -> f64 {
        let of = |id| ids.iter().filter(|&&other| other == id).count() as f64;
        ids.iter().map(|&id| -(of(id) / ids.len() as f64).ln()).sum()
    };
    let bits = |ids: &[u32]| bits_per_byte(cost(ids), text.len());
    let (piece_bits, byte_bits) = (bits(&pieces), bits(&bytes));
    assert!((1.0..8.0).contains(&piece_bits) && piece_bits < byte_bits, "{piece_bits} {byte_bits}");
    // Per token the order is the other way round: a piece is harder to guess than a byte.
    let per_token = |ids: &[u32]| perplexity(cost(ids), ids.len());
    assert!(per_token(&pieces) > 1.5 * per_token(&bytes));
}
