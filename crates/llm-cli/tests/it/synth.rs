//! `deeper data synth` and `deeper data tokenizer` from outside: files, tables, refusals.

use std::path::Path;

use llm_core::text::hf::HfTokenizer;
use llm_show::golden::{Output, Run};
use llm_train::data::{DataFormat, read_documents, read_rows};

fn data<'a>(folder: &Path, args: impl IntoIterator<Item = &'a str>) -> Output {
    Run::new(env!("CARGO_BIN_EXE_deeper"))
        .folder(folder)
        .args(["data"].into_iter().chain(args))
        .output()
        .unwrap()
}

fn ended(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(
        output.code,
        Some(code),
        "{}\n{}",
        output.stdout,
        output.stderr
    );
    for word in words {
        assert!(output.stderr.contains(word), "{word}: {}", output.stderr);
    }
}

const SMALL: [&str; 6] = ["synth", "--out", "corpus", "--documents", "120", "--plain"];

#[test]
fn a_corpus_and_its_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let output = data(folder.path(), SMALL.into_iter().chain(["--tasks", "5"]));
    ended(&output, 0, &["corpus"]);
    for word in ["train.txt", "sft_heldout.jsonl", "arithmetic", "30 tasks"] {
        assert!(output.stdout.contains(word), "{word}: {}", output.stdout);
    }
    assert!(
        output
            .stdout
            .lines()
            .all(|line| line.len() <= 80 && line.is_ascii())
    );
    assert_eq!(
        read_documents(&[path("corpus/train.txt")]).unwrap().len(),
        120
    );
    assert_eq!(
        read_documents(&[path("corpus/heldout.txt")]).unwrap().len(),
        6
    );
    let rows = read_rows(&[path("corpus/sft_train.jsonl")], DataFormat::Messages).unwrap();
    assert_eq!(rows.len(), 30);

    let words = [
        "tokenizer",
        "--text",
        "corpus/train.txt",
        "--vocab",
        "400",
        "--out",
        "model",
    ];
    let output = data(folder.path(), words);
    ended(&output, 0, &["model"]);
    assert!(output.stdout.contains("bytes a token"), "{}", output.stdout);
    let tokenizer = HfTokenizer::from_file(path("model/tokenizer.json")).unwrap();
    assert_eq!(tokenizer.vocab_size(), 400);
    assert_eq!(tokenizer.eos_ids(), [393, 391]);
    let again = data(folder.path(), words);
    ended(&again, 2, &["model", "hint:"]);
    ended(
        &data(folder.path(), words.into_iter().chain(["--force"])),
        0,
        &[],
    );
}

#[test]
fn one_domain_one_seed_and_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let sums = SMALL
        .into_iter()
        .chain(["--domains", "arithmetic", "--seed", "3", "--tasks", "1"]);
    let sums: Vec<&str> = sums.collect();
    let first = data(folder.path(), sums.iter().copied());
    ended(&first, 0, &[]);
    assert!(!first.stdout.contains("stories"), "{}", first.stdout);
    let read = |name: &str| std::fs::read(folder.path().join("corpus").join(name)).unwrap();
    let before = read("train.txt");
    ended(
        &data(folder.path(), sums.iter().copied()),
        2,
        &["corpus", "hint:"],
    );
    let again = data(folder.path(), sums.iter().copied().chain(["--force"]));
    assert_eq!((again.code, &again.stdout), (Some(0), &first.stdout));
    assert_eq!(read("train.txt"), before);

    for wrong in [["--domains", "poems"], ["--documents", "0"]] {
        let output = data(
            folder.path(),
            ["synth", "--out", "other"].into_iter().chain(wrong),
        );
        ended(&output, 2, &[wrong[1]]);
        assert!(!folder.path().join("other").exists());
    }
    let names = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(names.count(), 1, "no temporary folder stays");
}
