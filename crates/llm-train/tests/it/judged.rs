//! Pairs and questions as files: what is read, and what stops a run with file and line.

use std::path::PathBuf;

use llm_train::config::{Method, TrainConfig};
use llm_train::data::{read_pairs, read_questions};
use llm_train::session::Session;
use llm_train::synth::{Check, Domain, Split, comparisons, preferences, split_of};
use serde_json::json;

use crate::kit::Kit;

fn file(folder: &tempfile::TempDir, text: &str) -> Vec<PathBuf> {
    let path = folder.path().join("rows.jsonl");
    std::fs::write(&path, text).unwrap();
    vec![path]
}

#[test]
fn prompts_and_answers_are_texts_or_messages() {
    let folder = tempfile::tempdir().unwrap();
    let turns = json!([
        {"role": "system", "content": "be short"}, {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"}, {"role": "user", "content": "and?"}
    ]);
    let one = |content: &str| json!([{"role": "assistant", "content": content}]);
    let rows = [
        json!({"prompt": "p", "chosen": "a", "rejected": "b", "id": 3}),
        json!({"prompt": turns, "chosen": one("c"), "rejected": "d"}),
    ];
    let text = format!("{}\n\n{}\n", rows[0], rows[1]);
    let pairs = read_pairs(&file(&folder, &text)).unwrap();
    let answers: Vec<[&str; 2]> = pairs
        .iter()
        .map(|pair| [pair.chosen.completion(), pair.rejected.completion()])
        .collect();
    assert_eq!(answers, [["a", "b"], ["c", "d"]]);
    assert_eq!(pairs[0].chosen.prompt(), pairs[0].rejected.prompt());
    assert_eq!(pairs[1].chosen.prompt().len(), 4);
    assert_eq!((pairs[0].chosen.line, pairs[1].rejected.line), (1, 3));

    let rows = [
        json!({"prompt": "1 + 1", "completion": "<think>\nadd\n</think>\n\n2"}),
        json!({"prompt": "p", "check": {"json": [1, 2]}, "reference": "[1,2]"}),
        json!({"prompt": "p", "check": {"exact": "x"}}),
    ];
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let questions = read_questions(&file(&folder, &text)).unwrap();
    let checks: Vec<&Check> = questions.iter().map(|one| &one.check).collect();
    let exact = |text: &str| Check::Exact(text.into());
    let list = Check::Json(json!([1, 2]));
    assert_eq!(checks, [&exact("2"), &list, &exact("x")]);
    assert!(questions[0].check.holds("2") && !questions[0].check.holds("<think>2"));
    assert_eq!(questions[2].row.completion(), "x");
}

#[test]
fn a_row_that_is_no_pair_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let good = r#"{"prompt": "p", "chosen": "a", "rejected": "b"}"#;
    for (bad, part) in [
        (r#"{"chosen": "a", "rejected": "b"}"#, "has no `prompt`"),
        (r#"{"prompt": "p", "rejected": "b"}"#, "has no `chosen`"),
        (r#"{"prompt": "p", "chosen": "a"}"#, "has no `rejected`"),
        (r#"{"prompt": "p", "completion": "a"}"#, "has no `chosen`"),
        (
            r#"{"prompt": "p", "chosen": "a", "rejected": " a\n"}"#,
            "the same answer",
        ),
        (
            r#"{"prompt": "p", "chosen": "  ", "rejected": "b"}"#,
            "`chosen` is empty",
        ),
        (
            r#"{"prompt": "", "chosen": "a", "rejected": "b"}"#,
            "`prompt` is empty",
        ),
        (
            r#"{"prompt": "p", "chosen": 3, "rejected": "b"}"#,
            "`chosen` is a number",
        ),
        (
            r#"{"prompt": "p", "chosen": "a", "chosen": "c", "rejected": "b"}"#,
            "twice",
        ),
        (
            r#"{"prompt": [], "chosen": "a", "rejected": "b"}"#,
            "no messages",
        ),
        (
            r#"{"prompt": "p", "chosen": [], "rejected": "b"}"#,
            "`chosen` is a list",
        ),
        (
            r#"{"prompt": "p", "chosen": [{"role": "user", "content": "a"}], "rejected": "b"}"#,
            "has role `user`",
        ),
        (
            r#"{"prompt": [{"role": "assistant", "content": "a"}], "chosen": "a", "rejected": "b"}"#,
            "ends with role `assistant`",
        ),
        (
            r#"{"prompt": [{"role": "user"}], "chosen": "a", "rejected": "b"}"#,
            "message 1: has no `content`",
        ),
        ("[1]", "expected an object"),
        ("{\"prompt\": ", "is not JSON"),
    ] {
        let error = read_pairs(&file(&folder, &format!("{good}\n{bad}\n"))).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("rows.jsonl:2: ") && text.contains(part),
            "{bad}: {text}"
        );
        assert_eq!(error.exit_code(), 2);
        assert!(error.hint().unwrap().contains("rejected"));
    }
}

#[test]
fn a_file_without_rows_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let none = read_pairs(&file(&folder, "\n")).unwrap_err().to_string();
    assert!(none.contains("has no rows"), "{none}");
    assert!(read_pairs(&[]).is_err());
}

#[test]
fn a_row_that_is_no_question_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let good = r#"{"prompt": "p", "completion": "a"}"#;
    for (bad, part) in [
        (r#"{"completion": "a"}"#, "has no `prompt`"),
        (r#"{"prompt": "p"}"#, "has no `check` and no `completion`"),
        (
            r#"{"prompt": "p", "check": {"json": 1}}"#,
            "has no `reference`",
        ),
        (
            r#"{"prompt": "p", "check": {"regex": "a"}}"#,
            "says nothing known",
        ),
        (
            r#"{"prompt": "p", "check": null, "completion": "a"}"#,
            "`check` is null",
        ),
        (
            r#"{"prompt": "p", "check": {"exact": " "}, "reference": "a"}"#,
            "empty answer",
        ),
        (
            r#"{"prompt": "p", "check": {"exact": "b"}, "reference": "a"}"#,
            "does not accept",
        ),
        (
            r#"{"prompt": "p", "completion": "<think>a</think>"}"#,
            "empty answer",
        ),
        (
            r#"{"prompt": "p", "completion": ""}"#,
            "`completion` is empty",
        ),
    ] {
        let error = read_questions(&file(&folder, &format!("{good}\n{bad}\n"))).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("rows.jsonl:2: ") && text.contains(part),
            "{bad}: {text}"
        );
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn pairs_that_a_cut_makes_equal_are_dropped_and_counted() {
    let kit = Kit::new(true);
    let same = "the heart pumps the blood. ".repeat(8);
    let long = "the lungs take in the air. ".repeat(12);
    let mut text = String::new();
    for (prompt, chosen, rejected) in [
        ("what pumps?", "the heart", "the skin"),
        ("what takes?", "the lungs", "the blood"),
        // Both sides are cut at the same place, where they are still the same.
        ("what is it?", &format!("{same} a"), &format!("{same} b")),
        // The prompt fills everything.
        (long.as_str(), "the air", "the skin"),
    ] {
        let row = json!({"prompt": prompt, "chosen": chosen, "rejected": rejected});
        text.push_str(&format!("{row}\n"));
    }
    let config = TrainConfig {
        method: Method::Dpo,
        validation_fraction: 0.0,
        ..kit.config(&kit.write("pairs.jsonl", &text))
    };
    let session = Session::open(config, Some(&kit.base())).unwrap();
    let (counts, plan) = (session.dataset.report.train, &session.dataset.plan);
    assert_eq!((counts.rows, counts.examples, counts.dropped), (8, 4, 4));
    assert_eq!(plan.rows(), 2);
    assert!(session.warnings.iter().any(|text| text.contains("dropped")));
    assert!(
        !session
            .warnings
            .iter()
            .any(|text| text.contains("bucketed"))
    );
}

#[test]
fn earlier_turns_of_the_assistant_do_not_count() {
    let kit = Kit::new(true);
    let turns = json!([
        {"role": "user", "content": "us?"}, {"role": "assistant", "content": "us"},
        {"role": "user", "content": "us?"}
    ]);
    let row = json!({"prompt": turns, "chosen": "the lungs", "rejected": "us"});
    let config = TrainConfig {
        method: Method::Dpo,
        validation_fraction: 0.0,
        max_length: 64,
        ..kit.config(&kit.write("pairs.jsonl", &format!("{row}\n")))
    };
    let session = Session::open(config, Some(&kit.base())).unwrap();
    let pair: Vec<usize> = session
        .dataset
        .train
        .iter()
        .map(|e| e.supervised())
        .collect();
    let tokens = |text: &str| session.codec.tokenizer.encode(text).unwrap().len();
    // The answer and the token that ends it.
    assert_eq!(pair, [tokens("the lungs") + 1, tokens("us") + 1]);
}

#[test]
fn generated_comparisons_and_pairs_are_of_their_part_and_pass_their_checks() {
    for split in [Split::Train, Split::HeldOut] {
        let tasks = comparisons(split, 7, 60);
        assert_eq!(tasks.len(), 60);
        for task in &tasks {
            assert_eq!(task.kind, "compare");
            assert!(task.combinations.iter().all(|name| split_of(name) == split));
            assert!(task.check.holds(&task.reference), "{}", task.reference);
            let asked = &task.prompt.last().unwrap().content;
            assert!(asked.ends_with(" /no_think"), "{asked}");
        }
        for domain in [Domain::Facts, Domain::Arithmetic] {
            let pairs = preferences(domain, split, 7, 80);
            assert!(pairs.len() > 60, "{domain:?}: {}", pairs.len());
            assert!(
                pairs
                    .iter()
                    .all(|pair| pair.chosen.trim() != pair.rejected.trim())
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let lines = |rows: Vec<String>| {
        rows.iter()
            .map(|row| format!("{row}\n"))
            .collect::<String>()
    };
    let pairs = preferences(Domain::Facts, Split::Train, 7, 40);
    let text = lines(pairs.iter().map(|pair| pair.row().to_string()).collect());
    assert_eq!(
        read_pairs(&file(&folder, &text)).unwrap().len(),
        pairs.len()
    );
    let tasks = comparisons(Split::Train, 7, 40);
    let text = lines(tasks.iter().map(|task| task.row().to_string()).collect());
    let read = read_questions(&file(&folder, &text)).unwrap();
    assert!(
        read.iter()
            .zip(&tasks)
            .all(|(one, task)| one.check == task.check)
    );
}
