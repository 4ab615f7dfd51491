//! Checks of data: every planted defect at its line, and nothing in sound rows.

use std::path::{Path, PathBuf};
use std::slice::from_ref;

use llm_train::quality::near::THRESHOLD;
use llm_train::quality::{
    Finding, Input, Kind, Options, Part, Report, Severity, check, leakage, normal_form,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Files of rows in a temporary place.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }
}

fn inputs(train: &[PathBuf], held: &[PathBuf]) -> Vec<Input> {
    let mut inputs = Input::all(Part::Held, held.to_vec());
    inputs.extend(Input::all(Part::Train, train.to_vec()));
    inputs
}

fn checked(train: &[PathBuf], held: &[PathBuf], options: Options) -> Report {
    check(&inputs(train, held), options, &mut |_, _, _| {}).unwrap()
}

fn row(prompt: &str, completion: &str) -> String {
    json!({"prompt": prompt, "completion": completion}).to_string()
}

/// Sound rows that share no run of words.
fn sound(count: usize) -> Vec<String> {
    const THINGS: [&str; 6] = ["river", "engine", "violin", "harbour", "lichen", "kiln"];
    const ASKS: [&str; 5] = [
        "Describe a {} in one sentence.",
        "Which trade needs a {}, and why?",
        "Spell `{}` backwards, please.",
        "Où trouve-t-on « {} » au XIXᵉ siècle ?",
        "Nenne drei Wörter, die zu “{}” passen…",
    ];
    let row_of = |n: usize| {
        let thing = THINGS[n % THINGS.len()];
        let ask = ASKS[n / THINGS.len() % ASKS.len()].replace("{}", thing);
        row(
            &format!("{ask} ({n})"),
            &format!("Number {n}: the {thing} is old.\n```\nx = {n}\n```"),
        )
    };
    (0..count).map(row_of).collect()
}

/// `problem file:line` or `problem file:line = file:line`, with bare file names.
fn brief(finding: &Finding) -> String {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let place = |place: &llm_train::quality::Place| format!("{}:{}", name(&place.path), place.line);
    let other = finding.other.as_ref().map(place);
    let other = other.map_or(String::new(), |other| format!(" = {other}"));
    format!("{} {}{other}", finding.problem, place(&finding.at))
}

fn briefs(report: &Report) -> Vec<String> {
    report.findings.iter().map(brief).collect()
}

/// A long answer, of which a copy with one other word is nearly the same.
fn long_answer(word: &str) -> String {
    let words: Vec<String> = (0..70).map(|n| format!("word{n}")).collect();
    format!("{} {word} {}", words[..35].join(" "), words[35..].join(" "))
}

#[test]
fn sound_rows_have_no_finding() {
    let files = Files::new();
    let rows = sound(120);
    let train = files.write("train.jsonl", rows[..100].join("\n"));
    let held = files.write("held.jsonl", rows[100..].join("\r\n"));
    let text = files.write("text.txt", "one\n<|endoftext|>\n\ntwo\n<|endoftext|>\n");
    let array = files.write(
        "rows.json",
        r#"[{"instruction": "do this", "output": "done"}]"#,
    );
    let report = checked(&[train, text, array], &[held], Options::default());
    assert_eq!(briefs(&report), [""; 0]);
    assert_eq!((report.train_rows, report.held_rows), (103, 20));
}

