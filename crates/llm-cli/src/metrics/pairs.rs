//! Rows of a prediction and its reference, from a file or from stdin.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::Result;
use llm_show::Complaint;
use llm_train::metrics::Pair;

/// The name that means stdin.
const STDIN: &str = "-";
/// What every line should be.
const FORM: &str = r#"a row is {"prediction": "…", "reference": "…"}, one JSON object a line"#;

/// The pairs of the file `source`, or of stdin for `-`. Empty lines and other keys are left alone.
///
/// # Errors
/// A file that cannot be read, no rows, or a line that is not a row: the error names the line.
pub(super) fn read(source: &str) -> Result<Vec<Pair>> {
    if source == STDIN {
        return read_lines("stdin", io::stdin().lock());
    }
    let file = File::open(source).map_err(llm_train::Error::io(Path::new(source)))?;
    read_lines(source, BufReader::new(file))
}

fn read_lines(name: &str, mut input: impl BufRead) -> Result<Vec<Pair>> {
    let fail = |problem: String| Complaint::new(format!("{name}:{problem}")).hint(FORM);
    let (mut pairs, mut bytes) = (Vec::new(), Vec::new());
    for number in 1.. {
        bytes.clear();
        let read = input.read_until(b'\n', &mut bytes);
        if read.map_err(llm_train::Error::io(Path::new(name)))? == 0 {
            break;
        }
        let line = std::str::from_utf8(&bytes)
            .map_err(|_| fail(format!("{number}: is not UTF-8 text")))?;
        let line = match number {
            1 => line.trim_start_matches('\u{feff}').trim(),
            _ => line.trim(),
        };
        if !line.is_empty() {
            pairs.push(pair(line).map_err(|problem| fail(format!("{number}: {problem}")))?);
        }
    }
    if pairs.is_empty() {
        return Err(fail(" has no rows, expected at least one".into()).into());
    }
    Ok(pairs)
}

/// The pair of one line, or what is wrong with it.
fn pair(line: &str) -> Result<Pair, String> {
    if !line.starts_with('{') {
        return Err("is not a JSON object".into());
    }
    serde_json::from_str(line).map_err(|error| {
        let text = error.to_string(); // ends in a line number within this one line
        let reason = text.split(" at line ").next().unwrap_or_default();
        format!("is not a row ({reason})")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        read_lines("f.jsonl", text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn rows_with_other_keys_and_empty_lines_are_read() {
        let text = "\u{feff}{\"prediction\": \"a\", \"reference\": \"b\", \"id\": 7}\r\n\n\
                    {\"reference\": \"\\u2028\", \"prediction\": \"\"}";
        let pairs = read_lines("f.jsonl", text.as_bytes()).unwrap();
        assert_eq!(pairs.len(), 2);
        assert_eq!(pairs[1].reference, "\u{2028}");
    }

    #[test]
    fn a_bad_line_is_named() {
        let good = "{\"prediction\": \"a\", \"reference\": \"b\"}\n";
        let cases = [
            ("{\"prediction\": \"a\"}", "missing field `reference`"),
            ("{\"prediction\": 3, \"reference\": \"b\"}", "expected a string"),
            ("{\"prediction\": null, \"reference\": \"b\"}", "expected a string"),
            ("[\"a\", \"b\"]", "is not a JSON object"),
            ("{\"prediction\": \"a\", ", "is not a row"),
            (
                "{\"prediction\": \"a\", \"prediction\": \"b\", \"reference\": \"b\"}",
                "duplicate field",
            ),
        ];
        for (line, reason) in cases {
            let found = problem(&format!("{good}{line}\n"));
            assert!(found.starts_with("f.jsonl:2: "), "{found}");
            assert!(found.contains(reason), "{found}");
        }
        assert_eq!(problem(" \n"), "f.jsonl: has no rows, expected at least one");
        let bytes: &[u8] = b"{\"prediction\": \"\xff\"}";
        let found = read_lines("f.jsonl", bytes).unwrap_err().to_string();
        assert_eq!(found, "f.jsonl:1: is not UTF-8 text");
    }
}
