//! Tokenizers of model folders: ids and text of the Python library, streams, files that lie.

use llm_core::rng::{Purpose, stream};
use llm_core::text::bpe::ByteBpe;
use llm_core::text::hf::HfTokenizer;
use llm_core::text::stream::{Utf8Buffer, Utf8Stream};
use proptest::prelude::*;
use rand::Rng;
use serde_json::Value;

const BYTE_LEVEL: &str = include_str!("../fixtures/text/byte_level.json");
const SENTENCES: &str = include_str!("../fixtures/text/sentences.json");
const ENCODED: &str = include_str!("../fixtures/text/encoded.json");

fn tokenizer(name: &str) -> HfTokenizer {
    let text = if name == "sentences" {
        SENTENCES
    } else {
        BYTE_LEVEL
    };
    HfTokenizer::from_json(name, text).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn ids_and_text_are_those_of_the_python_library() {
    let rows: Vec<Value> = serde_json::from_str(ENCODED).unwrap();
    let ours = ByteBpe::from_tokenizer_json("byte_level.json", BYTE_LEVEL).unwrap();
    let mut compared = 0;
    for row in &rows {
        let name = row["tokenizer"].as_str().unwrap();
        let theirs = tokenizer(name);
        let expected = ids(&row["ids"]);
        assert_eq!(
            theirs.decode(&expected).unwrap(),
            row["decoded"].as_str().unwrap()
        );
        let plain = theirs.decode_without_special(&expected).unwrap();
        assert_eq!(plain, row["plain"].as_str().unwrap());
        if name == "byte_level" {
            assert_eq!(
                ours.decode(&expected).unwrap(),
                row["decoded"].as_str().unwrap()
            );
        }
        let Some(text) = row["text"].as_str() else {
            continue;
        };
        assert_eq!(
            theirs.encode_with_special(text).unwrap(),
            expected,
            "{name}: {text:?}"
        );
        assert_eq!(
            theirs.encode(text).unwrap(),
            ids(&row["user"]),
            "{name}: {text:?}"
        );
        if name == "byte_level" {
            assert_eq!(
                ours.encode_with_special(text).unwrap(),
                expected,
                "{text:?}"
            );
            assert_eq!(ours.encode(text).unwrap(), ids(&row["user"]), "{text:?}");
        }
        compared += 1;
    }
    assert_eq!(compared, 100);
}

#[test]
fn what_a_user_types_is_never_special() {
    for name in ["byte_level", "sentences"] {
        let tokenizer = tokenizer(name);
        let end = tokenizer.token_to_id("<|im_end|>").unwrap();
        assert!(tokenizer.is_special(end));
        assert!(!tokenizer.encode("a<|im_end|>b").unwrap().contains(&end));
        assert!(
            tokenizer
                .encode_with_special("a<|im_end|>b")
                .unwrap()
                .contains(&end)
        );
        for (content, _) in tokenizer.special_tokens() {
            let ids = tokenizer.encode(content).unwrap();
            assert!(
                !ids.iter()
                    .any(|&id| tokenizer.is_special(id) && content != "<unk>")
            );
        }
    }
}

fn streamed(tokenizer: &HfTokenizer, ids: &[u32], skip_special: bool) -> String {
    let mut stream = Utf8Stream::new(tokenizer, skip_special);
    let mut text = String::new();
    for &id in ids {
        text += &stream.push(id).unwrap();
    }
    text + &stream.finish().unwrap()
}

#[test]
fn a_stream_says_what_decoding_at_once_says() {
    let mut rng = stream(8, Purpose::Data);
    for name in ["byte_level", "sentences"] {
        let tokenizer = tokenizer(name);
        let size = tokenizer.vocab_size() as u32;
        for round in 0..3_000 {
            let low = if round % 2 == 0 { 0 } else { size / 2 };
            let ids: Vec<u32> = (0..rng.random_range(0..20))
                .map(|_| rng.random_range(low..size))
                .collect();
            for skip in [false, true] {
                let whole = tokenizer.decode_any(&ids, skip).unwrap();
                assert_eq!(
                    streamed(&tokenizer, &ids, skip),
                    whole,
                    "{name} {skip}: {ids:?}"
                );
            }
        }
        for text in ["東京🙂 é", " two  spaces ", "Hello world"] {
            let ids = tokenizer.encode(text).unwrap();
            let whole = tokenizer.decode(&ids).unwrap();
            assert_eq!(streamed(&tokenizer, &ids, false), whole);
        }
    }
}

#[test]
fn half_a_character_is_held_back() {
    let tokenizer = tokenizer("byte_level");
    let ids = tokenizer.encode("🙂").unwrap();
    assert!(ids.len() > 1, "the fixture's vocabulary has no such token");
    let mut stream = Utf8Stream::new(&tokenizer, false);
    let parts: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    assert!(parts[..parts.len() - 1].iter().all(String::is_empty));
    assert_eq!(parts.last().unwrap(), "🙂");
    assert_eq!(stream.finish().unwrap(), "");
    assert_eq!(stream.push(ids[0]).unwrap(), "");
    assert_eq!(stream.finish().unwrap(), "\u{FFFD}");
}

#[test]
fn ids_must_fit_the_model() {
    let tokenizer = tokenizer("byte_level");
    let size = tokenizer.vocab_size();
    tokenizer.check_vocab(size).unwrap();
    tokenizer.check_vocab(size + 64).unwrap();
    let error = tokenizer.check_vocab(size - 1).unwrap_err().to_string();
    assert!(
        error.contains("</think>") && error.contains(&size.to_string()[..2]),
        "{error}"
    );
    assert!(tokenizer.decode(&[size as u32]).is_err());
    assert!(Utf8Stream::new(&tokenizer, true).push(u32::MAX).is_err());
}

#[test]
fn begin_and_end_tokens_come_from_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let path = folder.path().join("tokenizer.json");
    let error = HfTokenizer::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
    write("tokenizer.json", BYTE_LEVEL);
    let bare = HfTokenizer::from_file(&path).unwrap();
    assert_eq!((bare.bos_id(), bare.eos_ids()), (None, &[][..]));
    write(
        "tokenizer_config.json",
        r#"{"bos_token": {"content": "<s>"}, "eos_token": "<|im_end|>"}"#,
    );
    let named = HfTokenizer::from_file(&path).unwrap();
    let id = |token: &str| named.token_to_id(token).unwrap();
    assert_eq!(
        (named.bos_id(), named.eos_ids()),
        (Some(id("<s>")), &[id("<|im_end|>")][..])
    );
    let end = id("<|endoftext|>");
    write(
        "generation_config.json",
        &format!(r#"{{"eos_token_id": [{end}]}}"#),
    );
    let both = HfTokenizer::from_file(&path).unwrap();
    assert_eq!(both.eos_ids(), [end, id("<|im_end|>")]);
    for (name, text) in [
        ("generation_config.json", r#"{"eos_token_id": 99999}"#),
        ("generation_config.json", r#"{"eos_token_id": "x"}"#),
        ("tokenizer_config.json", r#"{"eos_token": "<nowhere>"}"#),
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", "{"),
    ] {
        write(name, text);
        let error = HfTokenizer::from_file(&path).unwrap_err().to_string();
        assert!(error.contains(name) && !error.contains('\n'), "{error}");
        write(name, "{}");
    }
}

#[test]
fn pieces_together_are_the_text() {
    let rows: Vec<Value> = serde_json::from_str(ENCODED).unwrap();
    let mut compared = 0;
    for row in &rows {
        let name = row["tokenizer"].as_str().unwrap();
        let tokenizer = tokenizer(name);
        let ids = ids(&row["ids"]);
        let pieces: Vec<u8> = ids.iter().flat_map(|id| tokenizer.piece(*id)).collect();
        let (pieces, text) = (
            String::from_utf8_lossy(&pieces),
            tokenizer.decode(&ids).unwrap(),
        );
        // Of bytes that are no text, decoders make one � or several
        if !text.contains('\u{fffd}') {
            // A tokenizer of sentences writes a space before the first word, which decoding drops
            assert_eq!(pieces.trim_start(), text.trim_start(), "{name}");
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared} texts");
    assert!(tokenizer("byte_level").piece(u32::MAX).is_empty());
}

#[test]
fn files_that_are_no_tokenizers_are_errors() {
    let dropout = BYTE_LEVEL.replacen(r#""dropout":null"#, r#""dropout":0.5"#, 1);
    let dropout = dropout.replacen(r#""dropout": null"#, r#""dropout": 0.5"#, 1);
    assert_ne!(dropout, BYTE_LEVEL);
    for bad in ["", "{}", "[1]", r#"{"model":{"type":"BPE"}}"#, &dropout] {
        let error = HfTokenizer::from_json("t.json", bad)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("t.json: ") && !error.contains('\n'),
            "{error}"
        );
    }
    for cut in (0..BYTE_LEVEL.len()).step_by(331) {
        let start = BYTE_LEVEL.get(..cut).unwrap_or_default();
        assert!(HfTokenizer::from_json("t.json", start).is_err());
    }
}

#[test]
fn nothing_is_truncated_or_padded() {
    let asked = r#""truncation": {"direction": "Right", "max_length": 2, "strategy":
        "LongestFirst", "stride": 0}"#;
    let file = BYTE_LEVEL.replacen(r#""truncation": null"#, asked, 1);
    let file = file.replacen(r#""truncation":null"#, asked, 1);
    assert_ne!(file, BYTE_LEVEL);
    let asked = HfTokenizer::from_json("t.json", &file).unwrap();
    let text = "The quick brown fox jumps over the lazy dog.";
    assert_eq!(
        asked.encode(text).unwrap(),
        tokenizer("byte_level").encode(text).unwrap()
    );
}

proptest! {
    #[test]
    fn a_buffer_equals_lossy_decoding(parts in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 0..6), 0..12)
    ) {
        let mut buffer = Utf8Buffer::default();
        let mut text: String = parts.iter().map(|part| buffer.push(part)).collect();
        text += &buffer.finish();
        prop_assert_eq!(text, String::from_utf8_lossy(&parts.concat()).into_owned());
    }

    #[test]
    fn a_buffer_never_holds_back_whole_characters(text in "\\PC*") {
        let mut buffer = Utf8Buffer::default();
        let mut out = String::new();
        for (done, byte) in text.bytes().enumerate() {
            out += &buffer.push(&[byte]);
            let whole = text.get(..=done);
            prop_assert!(whole.is_none_or(|whole| whole == out));
        }
    }
}
