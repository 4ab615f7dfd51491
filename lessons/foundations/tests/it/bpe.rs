//! Byte pair encoding: the merges of the textbook, own text, the saved file.

use std::path::Path;

use llm_core::text::bpe::ByteBpe;

use crate::{picture, promises, refused, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_bpe_from_scratch");

#[test]
fn bpe_from_scratch_keeps_its_promises() {
    promises(PROGRAM, "bpe_from_scratch", "13").check().unwrap();
}

/// The rows of the first table: merge, pair, count, tied, tokens left.
fn merges(args: &[&str]) -> Vec<Vec<String>> {
    let output = run(PROGRAM, args);
    assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
    let rows = output.stdout.lines().skip_while(|line| !line.contains("left|right")).skip(2);
    let rows = rows.take_while(|line| !line.contains("check") && !line.trim().is_empty());
    rows.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn the_merges_are_those_of_the_reference_with_their_counts_and_ties() {
    let rows = merges(&[]);
    let expected = [
        "1 a|t 6 1 36",
        "2 at|· 5 1 31",
        "3 t|h 4 3 27",
        "4 th|e 4 2 23",
        "5 the|· 4 1 19",
        "6 the·|c 3 2 16",
        "7 the·c|at· 3 1 13",
        "8 the·cat·|s 2 1 11",
    ];
    let shown: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
    assert_eq!(shown[..8], expected);
    assert_eq!(rows.len(), 10);
    assert_eq!(rows[9][4], "9", "tokens after ten merges");
}

#[test]
fn own_text_runs_out_of_pairs_and_words_keep_merges_apart() {
    // Two merges make `aa` and then `aaaa`; no third pair is there.
    assert_eq!(merges(&["--text", "aaaa", "--merges", "500"]).len(), 2);
    for split in ["gpt2", "qwen2"] {
        for row in merges(&["--split", split]) {
            // A space can only begin a piece: it belongs to the word after it.
            let whole = row[1].replace('|', "");
            assert!(!whole.trim_start_matches('·').contains('·'), "{split}: {row:?}");
        }
    }
    for text in ["日本日本", "🙂🙂", "\u{1b}[31m \t\n", "ab", "<|endoftext|><|endoftext|>"]
    {
        let output = run(PROGRAM, &["--text", text]);
        assert_eq!(output.code, Some(0), "{text:?}: {}", output.stderr);
        assert!(!output.stdout.contains('\u{1b}'), "{text:?} reached the terminal");
    }
}

#[test]
fn impossible_sizes_are_explained() {
    for merges in ["0", "501"] {
        refused(PROGRAM, &["--merges", merges], "expected 1 to 500", "--merges 10");
    }
    for text in ["", "x", &"x".repeat(2_001)] {
        refused(PROGRAM, &["--text", text], "a pair takes two", "--text");
    }
    assert_eq!(run(PROGRAM, &["--merges", "-3"]).code, Some(2));
    assert_eq!(run(PROGRAM, &["--split", "words"]).code, Some(2));
}

#[test]
fn the_saved_file_is_the_one_that_other_libraries_were_tried_with() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bpe_from_scratch.json");
    let path = file.to_string_lossy();
    let output = run(PROGRAM, &["--save", &path]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let saved = std::fs::read_to_string(&file).unwrap();
    let tried = "../../crates/llm-core/tests/fixtures/text/bpe_lesson.json";
    let tried = Path::new(env!("CARGO_MANIFEST_DIR")).join(tried);
    assert_eq!(saved, std::fs::read_to_string(tried).unwrap());
    let bpe = ByteBpe::from_tokenizer_json("saved", &saved).unwrap();
    assert_eq!(bpe.encode("the cat sat on the mat the cat the cat sat").unwrap().len(), 9);
    let nowhere = run(PROGRAM, &["--save", "no/such/folder/t.json"]);
    assert_eq!(nowhere.code, Some(3), "{}", nowhere.stderr);
    assert!(nowhere.stderr.contains("no/such/folder/t.json"));
}

#[test]
fn the_picture_shows_what_was_merged() {
    let svg = picture(PROGRAM, &[]);
    assert!(svg.starts_with("<svg") && svg.contains("the"), "{svg}");
    assert_eq!(svg, picture(PROGRAM, &[]));
}