/// Lines with what has to be found in each; `{}` stands for the line itself.
fn planted() -> Vec<(String, &'static str)> {
    let messages = json!({"messages": [{"role": "user", "content": "Hello there"},
        {"role": "assistant", "content": " \u{200b}"}]});
    let with = |prompt: &str, answer: &str, want| (row(prompt, answer), want);
    vec![
        with("What is iron?", "A metal.", ""),
        with("What is iron?", "A metal.", "duplicate (exact) {} = 1"),
        with("What is IRON?", "a metal.", "duplicate (case) {} = 1"),
        with(
            "What is  iron?",
            "A metal. ",
            "duplicate (whitespace) {} = 1",
        ),
        with("What is iron？", "A metal.", "duplicate (nfkc) {} = 1"),
        with("what is iron?", "A cheese.", "contradiction {} = 1"),
        with("Tell a story.", &long_answer("old"), ""),
        with(
            "Tell a story.",
            &long_answer("new"),
            "near duplicate {} = 7",
        ),
        ("{\"prompt\": \"a\"".into(), "malformed {}"),
        (r#"{"question": "a"}"#.into(), "malformed {}"),
        ("[1, 2]".into(), "malformed {}"),
        (row("Say nothing.", "\u{feff} \n"), "empty {}"),
        (row(" ", "Something."), "empty {}"),
        (messages.to_string(), "empty {}"),
        (json!({"text": ""}).to_string(), "empty {}"),
        with("Was heißt das?", "FÃ¼r immer.", "mojibake {}"),
        with("Colour it.", "\u{1b}[31mred", "control character {}"),
        with(
            "Where is it?",
            "Here\u{feff} and there.",
            "byte order mark {}",
        ),
        with("Which drink?", "Caf\u{fffd}", "replacement character {}"),
        with("Repeat: rain", "repeat:  RAIN", "answer is prompt {}"),
        with(
            "How many legs does a spider have?",
            "How many legs does a spider have? Eight.",
            "answer holds prompt {}",
        ),
        with("Write a loop.", "```rust\nloop {}", "open code fence {}"),
        with("Stop<|im_end|> now", "Fine.", "special token {}"),
    ]
}

#[test]
fn every_planted_defect_is_found_at_its_line_and_nothing_else() {
    let files = Files::new();
    let (lines, wanted): (Vec<String>, Vec<&str>) = planted().into_iter().unzip();
    // An empty line between does not count as a row and does count as a line
    let text = format!("{}\n\n{}\n", lines.join("\n"), sound(40).join("\n"));
    let bad = files.write("bad.jsonl", text);
    let mut want: Vec<String> = wanted
        .iter()
        .enumerate()
        .filter(|(_, want)| !want.is_empty())
        .map(|(index, want)| {
            let want = want.replace("{}", &format!("bad.jsonl:{}", index + 1));
            want.replace("= ", "= bad.jsonl:")
        })
        .collect();
    // Two stories told for one question
    want.push("contradiction bad.jsonl:8 = bad.jsonl:7".into());
    want.sort();
    let report = checked(from_ref(&bad), &[], Options::default());
    let mut got = briefs(&report);
    got.sort();
    assert_eq!(got, want);
    assert_eq!(report.rows(), lines.len() + 40);
    assert_eq!(report.total(Severity::Error), 7);

    let few = checked(
        &[bad],
        &[],
        Options {
            keep: 1,
            ..Options::default()
        },
    );
    assert_eq!(few.counts, report.counts);
    assert_eq!(few.findings.len(), few.counts.len());
}

#[test]
fn leaks_of_each_kind_name_both_places() {
    let files = Files::new();
    let mut train = sound(30);
    train.push(row("What is H₂O?", "Water."));
    train.push(row("Tell a story.", &long_answer("old")));
    let train = files.write("train.jsonl", train.join("\n"));
    let held = [
        row("What is H₂O?", "It is water."),
        row("WHAT is H₂O?", "Water."),
        row("What is  H₂O?", "Water."),
        row("What is H2O?", "Water."),
        row("Tell one story.", &long_answer("new")),
        row("What is CO₂?", "A gas."),
    ];
    let held = files.write("held.jsonl", held.join("\n"));
    let report = checked(&[train], &[held], Options::default());
    let want = [
        "leak (exact) held.jsonl:1 = train.jsonl:31",
        "leak (case) held.jsonl:2 = train.jsonl:31",
        "leak (whitespace) held.jsonl:3 = train.jsonl:31",
        "leak (nfkc) held.jsonl:4 = train.jsonl:31",
        "near leak held.jsonl:5 = train.jsonl:32",
        "duplicate (whitespace) held.jsonl:3 = held.jsonl:2",
        "duplicate (nfkc) held.jsonl:4 = held.jsonl:2",
    ];
    assert_eq!(briefs(&report), want);
    assert_eq!(report.total(Severity::Error), 4);
    let json = report.findings[0].to_json();
    assert_eq!(json["kind"], "leak");
    assert_eq!(
        (&json["match"], &json["line"], &json["other_line"]),
        (&json!("exact"), &json!(1), &json!(31))
    );
    assert_eq!(report.summary()["errors"], 4);
}

#[test]
fn files_without_rows_and_lines_without_end_are_no_crash() {
    let files = Files::new();
    let empty = files.write("empty.jsonl", "");
    let blank = files.write("blank.jsonl", "\n \r\n\t\n");
    let none = files.write("none.json", "[]");
    let report = checked(&[empty, blank, none], &[], Options::default());
    assert_eq!(report.rows(), 0);
    let want = ["empty.jsonl", "blank.jsonl", "none.json"].map(|name| format!("empty {name}:1"));
    assert_eq!(briefs(&report), want);

    let mut hostile = b"\xef\xbb\xbf".to_vec();
    hostile.extend(row("a b", "c d").bytes());
    hostile.extend(b"\n\xff\xfe\n\0\0\n{\"prompt\": \"\\ud800\", \"completion\": \"x\"}\n");
    hostile.extend("[".repeat(100_000).bytes());
    let hostile = files.write("hostile.jsonl", hostile);
    let report = checked(&[hostile], &[], Options::default());
    let want: Vec<String> = (2..=5)
        .map(|line| format!("malformed hostile.jsonl:{line}"))
        .collect();
    assert_eq!(briefs(&report), want);
    assert_eq!(report.rows(), 5);

    let object = files.write("object.json", r#"{"prompt": "a"}"#);
    let report = checked(&[object], &[], Options::default());
    assert_eq!(briefs(&report), ["malformed object.json:1"]);
    assert_eq!(checked(&[], &[], Options::default()).rows(), 0);
}

#[test]
fn arrays_and_tables_are_checked_up_to_their_first_broken_row() {
    let files = Files::new();
    let table =
        "prompt,completion\nWhat is it?,A newt.\n,Nothing.\nWhat is it?,A newt.\na,b,c\nx,y\n";
    let table = files.write("table.csv", table);
    let array = r#"[{"prompt": "Why?", "completion": "So."},
        {"prompt": "Why?"},
        {"prompt": "Why?", "completion": "So."}, 7, {"prompt": "", "completion": ""}]"#;
    let array = files.write("array.json", array);
    let report = checked(&[table, array], &[], Options::default());
    let want = [
        "malformed table.csv:5",
        "malformed array.json:2",
        "malformed array.json:3",
        "empty table.csv:3",
        "duplicate (exact) table.csv:4 = table.csv:2",
        "duplicate (exact) array.json:3 = array.json:1",
    ];
    assert_eq!(briefs(&report), want);
    assert!(
        report.findings[0]
            .detail
            .contains("what follows was not read")
    );
    assert_eq!(report.rows(), 8);
    let foreign = files.write("rows.parquet", "PAR1");
    let refused = check(
        &inputs(&[foreign], &[]),
        Options::default(),
        &mut |_, _, _| {},
    );
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("deeper convert parquet"), "{refused}");
}

