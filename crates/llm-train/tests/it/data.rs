//! Rows: every accepted form, and what hostile files get.

use std::path::PathBuf;

use llm_train::data::{DataFormat, Row, Split, overlap, read_rows, split_rows};

fn rows_of(name: &str, bytes: &[u8], format: DataFormat) -> llm_train::Result<Vec<Row>> {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    read_rows(&[path], format)
}

fn turns(row: &Row) -> Vec<(&str, &str)> {
    row.messages
        .iter()
        .map(|m| (m.role.as_str(), m.content.as_str()))
        .collect()
}

#[test]
fn each_form_becomes_the_same_conversation() {
    let text = "\u{feff}{\"prompt\": \"a\", \"completion\": \"b\", \"id\": 7}\r\n\n\
        {\"instruction\": \"a\", \"input\": \"\", \"output\": \"b\"}\n\
        {\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, \
        {\"role\": \"assistant\", \"content\": \"b\"}]}";
    let rows = rows_of("x.jsonl", text.as_bytes(), DataFormat::Auto).unwrap();
    assert_eq!(rows.len(), 3);
    for row in &rows {
        assert_eq!(turns(row), [("user", "a"), ("assistant", "b")]);
    }
    let lines: Vec<usize> = rows.iter().map(|row| row.line).collect();
    assert_eq!(lines, [1, 3, 4]);
}

#[test]
fn an_array_of_rows_is_read_as_alpaca_files_are() {
    let text = r#"[{"instruction": "do", "input": "this", "output": "done"},
        {"instruction": "again", "output": "ok"}]"#;
    let rows = rows_of("x.json", text.as_bytes(), DataFormat::Instruction).unwrap();
    assert_eq!(
        turns(&rows[0]),
        [("user", "do\n\nthis"), ("assistant", "done")]
    );
    assert_eq!(turns(&rows[1]), [("user", "again"), ("assistant", "ok")]);
}

