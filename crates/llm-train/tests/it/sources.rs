//! Files of rows: every format, hostile contents, and memory that does not grow with the file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use llm_train::data::{
    DataFormat, Row, TableRows, find_files, install_table_reader, read_documents, read_rows,
    stream_rows,
};
use serde_json::{Map, Value, json};

const PEAK: &str = "LLM_TRAIN_TEST_STREAM";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn rows(path: &Path) -> llm_train::Result<Vec<Row>> {
    read_rows(&[path.to_path_buf()], DataFormat::Auto)
}

fn turns(row: &Row) -> Vec<&str> {
    row.messages.iter().map(|m| m.content.as_str()).collect()
}

fn error(name: &str, bytes: &[u8]) -> String {
    let folder = Folder::new();
    rows(&folder.file(name, bytes)).unwrap_err().to_string()
}

#[test]
fn a_table_is_read_by_the_names_of_its_columns() {
    let folder = Folder::new();
    let text =
        "\u{feff}id,completion, prompt \r\n1,b,\"a, \"\"quoted\"\"\nand a line\"\r\n\r\n2,d,c\r\n";
    let csv = rows(&folder.file("x.csv", text.as_bytes())).unwrap();
    assert_eq!(turns(&csv[0]), ["a, \"quoted\"\nand a line", "b"]);
    assert_eq!(turns(&csv[1]), ["c", "d"]);
    assert_eq!((csv[0].line, csv[1].line), (2, 5));
    let tsv = folder.file(
        "x.tsv",
        b"instruction\tinput\toutput\ndo\tthis, that\tdone\n",
    );
    assert_eq!(turns(&rows(&tsv).unwrap()[0]), ["do\n\nthis, that", "done"]);
}

#[test]
fn tables_that_are_none_are_named_with_file_and_line() {
    let head = "prompt,completion\na,b\n";
    for (text, part) in [
        (format!("{head}c\n"), "x.csv:3: has 1 columns, expected 2"),
        (
            format!("{head}c,d,e\n"),
            "x.csv:3: has 3 columns, expected 2",
        ),
        (format!("{head}c,\n"), "x.csv:3: `completion` is empty"),
        (format!("{head}c,d\0e\n"), "x.csv:3: holds a NUL byte"),
        ("a,b\n1,2\n".into(), "x.csv:2: has the keys a, b"),
        (
            "prompt,completion,prompt\na,b,c\n".into(),
            "x.csv:1: names the column `prompt` twice",
        ),
        (String::new(), "x.csv: has no rows"),
        ("prompt,completion\n".into(), "x.csv: has no rows"),
        // A quote that nothing closes takes the rest of the file into one value.
        (format!("{head}\"c,d\ne,f\n"), "x.csv:3: has 1 columns"),
    ] {
        let shown = error("x.csv", text.as_bytes());
        assert!(shown.contains(part), "{text:?}: {shown}");
    }
    let shown = error("x.csv", b"prompt,completion\na,b\nc,\xff\n");
    assert!(shown.contains("x.csv:3: is not UTF-8"), "{shown}");
}

#[test]
fn one_record_cannot_fill_memory() {
    let folder = Folder::new();
    let long = "x".repeat(1 << 20);
    let good = r#"{"prompt": "a", "completion": "b"}"#;
    for (name, text, part) in [
        (
            "x.jsonl",
            format!("{good}\n{{\"prompt\": \"{long}\"}}\n"),
            "x.jsonl:2: is longer than",
        ),
        (
            "x.json",
            format!("[{good},\n[\"{long}\"]]"),
            "x.json:2: is longer than",
        ),
        (
            "x.csv",
            format!("prompt,completion\na,b\n\"{long},\n"),
            "x.csv:3: is longer than",
        ),
    ] {
        let path = folder.file(name, text.as_bytes());
        let mut rows = stream_rows(&[path], DataFormat::Auto).with_longest_record(1 << 18);
        assert!(rows.next().unwrap().is_ok(), "{name}");
        let error = rows.next().unwrap().unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.exit_code(), 2);
        assert!(rows.next().is_none(), "nothing comes after an error");
    }
}

