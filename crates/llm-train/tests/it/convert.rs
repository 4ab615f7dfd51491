//! Other programs' files become rows, and everything that is left out is counted.

use std::path::PathBuf;

use llm_train::convert::{Form, Job, Report, Tally, convert};
use llm_train::data::{DataFormat, read_rows};
use serde_json::{Value, json};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn job(&self, form: Form, name: &str, text: &str) -> Job {
        let input = self.0.path().join(name);
        std::fs::write(&input, text).unwrap();
        Job {
            form,
            input,
            output: self.output(),
            force: false,
            prompt: None,
            completion: None,
        }
    }

    fn output(&self) -> PathBuf {
        self.0.path().join("out.jsonl")
    }

    fn rows(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.output()).unwrap();
        let row = |line| serde_json::from_str(line).unwrap();
        text.lines().map(row).collect()
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.0.path()).unwrap().count()
    }
}

fn counts(tally: &Tally) -> Vec<(&str, usize, usize)> {
    let count = tally.counts().iter();
    count
        .map(|line| (line.what.as_str(), line.count, line.first))
        .collect()
}

fn converted(form: Form, name: &str, text: &str) -> (Report, Vec<Value>) {
    let folder = Folder::new();
    let report = convert(&folder.job(form, name, text)).unwrap();
    let rows = folder.rows();
    assert_eq!(report.written, rows.len());
    assert_eq!(report.read, report.written + report.dropped.total());
    assert_eq!(folder.files(), 2, "nothing but input and output");
    // What is written is what `deeper train` reads.
    if rows.iter().all(|row| row.get("text").is_none()) {
        let read = read_rows(&[folder.output()], DataFormat::Auto).unwrap();
        assert_eq!(read.len(), rows.len());
    }
    (report, rows)
}

fn messages(turns: &[(&str, &str)]) -> Value {
    let turn = |&(role, content): &(&str, &str)| json!({"role": role, "content": content});
    let turns: Vec<Value> = turns.iter().map(turn).collect();
    json!({ "messages": turns })
}

fn node(parent: Option<&str>, message: Value) -> Value {
    json!({"parent": parent, "children": [], "message": message})
}

fn said(role: &str, text: &str) -> Value {
    json!({"author": {"role": role}, "recipient": "all", "weight": 1.0, "metadata": {},
        "content": {"content_type": "text", "parts": [text]}})
}

/// A chat with an edited question, a regenerated answer, a tool, a picture and hidden parts.
fn export() -> Value {
    let mut hidden = said("user", "about me");
    hidden["metadata"]["is_visually_hidden_from_conversation"] = json!(true);
    let mut call = said("assistant", "print(1)");
    call["recipient"] = json!("python");
    let picture = json!({"author": {"role": "user"}, "content": {"content_type": "multimodal_text",
        "parts": [{"content_type": "image_asset_pointer"}, "what is this?"]}});
    let code = json!({"author": {"role": "assistant"}, "content": {"content_type": "thoughts",
        "thoughts": []}});
    json!([
        {"title": "tree", "current_node": "k", "mapping": {
            "root": node(None, Value::Null),
            "s": node(Some("root"), said("system", "")),
            "h": node(Some("s"), hidden),
            "a": node(Some("h"), said("user", "first question")),
            "a2": node(Some("h"), said("user", "edited question")),
            "b": node(Some("a"), said("assistant", "old answer")),
            "t": node(Some("a2"), code),
            "c": node(Some("t"), call),
            "d": node(Some("c"), said("tool", "1")),
            "e": node(Some("d"), said("assistant", "It is")),
            "f": node(Some("e"), said("assistant", "one.")),
            "f2": node(Some("e"), said("assistant", "two.")),
            "g": node(Some("f"), picture),
            "i": node(Some("g"), said("assistant", "a cat")),
            "j": node(Some("i"), said("user", "thanks")),
            "k": node(Some("j"), said("user", "and bye")),
        }},
        {"title": "plain", "current_node": "c", "mapping": {
            "a": node(None, said("system", "be short")),
            "b": node(Some("a"), said("user", "hi")),
            "c": node(Some("b"), said("assistant", "hello")),
        }},
        {"title": "unanswered", "current_node": "a", "mapping": {
            "a": node(None, said("user", "anyone?")),
        }},
        {"title": "loop", "current_node": "a", "mapping": {
            "a": node(Some("b"), said("user", "x")), "b": node(Some("a"), said("assistant", "y")),
        }},
        {"title": "torn", "current_node": "a", "mapping": {"a": node(Some("gone"), Value::Null)}},
        {"title": "no node", "mapping": {}},
        {"title": "no mapping"},
        7,
    ])
}

#[test]
fn a_chatgpt_export_gives_the_branch_that_was_seen_last() {
    let text = serde_json::to_string(&export()).unwrap();
    let (report, rows) = converted(Form::ChatGpt, "conversations.json", &text);
    assert_eq!(
        rows,
        [
            messages(&[("user", "edited question"), ("assistant", "It is\n\none.")]),
            messages(&[
                ("system", "be short"),
                ("user", "hi"),
                ("assistant", "hello")
            ]),
        ]
    );
    assert_eq!((report.read, report.written), (8, 2));
    let mut left_out = counts(&report.left_out);
    left_out.sort_unstable();
    assert_eq!(
        left_out,
        [
            ("answers to what cannot be shown", 1, 1),
            ("empty messages", 1, 1),
            ("hidden messages", 1, 1),
            ("messages of another kind (code, reasoning)", 1, 1),
            ("messages on other branches", 3, 1),
            ("messages with images, sound or files", 1, 1),
            ("questions without an answer", 2, 1),
            ("tool calls", 1, 1),
            ("tool messages", 1, 1),
        ]
    );
    let mut dropped = counts(&report.dropped);
    dropped.sort_unstable();
    assert_eq!(
        dropped,
        [
            ("has a node that is its own ancestor", 1, 1),
            ("has a node whose parent is missing", 1, 1),
            ("has no `current_node`", 1, 1),
            ("has no object `mapping`", 1, 1),
            ("has no question with an answer", 1, 1),
            ("is a number, expected an object", 1, 1),
        ]
    );
}

