//! What the tokenizer lessons rest on: the traced training, the trees, the stages, tiktoken's
//! vocabularies, and the ids of the tokenizers library (tools/oracle/bpe_lesson.py).

use std::path::Path;

use llm_core::rng::{Purpose, stream};
use llm_core::text::bpe::{ByteBpe, PreTokenizer, Round, Trainer};
use llm_core::text::visible::tokens;
use rand::Rng;
use serde_json::Value;

/// The sentence of the reference.
const SENTENCE: &str = "the cat sat on the mat the cat the cat sat";

/// The tokenizer of the lesson: ten merges and one special token.
fn learnt(split: &str) -> (ByteBpe, Vec<Round>) {
    let trainer = Trainer {
        min_frequency: 1,
        special_tokens: vec!["<|endoftext|>".into()],
        ..Trainer::new(256 + 10 + 1, PreTokenizer::named(split).unwrap())
    };
    trainer.train_traced([SENTENCE]).unwrap()
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/text")
        .join(name)
}

/// Strings of a few letters that repeat, with some of all scripts between them.
fn texts(seed: u64, count: usize) -> Vec<String> {
    let mut rng = stream(seed, Purpose::Data);
    let mut text = |_| {
        let length = rng.random_range(0..40);
        let mut one = || match rng.random_range(0..10) {
            0 => rng.random::<char>(),
            1 => ['\n', '7', '\'', '🙂', 'é'][rng.random_range(0..5)],
            _ => ['t', 'h', 'e', ' ', 'c', 'a'][rng.random_range(0..6)],
        };
        (0..length).map(|_| one()).collect()
    };
    (0..count).map(&mut text).collect()
}

#[test]
fn each_round_has_its_count_its_ties_and_the_tokens_left() {
    let (bpe, rounds) = learnt("none");
    let told: Vec<(String, usize, usize, usize)> = rounds
        .iter()
        .map(|r| (tokens(r.pair(), true), r.count, r.tied, r.tokens))
        .collect();
    let expected = [
        ("a|t", 6, 1, 36),
        ("at|_", 5, 1, 31),
        ("t|h", 4, 3, 27),
        ("th|e", 4, 2, 23),
        ("the|_", 4, 1, 19),
        ("the_|c", 3, 2, 16),
        ("the_c|at_", 3, 1, 13),
        ("the_cat_|s", 2, 1, 11),
        ("the_cat_s|at_", 1, 10, 10),
        ("the_cat_sat_|o", 1, 9, 9),
    ];
    let expected = expected.map(|(pair, count, tied, left)| (pair.to_owned(), count, tied, left));
    assert_eq!(told, expected);
    // Rounds and merges are the same list, and encoding ends where training did.
    let merges: Vec<[&[u8]; 2]> = bpe.merges().into_iter().map(|(l, r)| [l, r]).collect();
    assert_eq!(merges, rounds.iter().map(Round::pair).collect::<Vec<_>>());
    assert_eq!(bpe.encode(SENTENCE).unwrap().len(), 9);
    let plain = Trainer {
        min_frequency: 1,
        ..Trainer::new(256 + 10, PreTokenizer::whole().unwrap())
    };
    assert_eq!(
        plain.train([SENTENCE]).unwrap().merges(),
        bpe.merges(),
        "the trace changed what is learnt"
    );
}

#[test]
fn counts_ties_and_tokens_are_those_of_counting_anew() {
    for (case, text) in texts(31, 40).iter().enumerate() {
        let trainer = Trainer {
            min_frequency: 1,
            ..Trainer::new(256 + 30, PreTokenizer::whole().unwrap())
        };
        let (bpe, rounds) = trainer.train_traced([text.as_str()]).unwrap();
        for (n, round) in rounds.iter().enumerate() {
            let before = bpe.after_merges(n);
            let pieces: Vec<&[u8]> = before.pieces(text).unwrap();
            let mut counts = std::collections::BTreeMap::new();
            let mut skip = false;
            for at in 1..pieces.len() {
                let pair = [pieces[at - 1], pieces[at]];
                let runs = at > 1 && pair[0] == pair[1] && pieces[at - 2] == pair[0];
                skip = runs && !skip;
                if !skip {
                    *counts.entry(pair).or_insert(0_usize) += 1;
                }
            }
            let most = counts.values().max().copied().unwrap_or(0);
            let tied = counts.values().filter(|count| **count == most).count();
            let left = bpe.after_merges(n + 1).encode(text).unwrap().len();
            assert_eq!(
                (round.count, round.tied, round.tokens),
                (most, tied, left),
                "case {case}, merge {}: {text:?}",
                n + 1
            );
        }
    }
}

