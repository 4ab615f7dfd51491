//! Byte-level BPE: the published merges, round trips, and the ids of the tokenizers library.

use llm_core::rng::{Purpose, stream};
use llm_core::text::bpe::{ByteBpe, PreTokenizer, Trainer};
use proptest::prelude::*;
use rand::Rng;

/// Words, numbers, line ends, accents, scripts and emoji: something for each branch of the rules.
const CORPUS: &str = "The cat's 1234 hats; the cats' hats they'll wear.\n\n  Où est le café? \
    Ça va, l'été 2024!\r\n\tfor (i = 0; i < 100; i++) { sum += a[i]; }\n\
    Привет, мир! 你好，世界。 こんにちは 🙂👩‍👩‍👧 ½ ² Ⅷ ٣٤ नमस्ते\u{a0}x\u{3000}y  \n the the the hat hat";

fn trained(pre_tokenizer: PreTokenizer, vocab_size: usize) -> ByteBpe {
    let special_tokens = vec!["<|endoftext|>".to_owned(), "<|im_end|>".to_owned()];
    let trainer = Trainer {
        special_tokens,
        min_frequency: 1,
        ..Trainer::new(vocab_size, pre_tokenizer)
    };
    let bpe = trainer.train([CORPUS]).unwrap();
    assert_eq!(bpe.vocab_size(), vocab_size);
    bpe
}

fn rules() -> [PreTokenizer; 3] {
    [
        PreTokenizer::gpt2().unwrap(),
        PreTokenizer::qwen2().unwrap(),
        PreTokenizer::whole().unwrap(),
    ]
}

/// Text that the rules find hard: random scalar values beside runs of the corpus.
fn hard_text(rng: &mut impl Rng) -> String {
    let chars: Vec<char> = CORPUS.chars().collect();
    let mut text = String::new();
    for _ in 0..rng.random_range(0..12) {
        match rng.random_range(0..4) {
            0 => text.extend((0..rng.random_range(0..4)).map(|_| rng.random::<char>())),
            1 => text
                .push_str(["<|im_end|>", "<|im_", "  \n ", "'ll", "aaa"][rng.random_range(0..5)]),
            _ => {
                let start = rng.random_range(0..chars.len());
                text.extend(&chars[start..(start + rng.random_range(1..9)).min(chars.len())]);
            }
        }
    }
    text
}

#[test]
fn the_published_merges_are_learnt() {
    let text = "the cat sat on the mat the cat the cat sat";
    let trainer = Trainer {
        min_frequency: 1,
        ..Trainer::new(256 + 10, PreTokenizer::whole().unwrap())
    };
    let bpe = trainer.train([text]).unwrap();
    let merges: Vec<(String, String)> = bpe
        .merges()
        .into_iter()
        .map(|(left, right)| [left, right].map(|part| String::from_utf8_lossy(part).into_owned()))
        .map(|[left, right]| (left, right))
        .collect();
    let published = [
        ("a", "t"),
        ("at", " "),
        ("t", "h"),
        ("th", "e"),
        ("the", " "),
        ("the ", "c"),
        ("the c", "at "),
        ("the cat ", "s"),
    ];
    let published = published.map(|(left, right)| (left.to_owned(), right.to_owned()));
    assert_eq!(merges[..8], published);
    assert_eq!(merges.len(), 10);
    let ids = bpe.encode(text).unwrap();
    assert_eq!(ids.len(), 9);
    assert_eq!(bpe.decode(&ids).unwrap(), text);
}

#[test]
fn overlapping_pairs_count_and_merge_once() {
    // `aaa` holds one pair `aa`, and so does `aa`: three in all beside four pairs `bc`.
    let trainer = Trainer::new(257, PreTokenizer::gpt2().unwrap());
    let bpe = trainer
        .train(["aaa", "aaa", "aa", "bc", "bc", "bc", "bc"])
        .unwrap();
    assert_eq!(bpe.merges(), [(&b"b"[..], &b"c"[..])]);
    let bpe = trainer.train(["aaa", "aaa"]).unwrap();
    let pieces: Vec<_> = bpe.encode("aaa").unwrap();
    let pieces: Vec<_> = pieces
        .iter()
        .map(|&id| bpe.token_bytes(id).unwrap())
        .collect();
    assert_eq!(pieces, [&b"aa"[..], &b"a"[..]]);
}

type Pair = (Vec<u8>, Vec<u8>);

