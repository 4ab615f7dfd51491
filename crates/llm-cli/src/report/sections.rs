//! What stands in a report, in reading order.

use std::time::Duration;

use llm_show::number::{bytes, count, duration, number};
use llm_show::svg::{Line, Picture, lines};
use llm_train::monitor::diagnose::diagnose;
use llm_train::monitor::record::Record;
use llm_train::observe::LogRow;
use serde_json::{Map, Value};

use super::html::{Cell, Page};

/// Rows of a table of answers, warnings or files.
const SHOWN: usize = 50;
/// Characters of a text in a table.
const LONGEST: usize = 2000;

/// The page of a run.
pub(super) fn page(record: &Record) -> String {
    let mut page = Page::new(&format!("Run {}", record.name()));
    status(&mut page, record);
    faults(&mut page, record);
    results(&mut page, record);
    curves(&mut page, record);
    answers(&mut page, "Answers while it trained", &record.on_the_way);
    answers(&mut page, "Answers before and after", &record.samples);
    warnings(&mut page, record);
    checks(&mut page, record);
    data(&mut page, record);
    if let Some(text) = &record.config_text {
        page.section("Settings");
        page.verbatim(text);
    }
    if let Some(Value::Object(map)) = &record.environment {
        page.section("Machine");
        page.table(&[], pairs(map));
    }
    page.finish()
}

fn status(page: &mut Page, record: &Record) {
    let outcome = record.metrics.as_ref().map(|metrics| &metrics["outcome"]);
    match (&record.failure, outcome) {
        (Some(failure), _) => page.bad(&failure.error),
        (None, Some(outcome)) => {
            let seconds = outcome["seconds"].as_f64().unwrap_or(0.0);
            let time = duration(Duration::try_from_secs_f64(seconds).unwrap_or_default());
            let steps = count(outcome["steps"].as_u64().unwrap_or(0));
            let end = outcome["end"].as_str().unwrap_or("ended").replace('_', " ");
            page.muted(&format!("{end} after {steps} steps in {time}"));
        }
        (None, None) => page.muted("has not ended"),
    }
    if record.bad_lines > 0 {
        page.muted(&format!(
            "{} lines of its files cannot be read",
            record.bad_lines
        ));
    }
}

fn faults(page: &mut Page, record: &Record) {
    let diagnosis = diagnose(record);
    page.section("Diagnosis");
    if diagnosis.healthy {
        page.say("No fault found.");
        return;
    }
    let row = |finding: &llm_train::monitor::diagnose::Finding| {
        vec![
            finding.fault.as_str().into(),
            short(&finding.evidence.join("\n")).into(),
            finding.remedy.as_str().into(),
        ]
    };
    let names = ["fault", "evidence", "remedy"];
    page.table(&names, diagnosis.findings.iter().map(row));
}

/// Before and after training.
fn results(page: &mut Page, record: &Record) {
    if let Some(metrics) = &record.metrics {
        let rows: Vec<Vec<Cell>> = ["loss", "exact_match"]
            .iter()
            .filter_map(|name| before_after(name, &metrics[*name]))
            .collect();
        if !rows.is_empty() {
            page.section("Results on held-out rows");
            let names = ["", "before", "after", "difference", "95 % interval"];
            page.table(&names, rows);
        }
    }
}

fn before_after(name: &str, values: &Value) -> Option<Vec<Cell>> {
    let form = |value: &Value| Some(Cell::Number(number(value.as_f64()?)));
    let difference = &values["difference"];
    let [low, high] = [&difference["low"], &difference["high"]].map(Value::as_f64);
    Some(vec![
        name.replace('_', " ").into(),
        form(&values["before"])?,
        form(&values["after"])?,
        form(&difference["value"])?,
        Cell::Number(format!("[{}, {}]", number(low?), number(high?))),
    ])
}

fn curves(page: &mut Page, record: &Record) {
    if record.rows.is_empty() {
        return;
    }
    page.section("Curves");
    let series = |name: &str, value: fn(&LogRow) -> Option<f64>| Line {
        name: name.to_owned(),
        points: record
            .rows
            .iter()
            .filter_map(|row| Some((row.step as f64, value(row)?)))
            .collect(),
    };
    let picture = |title: &str, y: &str, all: Vec<Line>| {
        let drawn: Vec<Line> = all
            .into_iter()
            .filter(|line| !line.points.is_empty())
            .collect();
        lines(title, ["step", y], &drawn)
    };
    let loss = vec![
        series("training", |row| Some(row.loss)),
        series("held out", |row| row.val),
    ];
    let mut pictures = vec![
        picture("Loss", "per token", loss),
        picture(
            "Learning rate",
            "lr",
            vec![series("lr", |row| Some(row.lr))],
        ),
        picture(
            "Gradient norm",
            "before clipping",
            vec![series("grad", |row| Some(row.grad))],
        ),
        picture(
            "Speed",
            "tokens a second",
            vec![series("tokens/s", |row| Some(row.tokens_per_second))],
        ),
    ];
    pictures.extend(memory(record));
    page.figures(&pictures);
}

