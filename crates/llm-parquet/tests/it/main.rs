//! Files that pyarrow wrote (`tools/oracle/parquet.py`), and damaged ones.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

fn fixture(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    folder.join(name)
}

fn rows(path: &std::path::Path) -> llm_parquet::Result<Vec<Map<String, Value>>> {
    llm_parquet::open(path)?.collect()
}

#[test]
fn every_compression_and_encoding_gives_the_rows_that_were_written() {
    let text = std::fs::read_to_string(fixture("rows.jsonl")).unwrap();
    let want: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(want.len(), 7);
    for name in ["none", "snappy", "zstd", "gzip", "lz4", "plain", "groups"] {
        let found = rows(&fixture(&format!("{name}.parquet"))).unwrap();
        let found: Vec<Value> = found.into_iter().map(Value::Object).collect();
        assert_eq!(found, want, "{name}");
    }
}

#[test]
fn lists_of_structs_and_types_without_a_twin_are_read() {
    let found = rows(&fixture("messages.parquet")).unwrap();
    assert_eq!(
        found[0]["messages"],
        json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    );
    assert_eq!(found[0]["bytes"], json!("text"));
    assert_eq!(found[0]["half"], json!(0.5));
    assert!(found[0]["day"].is_string() && found[0]["moment"].is_string());
    assert_eq!(found[0]["tags"], json!({"k": 3}));
    let error = rows(&fixture("binary.parquet")).unwrap_err().to_string();
    assert!(error.contains("binary.parquet:2: column `text`"), "{error}");
}

#[test]
fn what_is_no_parquet_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    for bytes in [
        b"".as_slice(),
        b"PAR1",
        b"PAR1PAR1",
        b"{\"a\": 1}\n{\"a\": 2}\n",
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = rows(&path).unwrap_err().to_string();
        assert!(
            error.contains("x.parquet") && !error.contains('\n'),
            "{error}"
        );
    }
    let missing = rows(&folder.path().join("no.parquet")).unwrap_err();
    assert!(matches!(missing, llm_parquet::Error::Io { .. }));
}

#[test]
fn damaged_files_end_in_an_error_or_in_rows_and_never_in_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let whole = std::fs::read(fixture("snappy.parquet")).unwrap();
    let mut errors = 0;
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x55;
        std::fs::write(&path, &bytes).unwrap();
        errors += usize::from(rows(&path).is_err());
        if place % 7 == 0 {
            std::fs::write(&path, &whole[..place]).unwrap();
            assert!(rows(&path).is_err(), "cut at {place}");
        }
    }
    assert!(errors > whole.len() / 10, "{errors} of {}", whole.len());
}