#[test]
fn sharegpt_keeps_both_sides_and_counts_tools() {
    let text = r#"[{"id": 1, "system": "be kind", "conversations": [
            {"from": "human", "value": "a"}, {"from": "gpt", "value": "b"},
            {"from": "human", "value": "c"}, {"from": "function_call", "value": "f()"},
            {"from": "observation", "value": "1"}, {"from": "gpt", "value": "d"}]},
        {"conversations": [{"from": "gpt", "value": "first"}, {"from": "human", "value": "e"},
            {"from": "gpt", "value": "f"}, {"from": "human", "value": "g"}]},
        {"conversations": [{"from": "robot", "value": "x"}]},
        {"conversations": [{"from": "human", "value": 3}]},
        {"conversations": []}]"#;
    let (report, rows) = converted(Form::ShareGpt, "x.json", text);
    let first = [
        ("system", "be kind"),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
        ("assistant", "d"),
    ];
    assert_eq!(
        rows,
        [
            messages(&first),
            messages(&[("user", "e"), ("assistant", "f")])
        ]
    );
    assert_eq!(
        counts(&report.left_out),
        [
            ("tool calls", 1, 1),
            ("tool messages", 1, 1),
            ("answers without a question", 1, 5),
            ("questions without an answer", 1, 5)
        ]
    );
    assert_eq!(
        counts(&report.dropped),
        [
            (
                "has a turn from `robot`, expected human, gpt or system",
                1,
                7
            ),
            ("has a turn without a string `value`", 1, 8),
            ("has no question with an answer", 1, 9),
        ]
    );
    let lines = "{\"conversations\": [{\"from\": \"user\", \"value\": \"a\"}, \
        {\"from\": \"assistant\", \"value\": \"b\"}]}\n\n";
    let (_, rows) = converted(Form::ShareGpt, "x.jsonl", lines);
    assert_eq!(rows, [messages(&[("user", "a"), ("assistant", "b")])]);
}

#[test]
fn alpaca_puts_the_input_below_the_instruction() {
    let text = r#"[{"instruction": "do", "input": "this", "output": "done"},
        {"instruction": "again", "input": "", "output": "ok"},
        {"instruction": "nothing", "input": "", "output": ""}]"#;
    let (report, rows) = converted(Form::Alpaca, "alpaca_data.json", text);
    assert_eq!(
        rows,
        [
            json!({"prompt": "do\n\nthis", "completion": "done"}),
            json!({"prompt": "again", "completion": "ok"})
        ]
    );
    assert_eq!(counts(&report.dropped), [("`output` is empty", 1, 3)]);
}

#[test]
fn a_table_may_have_columns_of_other_names_or_text() {
    let folder = Folder::new();
    let text = "Question,Answer\nwhy?,\"because\nof it\"\n\"\",x\n";
    let job = Job {
        prompt: Some("Question".into()),
        completion: Some("Answer".into()),
        ..folder.job(Form::Csv, "faq.csv", text)
    };
    let report = convert(&job).unwrap();
    assert_eq!(
        folder.rows(),
        [json!({"prompt": "why?", "completion": "because\nof it"})]
    );
    assert_eq!(counts(&report.dropped), [("`prompt` is empty", 1, 4)]);
    let (_, rows) = converted(Form::Csv, "x.txt", "n,text\n1,one\n2,two\n");
    assert_eq!(rows, [json!({"text": "one"}), json!({"text": "two"})]);
    let unnamed = Folder::new();
    let error = convert(&unnamed.job(Form::Csv, "faq.csv", text)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("faq.csv:2: has the columns Question, Answer"),
        "{error}"
    );
}

#[test]
fn nothing_is_overwritten_or_left_half_written() {
    let folder = Folder::new();
    let good = r#"[{"instruction": "a", "output": "b"}]"#;
    let job = folder.job(Form::Alpaca, "x.json", good);
    convert(&job).unwrap();
    let error = convert(&job).unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    let force = Job { force: true, ..job };
    convert(&force).unwrap();
    let before = std::fs::read(folder.output()).unwrap();
    for bad in [
        r#"[{"instruction": "a", "output": "b"}, {"instruction": }]"#,
        r#"[{"instruction": "a", "output": "b"}"#,
        "{}",
        "[]",
        "",
        r#"[{"instruction": "a", "output": ""}]"#,
    ] {
        std::fs::write(&force.input, bad).unwrap();
        let error = convert(&force).unwrap_err();
        assert!(error.to_string().contains("x.json"), "{bad}: {error}");
        assert_eq!(error.exit_code(), 2);
        assert_eq!(std::fs::read(folder.output()).unwrap(), before);
        assert_eq!(folder.files(), 2);
    }
    let onto_itself = Job {
        output: force.input.clone(),
        ..force.clone()
    };
    assert!(convert(&onto_itself).is_err());
    let nowhere = Job {
        output: folder.0.path().join("no/such/folder.jsonl"),
        ..force
    };
    std::fs::write(&nowhere.input, good).unwrap();
    assert_eq!(convert(&nowhere).unwrap_err().exit_code(), 3);
}