#[test]
fn bad_lines_are_named_with_what_was_expected() {
    let good = r#"{"prompt": "a", "completion": "b"}"#;
    for (bad, part) in [
        ("{\"prompt\": \"a\"", "is not JSON"),
        ("[1]", "is an array, expected an object"),
        ("null", "is null"),
        (r#"{"prompt": "a"}"#, "has no `completion`"),
        (
            r#"{"prompt": 3, "completion": "b"}"#,
            "`prompt` is a number, expected a string",
        ),
        (
            r#"{"prompt": "a", "completion": "  "}"#,
            "`completion` is empty",
        ),
        (
            r#"{"question": "a", "answer": "b"}"#,
            "has the keys question, answer",
        ),
        ("{}", "has the keys none"),
        (
            r#"{"messages": "hi"}"#,
            "`messages` is a string, expected an array",
        ),
        (r#"{"messages": []}"#, "has 0 messages"),
        (
            r#"{"messages": [{"role": "robot", "content": "x"}]}"#,
            "`role` is `robot`",
        ),
        (
            r#"{"messages": [{"role": "user", "content": null}]}"#,
            "message 1: `content` is null",
        ),
        (
            r#"{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}"#,
            "ends with role `user`, expected assistant",
        ),
        (
            r#"{"instruction": "a", "input": [1], "output": "b"}"#,
            "`input` is an array",
        ),
    ] {
        let text = format!("{good}\n{bad}\n{good}\n");
        let error = rows_of("x.jsonl", text.as_bytes(), DataFormat::Auto).unwrap_err();
        let shown = error.to_string();
        assert!(
            shown.contains("x.jsonl:2: ") && shown.contains(part),
            "{bad}: {shown}"
        );
        assert!(!shown.contains('\n') && error.hint().is_some());
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn hostile_files_are_errors_and_not_panics() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!("{{\"prompt\": {}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let not_utf8 = b"{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"\xff\xfe\"}\n";
    let long = format!("{{\"prompt\": \"{}", "x".repeat(1 << 20));
    for (name, bytes, part) in [
        ("x.jsonl", b"".as_slice(), "has no rows"),
        ("x.jsonl", b"\n \n\t\n", "has no rows"),
        ("x.jsonl", deep.as_bytes(), ":1: is not JSON"),
        ("x.jsonl", nested.as_bytes(), ":1: is not JSON"),
        ("x.jsonl", not_utf8, ":2: is not UTF-8"),
        ("x.jsonl", long.as_bytes(), ":1: is not JSON"),
        ("x.jsonl", b"\0\0\0\0", ":1: is not JSON"),
        ("x.json", b"{}", "expected an array"),
        ("x.json", b"[]", "has no rows"),
        (
            "x.json",
            b"[\n{\"prompt\": \"a\", \"completion\": \"b\"},\n{\"a\": }]",
            "x.json:3: is not JSON",
        ),
        ("x.json", deep.as_bytes(), "is not JSON"),
    ] {
        let shown = rows_of(name, bytes, DataFormat::Auto)
            .unwrap_err()
            .to_string();
        assert!(shown.contains(part), "{part}: {shown}");
        assert!(shown.len() < 400, "{} bytes of message", shown.len());
    }
}

#[test]
fn lone_surrogates_and_escapes_do_not_break_rows() {
    let text = br#"{"prompt": "tab\t \u00e9 \ud83d\ude00", "completion": "<|im_end|>"}"#;
    let rows = rows_of("x.jsonl", text, DataFormat::Auto).unwrap();
    assert_eq!(
        turns(&rows[0]),
        [("user", "tab\t é 😀"), ("assistant", "<|im_end|>")]
    );
    let lone = br#"{"prompt": "\ud83d", "completion": "b"}"#;
    assert!(rows_of("x.jsonl", lone, DataFormat::Auto).is_err());
}

#[test]
fn a_given_format_refuses_rows_of_another() {
    let row = br#"{"instruction": "a", "output": "b"}"#;
    let error = rows_of("x.jsonl", row, DataFormat::PromptCompletion).unwrap_err();
    assert!(error.to_string().contains("has no `prompt`"), "{error}");
}

fn split_of(prompts: &[&str], fraction: f64, seed: u64) -> llm_train::Result<Split> {
    let text: Vec<String> = prompts
        .iter()
        .map(|prompt| serde_json::json!({"prompt": prompt, "completion": "b"}).to_string())
        .collect();
    let rows = rows_of("x.jsonl", text.join("\n").as_bytes(), DataFormat::Auto).unwrap();
    split_rows(rows, fraction, seed)
}

#[test]
fn a_split_is_seeded_disjoint_and_keeps_equal_prompts_together() {
    let prompts: Vec<String> = (0..60).map(|i| format!("question {}", i % 30)).collect();
    let mut prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
    prompts.extend(["Question  0", "QUESTION 1"]);
    let split = split_of(&prompts, 0.2, 5).unwrap();
    assert_eq!(split.train.len() + split.validation.len(), 62);
    assert!(
        (10..=15).contains(&split.validation.len()),
        "{}",
        split.validation.len()
    );
    assert_eq!(overlap(&split), 0);
    let held = |seed| -> Vec<usize> {
        let split = split_of(&prompts, 0.2, seed).unwrap();
        split.validation.iter().map(|row| row.line).collect()
    };
    assert_eq!(held(5), held(5));
    assert_ne!(held(5), held(6));
}

#[test]
fn a_split_never_leaves_a_part_empty() {
    let two = split_of(&["a", "b"], 0.9, 1).unwrap();
    assert_eq!((two.train.len(), two.validation.len()), (1, 1));
    assert!(split_of(&["a", "a", "A"], 0.5, 1).is_err());
    assert_eq!(split_of(&["a", "b"], 0.0, 1).unwrap().validation.len(), 0);
    assert!(split_of(&["a", "b"], 1.0, 1).is_err());
}
