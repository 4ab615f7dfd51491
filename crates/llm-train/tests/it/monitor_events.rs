//! TensorBoard's event files against the tensorboard package (`tools/oracle/tensorboard_events.py`),
//! and the files that a run leaves behind.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use llm_train::finetune::{Measure, finetune};
use llm_train::monitor::diagnose::diagnose;
use llm_train::monitor::record::Record;
use llm_train::monitor::tensorboard::{EventFile, masked_crc, record, scalars, text, version};
use llm_train::monitor::{Monitor, News};
use llm_train::observe::{LogRow, MetricsFile};
use llm_train::runs::RunFolder;
use llm_train::session::Session;
use serde_json::Value;

use crate::kit::Kit;

fn fixture() -> Value {
    serde_json::from_str(include_str!("../fixtures/tensorboard/events.json")).unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let digits = hex.as_str().unwrap().as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

#[test]
fn crcs_and_events_are_those_of_tensorboard() {
    let fixture = fixture();
    let time = fixture["wall_time"].as_f64().unwrap();
    for case in fixture["crcs"].as_array().unwrap() {
        let got = masked_crc(&bytes(&case["bytes"]));
        assert_eq!(u64::from(got), case["masked"].as_u64().unwrap(), "{case}");
    }
    assert_eq!(version(time), bytes(&fixture["version"]));
    for case in fixture["scalars"].as_array().unwrap() {
        let values: Vec<(&str, f64)> = case["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| {
                let number = pair[1].as_str().unwrap().parse().unwrap();
                (pair[0].as_str().unwrap(), number)
            })
            .collect();
        let got = scalars(time, case["step"].as_u64().unwrap(), &values);
        assert_eq!(got, bytes(&case["event"]), "{}", case["values"]);
    }
    for case in fixture["texts"].as_array().unwrap() {
        let [tag, content] = ["tag", "text"].map(|key| case[key].as_str().unwrap());
        let got = text(time, case["step"].as_u64().unwrap(), tag, content);
        assert_eq!(got, bytes(&case["event"]), "{tag}");
    }
}

/// The events of a file; the frame of each is checked, a torn last one is left out.
fn events(path: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(path).unwrap();
    let (mut rest, mut events) = (file.as_slice(), Vec::new());
    while let Some((length, after)) = rest.split_at_checked(8) {
        let size = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let Some((frame, next)) = rest.split_at_checked(size + 16) else {
            break;
        };
        let event = &after[4..4 + size];
        assert_eq!(frame, record(event), "a frame with another CRC");
        events.push(event.to_vec());
        rest = next;
    }
    events
}