fn memory(record: &Record) -> Option<Picture> {
    let points: Vec<(f64, f64)> = record
        .system
        .iter()
        .filter_map(|row| {
            Some((
                row.step as f64,
                row.memory_bytes? as f64 / f64::from(1 << 20),
            ))
        })
        .collect();
    let line = Line {
        name: "memory".into(),
        points,
    };
    (!line.points.is_empty()).then(|| lines("Memory", ["step", "MiB"], &[line]))
}

fn answers(page: &mut Page, title: &str, samples: &[Value]) {
    if samples.is_empty() {
        return;
    }
    page.section(title);
    let text = |row: &Value, key: &str| match &row[key] {
        Value::String(text) => short(text),
        Value::Null => String::new(),
        other => short(&other.to_string()),
    };
    let known = ["step", "prompt", "text", "expected", "before", "after"];
    let used = |key: &&str| samples.iter().any(|row| !row[*key].is_null());
    let keys: Vec<&str> = known.into_iter().filter(used).collect();
    let row = |row: &Value| keys.iter().map(|key| Cell::from(text(row, key))).collect();
    page.table(&keys, samples.iter().take(SHOWN).map(row));
    more(page, samples.len());
}

fn warnings(page: &mut Page, record: &Record) {
    if record.warnings.is_empty() {
        return;
    }
    page.section("Warnings while it trained");
    let row = |warning: &llm_train::monitor::rules::Warning| {
        vec![
            Cell::Number(count(warning.step)),
            short(&warning.message).into(),
            short(&warning.hint).into(),
        ]
    };
    page.table(
        &["step", "seen", "hint"],
        record.warnings.iter().take(SHOWN).map(row),
    );
    more(page, record.warnings.len());
}

fn checks(page: &mut Page, record: &Record) {
    if record.checks.is_empty() {
        return;
    }
    page.section("Checks before training");
    let row = |check: &llm_train::monitor::checks::Checked| {
        let verdict = if check.ok { "ok" } else { "fault" };
        let note = check.note.as_deref().unwrap_or_default();
        vec![
            check.name.as_str().into(),
            verdict.into(),
            short(note).into(),
        ]
    };
    page.table(&["check", "", ""], record.checks.iter().map(row));
}

/// What it was trained on: rows of each part, files with their hashes.
fn data(page: &mut Page, record: &Record) {
    let Some(data) = &record.data else { return };
    page.section("Data");
    let parts = ["train", "validation"];
    let names = [
        "rows",
        "examples",
        "truncated",
        "dropped",
        "tokens",
        "supervised",
    ];
    let number = |part: &str, name: &str| match data["rows"][part][name].as_u64() {
        Some(number) => Cell::Number(count(number)),
        None => "–".into(),
    };
    let row = |part: &str| {
        let mut cells: Vec<Cell> = vec![part.into()];
        cells.extend(names.iter().map(|name| number(part, name)));
        cells
    };
    let header: Vec<&str> = std::iter::once("").chain(names).collect();
    page.table(&header, parts.map(row));
    let files = data["files"]["data"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let row = |file: &Value| {
        let hash: String = file["sha256"]
            .as_str()
            .unwrap_or_default()
            .chars()
            .take(16)
            .collect();
        vec![
            short(file["path"].as_str().unwrap_or_default()).into(),
            Cell::Number(file["size"].as_u64().map_or_else(String::new, bytes)),
            hash.into(),
        ]
    };
    if !files.is_empty() {
        page.table(
            &["file", "size", "sha256"],
            files.iter().take(SHOWN).map(row),
        );
        more(page, files.len());
    }
}

/// Names and values of an object, and of the objects in it.
fn pairs(map: &Map<String, Value>) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for (key, value) in map {
        match value {
            Value::Object(inner) => {
                rows.extend(
                    inner
                        .iter()
                        .map(|(name, value)| pair(&format!("{key}.{name}"), value)),
                );
            }
            value => rows.push(pair(key, value)),
        }
    }
    rows
}

fn pair(key: &str, value: &Value) -> Vec<Cell> {
    let value = match value {
        Value::String(text) => short(text).into(),
        Value::Number(value) if value.is_f64() => {
            Cell::Number(number(value.as_f64().unwrap_or(f64::NAN)))
        }
        other => short(&other.to_string()).into(),
    };
    vec![key.into(), value]
}

fn more(page: &mut Page, all: usize) {
    if all > SHOWN {
        page.muted(&format!("… {} more", all - SHOWN));
    }
}

/// A text cut to what a table can hold.
fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