#[test]
fn keys_that_stand_twice_and_rows_of_an_array_have_their_line() {
    for (name, text, part) in [
        (
            "x.jsonl",
            "\n{\"prompt\": \"a\", \"completion\": \"b\", \"prompt\": \"c\"}",
            "x.jsonl:2: has the key `prompt` twice",
        ),
        (
            "x.jsonl",
            r#"{"messages": [{"role": "user", "content": "a", "role": "system"}]}"#,
            "x.jsonl:1: has the key `role` twice",
        ),
        (
            "x.json",
            "[{\"prompt\": \"a\",\n \"completion\": \"b\"},\n\n{\"prompt\": \"a\"}]",
            "x.json:4: has no `completion`",
        ),
        (
            "x.json",
            "[{\"prompt\": \"a\"}\n{\"b\": 1}]",
            "x.json:1: is not JSON",
        ),
    ] {
        let shown = error(name, text.as_bytes());
        assert!(shown.contains(part), "{text}: {shown}");
    }
}

#[test]
fn rows_come_from_many_files_of_many_formats_in_order() {
    let folder = Folder::new();
    folder.file("a.jsonl", br#"{"prompt": "1", "completion": "x"}"#);
    folder.file("b.csv", b"prompt,completion\n2,x\n3,x\n");
    folder.file("c.json", br#"[{"prompt": "4", "completion": "x"}]"#);
    let files = find_files(&folder.0.path().join("?.*"), "").unwrap();
    let rows = read_rows(&files, DataFormat::Auto).unwrap();
    let prompts: Vec<&str> = rows.iter().map(|row| turns(row)[0]).collect();
    assert_eq!(prompts, ["1", "2", "3", "4"]);
}

fn two_rows(path: &Path) -> llm_train::Result<TableRows> {
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let row = move |n: usize| {
        let row = json!({"prompt": format!("{name} {n}"), "completion": "b", "text": "t"});
        match row {
            Value::Object(row) => Ok(row),
            _ => Ok(Map::new()),
        }
    };
    Ok(Box::new((1..3).map(row)))
}

#[test]
fn a_program_may_bring_a_reader_for_another_format() {
    let folder = Folder::new();
    let path = folder.file("t.twofold", b"");
    install_table_reader("twofold", two_rows);
    let found = rows(&path).unwrap();
    assert_eq!(turns(&found[1]), ["t 2", "b"]);
    assert_eq!(found[1].line, 2);
    assert_eq!(read_documents(&[path]).unwrap(), ["t", "t"]);
    let shown = error("x.parquet", b"PAR1");
    assert!(shown.contains("deeper convert parquet"), "{shown}");
}

/// Writes 200,000 rows, reads them as a stream or all at once, and prints the peak of this process
/// in KiB, for the test below.
#[test]
fn peak_of_this_process() {
    let Ok(how) = std::env::var(PEAK) else {
        return;
    };
    let folder = Folder::new();
    let path = folder.0.path().join("x.jsonl");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    for i in 0..200_000 {
        let row =
            json!({"prompt": format!("question {i}"), "completion": "an answer of some words"});
        writeln!(file, "{row}").unwrap();
    }
    file.into_inner().unwrap();
    let count = match how.as_str() {
        "stream" => stream_rows(&[path], DataFormat::Auto)
            .map(Result::unwrap)
            .count(),
        _ => read_rows(&[path], DataFormat::Auto).unwrap().len(),
    };
    assert_eq!(count, 200_000);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    println!("peak: {}", line.unwrap().split_whitespace().nth(1).unwrap());
}

#[cfg(target_os = "linux")]
#[test]
fn a_stream_of_200_000_rows_needs_no_memory_for_them() {
    let [stream, all] = ["stream", "all"].map(|how| {
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sources::peak_of_this_process", "--nocapture"])
            .env(PEAK, how)
            .output()
            .unwrap();
        let out = String::from_utf8(out.stdout).unwrap();
        let number = out
            .split("peak: ")
            .nth(1)
            .and_then(|rest| rest.lines().next());
        let number = number.unwrap_or_else(|| panic!("no peak: {out}"));
        number.parse::<u64>().unwrap()
    });
    // A row is at least 150 bytes in memory: two messages, their texts, their vector.
    assert!(
        stream + 30 * 1024 < all,
        "{stream} KiB streamed, {all} KiB at once"
    );
}
