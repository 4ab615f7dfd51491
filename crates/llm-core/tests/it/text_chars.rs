//! The character tokenizer: the vocabulary of the first lesson, errors that name their cause.

use llm_core::text::chars::CharTokenizer;
use proptest::prelude::*;

#[test]
fn the_lesson_text_has_the_published_ids() {
    let tokenizer = CharTokenizer::from_text("hello hello");
    assert_eq!(tokenizer.chars(), [' ', 'e', 'h', 'l', 'o']);
    assert_eq!(tokenizer.vocab_size(), 5);
    let ids = tokenizer.encode("hello hello").unwrap();
    assert_eq!(ids, [2, 1, 3, 3, 4, 0, 2, 1, 3, 3, 4]);
    assert_eq!(tokenizer.decode(&ids).unwrap(), "hello hello");
}

#[test]
fn an_unknown_character_or_id_is_named() {
    let tokenizer = CharTokenizer::from_text("hello");
    let error = tokenizer.encode("heé").unwrap_err().to_string();
    assert!(error.contains("'é' (U+00E9) at place 2"), "{error}");
    let error = tokenizer.decode(&[0, 4]).unwrap_err().to_string();
    assert!(error.contains("id 4 is not below 4"), "{error}");
    let empty = CharTokenizer::from_text("");
    assert_eq!(empty.encode("").unwrap(), [0u32; 0]);
    assert!(empty.encode("a").is_err());
}

#[test]
fn a_file_of_another_form_is_refused() {
    for bad in [
        "",
        "[]",
        r#"{"type":"bpe","characters":["a"]}"#,
        r#"{"type":"characters"}"#,
        r#"{"type":"characters","characters":["ab"]}"#,
        r#"{"type":"characters","characters":[""]}"#,
        r#"{"type":"characters","characters":[1]}"#,
        r#"{"type":"characters","characters":["b","a"]}"#,
        r#"{"type":"characters","characters":["a","a"]}"#,
    ] {
        let error = CharTokenizer::from_json("chars.json", bad)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("chars.json: ") && !error.contains('\n'),
            "{bad}: {error}"
        );
    }
}

proptest! {
    #[test]
    fn what_is_saved_is_what_is_loaded(text in "\\PC*") {
        let tokenizer = CharTokenizer::from_text(&text);
        let loaded = CharTokenizer::from_json("memory", &tokenizer.to_json()).unwrap();
        prop_assert_eq!(&tokenizer, &loaded);
        let ids = loaded.encode(&text).unwrap();
        prop_assert_eq!(loaded.decode(&ids).unwrap(), text);
    }
}