#[test]
fn trees_have_the_ids_of_the_encoder_and_the_bytes_of_their_parts() {
    fn sound(tree: &llm_core::text::bpe::Tree) {
        match (tree.rank, tree.parts.as_slice()) {
            (None, []) => {}
            (Some(rank), [left, right]) => {
                assert_eq!([&left.bytes[..], &right.bytes[..]].concat(), tree.bytes);
                for part in [left, right] {
                    assert!(part.rank.is_none_or(|inner| inner < rank), "{part:?}");
                    sound(part);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    let corpus = texts(32, 30).join(" ");
    for split in ["none", "gpt2", "qwen2", "cl100k"] {
        let trainer = Trainer::new(340, PreTokenizer::named(split).unwrap());
        let bpe = trainer.train([corpus.as_str()]).unwrap();
        for text in texts(33, 500) {
            let trees = bpe.trees(&text).unwrap();
            let ids: Vec<u32> = trees.iter().map(|tree| tree.id).collect();
            assert_eq!(ids, bpe.encode(&text).unwrap(), "{split}: {text:?}");
            trees.iter().for_each(sound);
            let pieces: Vec<&[u8]> = trees.iter().map(|tree| &tree.bytes[..]).collect();
            assert_eq!(pieces, bpe.pieces(&text).unwrap());
        }
    }
    assert!(PreTokenizer::named("words").is_err());
}

#[test]
fn stages_end_where_the_encoder_does_and_start_with_bytes() {
    let (bpe, _) = learnt("none");
    let stages = bpe.stages("the cat sat").unwrap();
    let shown: Vec<(usize, String)> = stages
        .iter()
        .map(|(known, pieces)| (*known, tokens(pieces, true)))
        .collect();
    let expected = [
        (0, "t|h|e|_|c|a|t|_|s|a|t"),
        (1, "t|h|e|_|c|at|_|s|at"),
        (2, "t|h|e|_|c|at_|s|at"),
        (3, "th|e|_|c|at_|s|at"),
        (4, "the|_|c|at_|s|at"),
        (5, "the_|c|at_|s|at"),
        (6, "the_c|at_|s|at"),
        (7, "the_cat_|s|at"),
        (8, "the_cat_s|at"),
    ];
    assert_eq!(
        shown,
        expected.map(|(known, text)| (known, text.to_owned()))
    );
}

#[test]
fn after_merges_is_the_tokenizer_of_a_shorter_training() {
    let (bpe, rounds) = learnt("none");
    for merges in 0..=rounds.len() {
        let trainer = Trainer {
            min_frequency: 1,
            ..Trainer::new(256 + merges, PreTokenizer::whole().unwrap())
        };
        let short = trainer.train([SENTENCE]).unwrap();
        let cut = bpe.after_merges(merges);
        assert_eq!(cut.merges(), short.merges());
        assert_eq!(
            cut.token_to_id("<|endoftext|>"),
            bpe.token_to_id("<|endoftext|>")
        );
        for text in texts(34, 50) {
            assert_eq!(cut.encode(&text).unwrap(), short.encode(&text).unwrap());
        }
    }
    assert_eq!(bpe.after_merges(0).bytes_per_token(&["caté"]).unwrap(), 1.0);
    assert!(bpe.bytes_per_token(&[""; 0]).unwrap().is_nan());
}

/// The file that tools/oracle/bpe_lesson.py read is the one that is written today, and the ids
/// that it got are ours. `BLESS=1` writes the file; then run the script.
#[test]
fn the_saved_file_gives_the_same_ids_in_hugging_face_tokenizers() {
    let (bpe, _) = learnt("none");
    let path = fixture("bpe_lesson.json");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, bpe.to_tokenizer_json()).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap();
    assert_eq!(file, bpe.to_tokenizer_json(), "BLESS=1, then the script");
    let again = ByteBpe::from_tokenizer_json("bpe_lesson.json", &file).unwrap();
    let text = std::fs::read_to_string(fixture("bpe_lesson_ids.json")).unwrap();
    let theirs: Value = serde_json::from_str(&text).unwrap();
    let rows = theirs["rows"].as_array().unwrap();
    assert!(rows.len() > 150);
    for row in rows {
        let text = row["text"].as_str().unwrap();
        let ids: Vec<u32> = serde_json::from_value(row["ids"].clone()).unwrap();
        assert_eq!(bpe.encode(text).unwrap(), ids, "{text:?}");
        assert_eq!(again.encode(text).unwrap(), ids, "{text:?}");
    }
    // Their trainer breaks ties by id: from the first tie on its merges are others, as many
    // tokens are left all the same.
    let merges: Vec<[String; 2]> =
        serde_json::from_value(theirs["tokenizers_own_merges"].clone()).unwrap();
    assert_eq!(
        merges[..2],
        [["a", "t"], ["at", "Ġ"]].map(|m| m.map(str::to_owned))
    );
    assert_ne!(merges[2], ["t", "h"].map(str::to_owned));
}

#[test]
fn a_vocabulary_in_rank_order_is_enough_to_find_the_merges() {
    let corpus = texts(35, 60).join("\n");
    let trainer = Trainer::new(400, PreTokenizer::gpt2().unwrap());
    let bpe = trainer.train([corpus.as_str()]).unwrap();
    let ranks = (0..bpe.vocab_size() as u32).map(|id| (bpe.token_bytes(id).unwrap().to_vec(), id));
    let ranks: Vec<(Vec<u8>, u32)> = ranks.collect();
    let found = ByteBpe::from_ranks("ranks", ranks.clone(), PreTokenizer::gpt2().unwrap()).unwrap();
    // One token may be reached by two merges; a rank list keeps one of them.
    for text in texts(36, 500) {
        let ids = found.encode(&text).unwrap();
        assert_eq!(found.decode(&ids).unwrap(), text);
        assert_eq!(ids, bpe.encode(&text).unwrap(), "{text:?}");
    }
    let rule = || PreTokenizer::gpt2().unwrap();
    let with = |more: (&[u8], u32)| {
        let list = ranks.iter().cloned().chain([(more.0.to_vec(), more.1)]);
        ByteBpe::from_ranks("ranks", list, rule())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(with((b"new", 5)), "ranks: rank 5 is used twice");
    assert_eq!(with((b"!", 9_999)), "ranks: ranks 0 and 9999 are one token");
    assert_eq!(
        with((b"zqx", 9_999)),
        "ranks: rank 9999: no two tokens below make `zqx`"
    );
}

#[test]
fn tokens_can_be_seen() {
    let parts = [
        "a b".as_bytes(),
        b"\n",
        &"🙂".as_bytes()[..2],
        "é".as_bytes(),
    ];
    assert_eq!(tokens(parts, false), "a·b|\\n|\\xF0\\x9F|é");
    assert_eq!(tokens(parts, true), "a_b|\\n|\\xF0\\x9F|\\u{e9}");
}