#[test]
fn long_rows_are_found_by_any_measure() {
    let files = Files::new();
    let rows = [row("one two", "three"), row("one", "two"), row("x", "bad")];
    let path = files.write("rows.jsonl", rows.join("\n"));
    let options = Options {
        max_length: Some(2),
        length: Box::new(|sample| {
            let words = sample.texts().iter().map(|t| t.split(' ').count()).sum();
            match sample.answer() {
                Some("bad") => Err("cannot be counted".into()),
                _ => Ok(words),
            }
        }),
        ..Options::default()
    };
    let report = checked(from_ref(&path), &[], options);
    assert_eq!(
        briefs(&report),
        ["malformed rows.jsonl:3", "overlong rows.jsonl:1"]
    );
    assert_eq!(report.findings[1].detail, "3, at most 2");
    let characters = Options {
        max_length: Some(11),
        ..Options::default()
    };
    assert_eq!(
        briefs(&checked(&[path], &[], characters)),
        ["overlong rows.jsonl:1"]
    );
}

/// What a row may cost: the figure of the module's page, with room for tables that have just grown.
const ROW_BYTES: usize = 600;

#[test]
fn the_index_does_not_grow_with_the_length_of_texts() {
    let index = |length: usize| {
        let files = Files::new();
        let text = |n: usize| {
            let words: Vec<String> = (0..length)
                .map(|w| format!("w{}", n * 31 + w * 7919))
                .collect();
            row(&format!("Q {n}"), &words.join(" "))
        };
        let rows: Vec<String> = (0..1500).map(text).collect();
        let path = files.write("rows.jsonl", rows.join("\n"));
        checked(&[path], &[], Options::default()).index_bytes / 1500
    };
    let (short, long) = (index(10), index(200));
    assert_eq!(short, long);
    assert!(short < ROW_BYTES, "{short} bytes a row");
}