/// Counts every pair anew in each round: slow, short, and the oracle of the trainer.
fn merges_by_counting(pieces: &[&str], rounds: usize) -> Vec<Pair> {
    let mut words: Vec<Vec<Vec<u8>>> = pieces
        .iter()
        .map(|piece| piece.bytes().map(|byte| vec![byte]).collect())
        .collect();
    let mut merges = Vec::new();
    while merges.len() < rounds {
        let mut counts: Vec<(Pair, usize)> = Vec::new();
        for word in &words {
            let mut at = 0;
            let mut skip = false;
            while at + 1 < word.len() {
                let pair = (word[at].clone(), word[at + 1].clone());
                let same = at > 0 && word[at - 1] == pair.0 && pair.0 == pair.1;
                skip = same && !skip;
                if !skip {
                    match counts.iter_mut().find(|(known, _)| *known == pair) {
                        Some((_, count)) => *count += 1,
                        None => counts.push((pair, 1)),
                    }
                }
                at += 1;
            }
        }
        let most = counts.iter().map(|&(_, count)| count).max().unwrap_or(0);
        let Some((pair, _)) = counts
            .into_iter()
            .find(|&(_, count)| count == most && most > 1)
        else {
            break;
        };
        for word in &mut words {
            let mut at = 0;
            while at + 1 < word.len() {
                if word[at] == pair.0 && word[at + 1] == pair.1 {
                    let right = word.remove(at + 1);
                    word[at].extend(right);
                }
                at += 1;
            }
        }
        if !merges.contains(&pair) {
            merges.push(pair);
        }
    }
    merges
}

#[test]
fn training_equals_counting_anew_each_round() {
    let mut rng = stream(11, Purpose::Data);
    for case in 0..60 {
        let alphabet = ["ab", "abc", "abcde"][case % 3].as_bytes();
        let pieces: Vec<String> = (0..rng.random_range(1..30))
            .map(|_| {
                let length = rng.random_range(1..14);
                (0..length)
                    .map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())]))
                    .collect()
            })
            .collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let expected = merges_by_counting(&pieces, 40);
        let trainer = Trainer::new(256 + 40, PreTokenizer::whole().unwrap());
        let bpe = trainer.train(pieces.iter().copied()).unwrap();
        // Two merges may make the same token, so the trainer may need more merges than tokens.
        let learnt: Vec<_> = bpe
            .merges()
            .into_iter()
            .map(|(l, r)| (l.to_vec(), r.to_vec()))
            .collect();
        let both = learnt.len().min(expected.len());
        assert_eq!(learnt[..both], expected[..both], "case {case}: {pieces:?}");
        assert!(learnt.len() >= expected.len(), "case {case}: {pieces:?}");
    }
}

#[test]
fn ids_are_those_of_the_tokenizers_library() {
    for pre_tokenizer in rules() {
        let bpe = trained(pre_tokenizer, 400);
        let theirs = tokenizers::Tokenizer::from_bytes(bpe.to_tokenizer_json()).unwrap();
        let again = ByteBpe::from_tokenizer_json("memory", &bpe.to_tokenizer_json()).unwrap();
        let mut plain = theirs.clone();
        plain.set_encode_special_tokens(true);
        let mut rng = stream(5, Purpose::Data);
        for _ in 0..2_000 {
            let text = hard_text(&mut rng);
            let special = bpe.encode_with_special(&text).unwrap();
            assert_eq!(
                special,
                theirs.encode(&*text, false).unwrap().get_ids(),
                "{text:?}"
            );
            let user = bpe.encode(&text).unwrap();
            assert_eq!(
                user,
                plain.encode(&*text, false).unwrap().get_ids(),
                "{text:?}"
            );
            assert_eq!(again.encode(&text).unwrap(), user, "{text:?}");
            assert_eq!(bpe.decode(&user).unwrap(), text);
            assert_eq!(bpe.decode(&special).unwrap(), text);
        }
    }
}

#[test]
fn ten_thousand_strings_come_back() {
    let bpe = trained(PreTokenizer::qwen2().unwrap(), 400);
    let mut rng = stream(6, Purpose::Data);
    for _ in 0..10_000 {
        let text = hard_text(&mut rng);
        assert_eq!(bpe.decode(&bpe.encode(&text).unwrap()).unwrap(), text);
    }
}