/// A field of a protobuf message: its number and its bytes, without those of length prefixes.
fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    let number = |message: &mut &[u8]| {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let (byte, rest) = message.split_first().unwrap();
            *message = rest;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return value;
            }
        }
    };
    while !message.is_empty() {
        let key = number(&mut message);
        let size = match key & 7 {
            0 => {
                let value = number(&mut message);
                found.push((key >> 3, value.to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            5 => 4,
            _ => number(&mut message) as usize,
        };
        let (field, rest) = message.split_at(size);
        found.push((key >> 3, field.to_vec()));
        message = rest;
    }
    found
}

/// Steps, tags and values of all scalars of a file.
fn values(path: &Path) -> Vec<(u64, String, f32)> {
    let mut found = Vec::new();
    for event in events(path) {
        let fields_of = fields(&event);
        let step = fields_of
            .iter()
            .find(|(key, _)| *key == 2)
            .map_or(0, |(_, bytes)| {
                u64::from_le_bytes(bytes.as_slice().try_into().unwrap())
            });
        for (_, summary) in fields_of.iter().filter(|(key, _)| *key == 5) {
            for (_, value) in fields(summary) {
                let value = fields(&value);
                let field = |key: u64| {
                    value
                        .iter()
                        .find(|(k, _)| *k == key)
                        .map(|(_, b)| b.clone())
                };
                if let (Some(tag), Some(number)) = (field(1), field(2)) {
                    let number = f32::from_le_bytes(number.as_slice().try_into().unwrap());
                    found.push((step, String::from_utf8(tag).unwrap(), number));
                }
            }
        }
    }
    found
}

fn watched(kit: &Kit, config: &llm_train::config::TrainConfig) -> (RunFolder, PathBuf, usize) {
    let session = Session::open(config.clone(), Some(&kit.base())).unwrap();
    let run = RunFolder::create(&config.output_dir, "test", UNIX_EPOCH).unwrap();
    let mut system = 0;
    let mut metrics = MetricsFile::append(&run.metrics()).unwrap();
    let mut monitor = Monitor::start(&run, &session, |news| {
        system += usize::from(matches!(news, News::System(_)));
    })
    .unwrap();
    let path = monitor.event_file();
    let measure = Measure {
        answers: 1,
        max_new_tokens: 4,
    };
    finetune(
        &session,
        &run,
        measure,
        &mut [&mut metrics, &mut monitor],
        None,
        |_| {},
    )
    .unwrap();
    drop(monitor);
    (run, path, system)
}

#[test]
fn a_run_leaves_its_log_in_every_form_with_equal_values() {
    let kit = Kit::new(true);
    let config = kit.config(&kit.rows());
    let (run, path, told) = watched(&kit, &config);
    let log = std::fs::read_to_string(run.metrics()).unwrap();
    let rows: Vec<LogRow> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let got = values(&path);
    let mut compared = 0;
    for row in &rows {
        let columns = [
            ("loss", Some(row.loss)),
            ("val", row.val),
            ("lr", Some(row.lr)),
            ("grad_norm", Some(row.grad)),
            ("epoch", Some(row.epoch)),
            ("tokens_per_second", Some(row.tokens_per_second)),
        ];
        for (tag, value) in columns {
            let found: Vec<f32> = got
                .iter()
                .filter(|(step, name, _)| *step == row.step && name == tag)
                .map(|(_, _, value)| *value)
                .collect();
            let want: Vec<f32> = value.iter().map(|value| *value as f32).collect();
            assert_eq!(found, want, "{tag} at step {}", row.step);
            compared += want.len();
        }
    }
    println!("{compared} values of {} rows are equal as f32", rows.len());
    let read = Record::read(&run.path).unwrap();
    assert_eq!(read.rows, rows);
    assert_eq!((read.system.len(), told), (rows.len(), rows.len()));
    assert!(
        read.checks.iter().all(|check| check.ok),
        "{:?}",
        read.checks
    );
    assert_eq!(
        read.checks.len(),
        llm_train::monitor::checks::NAMES.len() + 1
    );
    assert_eq!((read.bad_lines, read.samples.len()), (0, 1));
    let diagnosis = diagnose(&read);
    assert!(diagnosis.healthy, "{diagnosis:?}");
}

#[test]
fn a_torn_record_costs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(1_705_314_645);
    let mut file = EventFile::create(folder.path(), now).unwrap();
    for step in 1..=5 {
        file.scalars(step, now, &[("loss", step as f64)]).unwrap();
    }
    let whole = std::fs::read(file.path()).unwrap();
    for cut in 1..40 {
        std::fs::write(file.path(), &whole[..whole.len() - cut]).unwrap();
        let left = values(file.path());
        assert_eq!(left.len(), 4, "{cut} bytes cut");
        assert_eq!(left[3], (4, "loss".to_owned(), 4.0));
    }
    let name = file
        .path()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    assert!(
        name.starts_with("events.out.tfevents.1705314645."),
        "{name}"
    );
}

#[test]
fn any_folder_can_be_read_as_a_run_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = Record::read(folder.path()).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("no folder of a run"), "{error}");
    assert!(Record::read(&folder.path().join("none")).is_err());
    let junk: [(&str, &[u8]); 8] = [
        ("config_used.yaml", b"\xff\xfe: ["),
        (
            "metrics.jsonl",
            b"{\"step\": 1}\nnull\n{\"step\"\n\xff\n[[[[\n",
        ),
        (
            "system.jsonl",
            b"{\"step\": -1}\n{\"step\": 2, \"memory_bytes\": 1e99}\n",
        ),
        ("warnings.jsonl", b"{\"rule\": \"unknown\"}\n"),
        ("checks.json", b"{}"),
        ("error.json", b"[]"),
        ("metrics.json", b"{\"loss\": null}"),
        ("samples.jsonl", b"1\n\"x\"\n"),
    ];
    for (name, bytes) in junk {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let read = Record::read(folder.path()).unwrap();
    assert!(read.rows.is_empty() && read.warnings.is_empty() && read.failure.is_none());
    assert_eq!(read.bad_lines, 5 + 2 + 1 + 1 + 1);
    assert!(
        diagnose(&read)
            .notes
            .iter()
            .any(|note| note.contains("cannot be read"))
    );
}
