//! `deeper data` from outside: reports, exit codes, files that are whole or absent.

use std::path::PathBuf;

use llm_core::text::bpe::{PreTokenizer, Trainer};
use llm_show::golden::{Output, Run};
use serde_json::{Value, json};

/// A ChatML template.
const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n\
    {{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n\
    {% endif %}";

/// A folder with a tokenizer, and rows.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let trainer = Trainer::new(300, PreTokenizer::qwen2().unwrap());
        let learned = trainer.train(["the newt lives in the pond, the newt eats worms"; 3]);
        let mut tokenizer: Value =
            serde_json::from_str(&learned.unwrap().to_tokenizer_json()).unwrap();
        let size = tokenizer["model"]["vocab"].as_object().unwrap().len();
        let names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
        let added = names.iter().enumerate().map(|(place, name)| {
            json!({"id": size + place, "content": name, "special": true, "lstrip": false,
                "rstrip": false, "normalized": false, "single_word": false})
        });
        tokenizer["added_tokens"] = added.collect();
        std::fs::create_dir(folder.path("model")).unwrap();
        folder.write("model/tokenizer.json", &tokenizer.to_string());
        let settings = json!({"eos_token": "<|im_end|>", "chat_template": TEMPLATE});
        folder.write("model/tokenizer_config.json", &settings.to_string());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn rows(&self, name: &str, rows: &[(&str, &str)]) {
        let line = |(prompt, completion): &(&str, &str)| {
            format!("{}\n", json!({"prompt": prompt, "completion": completion}))
        };
        self.write(name, &rows.iter().map(line).collect::<String>());
    }

    fn data<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Output {
        Run::new(env!("CARGO_BIN_EXE_deeper"))
            .folder(self.0.path())
            .args(["data"].into_iter().chain(args))
            .output()
            .unwrap()
    }
}

fn ended(output: &Output, code: i32) {
    assert_eq!(
        output.code,
        Some(code),
        "{}\n{}",
        output.stdout,
        output.stderr
    );
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

#[test]
fn a_check_names_lines_and_fails_on_errors_only() {
    let folder = Folder::new();
    folder.rows(
        "train.jsonl",
        &[("Where do newts live?", "In ponds."), ("Eat?", "Worms.")],
    );
    folder.rows("held.jsonl", &[("Where do frogs live?", "In ponds.")]);
    let check = ["check", "--data", "train.jsonl", "--held", "held.jsonl"];
    let sound = folder.data(check);
    ended(&sound, 0);
    assert_eq!(sound.stdout, "2 rows · 1 held out\nno findings\n");
    says(&sound.stderr, &["bytes a row"]);

    folder.rows(
        "held.jsonl",
        &[
            ("where do  newts live?", "In ponds."),
            ("Cafe?", "Caf\u{fffd}"),
        ],
    );
    let leaking = folder.data(check);
    ended(&leaking, 1);
    says(
        &leaking.stdout,
        &[
            "leak (whitespace)",
            "held.jsonl:1  as train.jsonl:1",
            "replacement character",
            "held.jsonl:2",
        ],
    );
    says(&leaking.stderr, &["error: 1 error in the data", "hint:"]);

    let warned = ["check", "--data", "held.jsonl"];
    ended(&folder.data(warned), 0);
    let strict = folder.data(warned.into_iter().chain(["--strict"]));
    ended(&strict, 1);
    says(&strict.stderr, &["1 warning in the data"]);

    let json = folder.data(check.into_iter().chain(["--json", "--quiet"]));
    ended(&json, 1);
    let lines: Vec<Value> = json
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["kind"], "leak");
    assert_eq!(lines[0]["match"], "whitespace");
    assert_eq!(
        (&lines[0]["line"], &lines[0]["other_line"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(lines[2]["errors"], 1);
    assert_eq!(lines.len(), 3);
}

#[test]
fn a_check_can_be_plain_narrow_and_empty() {
    let folder = Folder::new();
    folder.write("empty.jsonl", "");
    let output = folder.data(["check", "--data", "empty.jsonl", "--plain"]);
    ended(&output, 1);
    assert!(output.stdout.is_ascii(), "{}", output.stdout);
    says(&output.stdout, &["0 rows", "empty.jsonl:1", "no rows"]);
    let wide = output.stdout.lines().find(|line| line.len() > 80);
    assert_eq!(wide, None);
    let rows: Vec<(&str, &str)> = vec![("Same?", "Same."); 9];
    folder.rows("same.jsonl", &rows);
    let same = ["check", "--data", "same.jsonl"];
    let few = folder.data(same.into_iter().chain(["--show", "2"]));
    says(&few.stdout, &["same.jsonl:3", "… 6 more"]);
    assert!(!few.stdout.contains("same.jsonl:4"), "{}", few.stdout);
    let all = folder.data(same.into_iter().chain(["--all"]));
    says(&all.stdout, &["same.jsonl:9  as same.jsonl:1"]);
    ended(&all, 0);
}

#[test]
fn lengths_are_tokens_of_the_model() {
    let folder = Folder::new();
    folder.rows(
        "rows.jsonl",
        &[("the newt", "lives"), ("the newt", "lives in the pond")],
    );
    let check = |limit| {
        folder.data([
            "check",
            "--data",
            "rows.jsonl",
            "--model",
            "model",
            "--max-length",
            limit,
            "--near",
            "off",
            "--json",
        ])
    };
    let long = |limit| {
        let output = check(limit);
        output.stdout.matches("\"kind\":\"overlong\"").count()
    };
    assert_eq!((long("1"), long("1000")), (2, 0));
    let labels = folder.data(["labels", "--data", "rows.jsonl", "--model", "model"]);
    says(&labels.stdout, &["rows.jsonl:1", "rows.jsonl:2"]);
    ended(&check("none"), 2);
}

#[test]
fn labels_show_what_is_learnt() {
    let folder = Folder::new();
    folder.rows("rows.jsonl", &[("the newt?", "the pond"); 4]);
    let labels = [
        "labels",
        "--data",
        "rows.jsonl",
        "--model",
        "model",
        "--rows",
        "1",
    ];
    let output = folder.data(labels.into_iter().chain(["--plain"]));
    ended(&output, 0);
    says(
        &output.stdout,
        &[
            "   prompt  <|im_start|>|",
            "   learn   the|_pond|<|im_end|>\n",
            "4 rows",
            "tokens learnt ",
            "12",
        ],
    );
    assert!(!output.stdout.contains("rows.jsonl:2"), "{}", output.stdout);
    let coloured = folder.data(labels.into_iter().chain(["--color", "always"]));
    says(&coloured.stdout, &["\u{1b}[32m", "the|·pond|<|im_end|>"]);
    let short = folder.data(labels.into_iter().chain(["--max-length", "14"]));
    ended(&short, 0);
    says(&short.stdout, &["   cut "]);
    let plain = folder.data(labels.into_iter().chain(["--prompt-format", "plain"]));
    says(&plain.stdout, &["   learn   the|·pond|<|im_end|>"]);
    assert!(!plain.stdout.contains("<|im_start|>"), "{}", plain.stdout);
}

#[test]
fn parts_are_whole_lines_and_disjoint() {
    let folder = Folder::new();
    let lines: Vec<String> = (0..60)
        .map(|n| {
            format!(
                "{{ \"completion\":\"x\", \"prompt\" : \"question {}\"}}",
                n % 30
            )
        })
        .collect();
    folder.write("all.jsonl", &lines.join("\r\n"));
    let split = ["split", "--data", "all.jsonl", "--out", "parts"];
    let output = folder.data(split);
    ended(&output, 0);
    says(&output.stdout, &["train", "valid", "test", "80.00 %"]);
    let parts = ["train", "valid", "test"].map(|part| folder.read(&format!("parts/{part}.jsonl")));
    let mut all: Vec<&str> = parts
        .iter()
        .flat_map(|part| part.split_terminator('\n'))
        .collect();
    assert!(all.contains(&format!("{}\r", lines[3]).as_str()));
    all.sort_unstable();
    let mut want: Vec<String> = lines.iter().map(|line| format!("{line}\r")).collect();
    want[59].pop(); // the last line had no end
    want.sort();
    assert_eq!(all, want);
    let questions = |part: &str| -> Vec<String> {
        let read = |line: &str| serde_json::from_str::<Value>(line).unwrap()["prompt"].to_string();
        part.lines().map(read).collect()
    };
    let trained = questions(&parts[0]);
    for part in &parts[1..] {
        assert!(
            questions(part)
                .iter()
                .all(|question| !trained.contains(question))
        );
    }

    let again = folder.data(split);
    ended(&again, 2);
    says(&again.stderr, &["parts: exists", "--force"]);
    let two = ["--force", "--ratios", "0.5,0.5", "--seed", "8"];
    ended(&folder.data(split.into_iter().chain(two)), 0);
    assert!(!folder.path("parts/test.jsonl").exists());
    folder.write("parts/notes.txt", "mine");
    let kept = folder.data(split.into_iter().chain(["--force"]));
    ended(&kept, 2);
    says(&kept.stderr, &["notes.txt"]);
    assert_eq!(folder.read("parts/notes.txt"), "mine");
    let bad = folder.data([
        "split",
        "--data",
        "all.jsonl",
        "--out",
        "new",
        "--ratios",
        "0.5,0.6",
    ]);
    ended(&bad, 2);
    says(&bad.stderr, &["sum to 1.1"]);
    assert!(!folder.path("new").exists());
}

#[test]
fn rows_that_go_stand_in_the_side_file() {
    let folder = Folder::new();
    folder.rows("a.jsonl", &[("One?", "1"), ("one?", "1"), ("Two?", "2")]);
    folder.rows("b.jsonl", &[("Two? ", "2"), ("Three?", "3")]);
    let dedup = [
        "dedup",
        "--data",
        "a.jsonl",
        "--data",
        "b.jsonl",
        "--out",
        "out.jsonl",
    ];
    let output = folder.data(dedup);
    ended(&output, 0);
    says(
        &output.stdout,
        &[
            "5 rows",
            "the same (case)",
            "the same (whitespace)",
            "60.00 %",
        ],
    );
    let kept = format!(
        "{}\n{}\n{}\n",
        folder.read("a.jsonl").lines().next().unwrap(),
        folder.read("a.jsonl").lines().nth(2).unwrap(),
        folder.read("b.jsonl").lines().nth(1).unwrap()
    );
    assert_eq!(folder.read("out.jsonl"), kept);
    let side = folder.read("out.dropped.jsonl");
    let side: Vec<Value> = side
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(side.len(), 2);
    assert_eq!(
        (&side[0]["line"], &side[0]["why"]),
        (&json!(2), &json!("case"))
    );
    assert_eq!(
        (&side[1]["of_path"], &side[1]["of_line"]),
        (&json!("a.jsonl"), &json!(3))
    );
    assert_eq!(side[1]["row"]["prompt"], "Two? ");

    let again = folder.data(dedup);
    ended(&again, 2);
    says(&again.stderr, &["out.jsonl: exists", "--force"]);
    let exact = dedup.into_iter().chain(["--force", "--same", "exact"]);
    ended(&folder.data(exact.clone()), 0);
    assert_eq!(folder.read("out.jsonl").lines().count(), 5);
    let near = folder.data(exact.chain(["--near"]));
    says(&near.stdout, &["nearly the same", "40.00 %"]);
    assert_eq!(folder.read("out.jsonl"), kept);
}

#[test]
fn rows_do_not_go_over_their_source_or_from_a_broken_file() {
    let folder = Folder::new();
    folder.rows("a.jsonl", &[("One?", "1"), ("one?", "1")]);
    let over = folder.data(["dedup", "--data", "a.jsonl", "--out", "a.jsonl", "--force"]);
    ended(&over, 2);
    says(&over.stderr, &["a.jsonl: is one of the files to read"]);
    folder.write("bad.jsonl", "{\"prompt\": 1}\n");
    let bad = folder.data(["dedup", "--data", "bad.jsonl", "--out", "new.jsonl"]);
    ended(&bad, 2);
    says(&bad.stderr, &["bad.jsonl:1", "hint:"]);
    assert!(!folder.path("new.jsonl").exists() && !folder.path("new.dropped.jsonl").exists());
}

#[test]
fn cleaning_changes_what_it_should_and_copies_the_rest() {
    let folder = Folder::new();
    let same = "{ \"prompt\": \"a\",\t\"completion\": \"b\"}";
    let messy = json!({"id": 1, "prompt": "two  words", "completion": "```\na  b\n```\u{200b}"});
    folder.write("raw.jsonl", &format!("{same}\n{messy}\n"));
    let clean = ["clean", "--data", "raw.jsonl", "--out", "out.jsonl"];
    let output = folder.data(clean);
    ended(&output, 0);
    assert_eq!(output.stdout, "1 of 2 rows changed\n");
    let want = json!({"id": 1, "prompt": "two words", "completion": "```\na  b\n```"});
    assert_eq!(folder.read("out.jsonl"), format!("{same}\n{want}\n"));
    ended(&folder.data(clean), 2);
    let code = folder.data(clean.into_iter().chain(["--force", "--mode", "code"]));
    ended(&code, 0);
    says(&folder.read("out.jsonl"), &["two  words"]);
    folder.write("raw.jsonl", &format!("{same}\n{{\n"));
    let bad = folder.data(clean.into_iter().chain(["--force"]));
    ended(&bad, 2);
    says(&bad.stderr, &["raw.jsonl:2"]);
    says(&folder.read("out.jsonl"), &["two  words"]);
}