#[test]
fn near_rows_are_not_looked_for_when_that_is_off() {
    let files = Files::new();
    let rows = [
        row("Tell a story.", &long_answer("old")),
        row("Tell one story.", &long_answer("new")),
    ];
    let path = files.write("rows.jsonl", rows.join("\n"));
    let near = |near| {
        let options = Options {
            near,
            ..Options::default()
        };
        briefs(&checked(from_ref(&path), &[], options)).len()
    };
    assert_eq!(
        (near(Some(THRESHOLD)), near(Some(0.95)), near(None)),
        (1, 0, 0)
    );
}

proptest! {
    #[test]
    fn leakage_is_what_comparing_all_forms_says(
        train in prop::collection::vec("[aA ﬁfi\u{a0}é]{0,4}", 0..6),
        held in prop::collection::vec("[aA ﬁfi\u{a0}é]{0,4}", 0..6),
    ) {
        let leaks = leakage(&train, &held);
        for (place, text) in held.iter().enumerate() {
            let same = |kind| {
                let form = normal_form(text, kind);
                train.iter().any(|other| normal_form(other, kind) == form)
            };
            let want = Kind::ALL.into_iter().find(|kind| same(*kind));
            let got = leaks.iter().find(|leak| leak.held == place);
            prop_assert_eq!(got.map(|leak| leak.kind), want);
            if let Some(leak) = got {
                let forms = [&train[leak.train], text].map(|text| normal_form(text, leak.kind));
                prop_assert_eq!(&forms[0], &forms[1]);
            }
        }
    }

    #[test]
    fn cleaning_twice_is_cleaning_once(text in "(\\PC|[ \t\n`~\u{200b}\u{200c}\u{200d}\u{301}می👨]){0,24}") {
        for mode in [llm_train::quality::Mode::Prose, llm_train::quality::Mode::Code] {
            let once = llm_train::quality::clean_text(&text, mode);
            prop_assert_eq!(llm_train::quality::clean_text(&once, mode), once);
        }
    }
}

#[test]
fn cleaning_composes_as_python_does() {
    use sha2::{Digest, Sha256};
    let fixture: Value = serde_json::from_str(include_str!("../fixtures/clean.json")).unwrap();
    let clean = |text: &str| llm_train::quality::clean_text(text, llm_train::quality::Mode::Prose);
    let mut hasher = Sha256::new();
    let mut count = 0_u64;
    for range in fixture["changed"].as_array().unwrap() {
        let end = |place: usize| u32::try_from(range[place].as_u64().unwrap()).unwrap();
        for point in end(0)..=end(1) {
            let c = char::from_u32(point).unwrap().to_string();
            hasher.update(format!("{point:x} {}\n", clean(&c)));
            count += 1;
        }
    }
    assert_eq!(fixture["count"], count);
    let hex: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(fixture["sha256"], hex);
    for case in fixture["texts"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        assert_eq!(clean(text), case["nfkc"].as_str().unwrap(), "{text:?}");
    }
}