#[test]
fn special_tokens_stand_outside() {
    let bpe = trained(PreTokenizer::gpt2().unwrap(), 400);
    let end = bpe.token_to_id("<|im_end|>").unwrap();
    assert_eq!(end as usize + 1, bpe.vocab_size());
    assert_eq!(
        bpe.encode_with_special("a<|im_end|>").unwrap().last(),
        Some(&end)
    );
    assert!(!bpe.encode("a<|im_end|>").unwrap().contains(&end));
    let mut twice = bpe.clone();
    assert!(twice.add_special_tokens(&["<|im_end|>"]).is_err());
    assert!(twice.add_special_tokens(&[""]).is_err());
    let small = Trainer::new(255, PreTokenizer::gpt2().unwrap());
    assert!(small.train(["a"]).is_err());
}

#[test]
fn digits_are_one_by_one_under_qwen2_only() {
    let count = |rule: PreTokenizer| {
        let mut pieces = Vec::new();
        rule.pieces("in 1234", &mut |piece| pieces.push(piece))
            .unwrap();
        pieces
    };
    assert_eq!(count(PreTokenizer::gpt2().unwrap()), ["in", " 1234"]);
    assert_eq!(
        count(PreTokenizer::qwen2().unwrap()),
        ["in", " ", "1", "2", "3", "4"]
    );
    assert_eq!(count(PreTokenizer::whole().unwrap()), ["in 1234"]);
}

#[test]
fn long_runs_neither_overflow_nor_stall() {
    let bpe = trained(PreTokenizer::gpt2().unwrap(), 400);
    for text in [
        " ".repeat(200_000),
        "the".repeat(100_000),
        "\n \t".repeat(100_000) + "x",
    ] {
        assert_eq!(bpe.decode(&bpe.encode(&text).unwrap()).unwrap(), text);
    }
}

#[test]
fn hostile_files_are_errors_in_one_line() {
    let good = trained(PreTokenizer::gpt2().unwrap(), 300).to_tokenizer_json();
    let cases = [
        (r#""type": "BPE""#, r#""type": "WordPiece""#),
        (r#""type": "ByteLevel""#, r#""type": "Metaspace""#),
        (r#""h e""#, r#""he""#),
        (r#""h e""#, r#""h q""#),
        (r#""h e""#, r#"7"#),
        (r#""!": 0"#, r#""!": 1"#),
        (r#""!": 0"#, r#""!": -1"#),
        (r#""!": 0"#, r#""!": 99999999999"#),
        (
            r#""normalizer": null"#,
            r#""normalizer": {"type": "Lowercase"}"#,
        ),
        (r#""byte_fallback": false"#, r#""byte_fallback": true"#),
        (r#""content": "<|im_end|>""#, r#""content": """#),
        (
            r#""content": "<|im_end|>""#,
            r#""content": "<|endoftext|>""#,
        ),
        (r#""lstrip": false"#, r#""lstrip": true"#),
    ];
    for (from, to) in cases {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from} does not occur");
        let error = ByteBpe::from_tokenizer_json("t.json", &bad)
            .unwrap_err()
            .to_string();
        assert!(!error.contains('\n') && !error.is_empty(), "{to}: {error}");
    }
    for cut in (0..good.len()).step_by(97) {
        assert!(ByteBpe::from_tokenizer_json("t.json", good.get(..cut).unwrap_or("")).is_err());
    }
    let far = good.replacen(r#""!": 0"#, r#""!": 4294967295"#, 1);
    let mut far = ByteBpe::from_tokenizer_json("t.json", &far).unwrap();
    assert!(far.add_special_tokens(&["<x>"]).is_err());
    let error = ByteBpe::from_gpt2_files(r#"{"a":0}"#, "a b", &[""; 0])
        .unwrap_err()
        .to_string();
    assert_eq!(error, "merges.txt: merge 0: `b` is not in the vocabulary");
    let bpe = ByteBpe::from_gpt2_files(r#"{"a":0}"#, "", &[""; 0]).unwrap();
    let error = bpe.encode("ab").unwrap_err().to_string();
    assert_eq!(error, "bpe: byte 0x62 (`b`) is not in the vocabulary");
    assert!(bpe.decode(&[7]).is_err());
}

proptest! {
    #[test]
    fn any_text_comes_back(text in ".*", more in "\\PC{0,40}") {
        for rule in rules() {
            let bpe = trained(rule, 300);
            for text in [&text, &more] {
                prop_assert_eq!(&bpe.decode(&bpe.encode(text).unwrap()).unwrap(), text);
            }
        }
    }

    #[test]
    fn any_ids_decode(ids in prop::collection::vec(0u32..300, 0..40)) {
        let bpe = trained(PreTokenizer::gpt2().unwrap(), 300);
        prop_assert!(bpe.decode(&ids).is_ok());
    }
}
