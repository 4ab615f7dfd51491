//! The bundled Quayline rows and suites are what data/README.md says, and training on the rows
//! starts as it did when the book's curve was drawn.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use llm_train::config::TrainConfig;
use llm_train::dsl::{Query, generate, to_lines};
use llm_train::observe::{Callback, Event};
use llm_train::quality::leakage;
use llm_train::session::Session;
use serde_json::Value;
use sha2::{Digest, Sha256};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join("data").join(file)).unwrap()
}

fn field(file: &str, key: &str) -> Vec<String> {
    let lines = text(file);
    let values = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    values
        .map(|value| value[key].as_str().unwrap().to_owned())
        .collect()
}

/// `BLESS=1` writes the files anew.
#[test]
fn the_files_are_what_the_generator_writes() {
    let split = generate(1200, 240, 7);
    for (file, rows) in [
        ("dsl/train.jsonl", &split.train),
        ("dsl/heldout.jsonl", &split.held_out),
    ] {
        let want = to_lines(rows);
        if std::env::var_os("BLESS").is_some() {
            let path = root().join("data").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &want).unwrap();
        }
        assert!(text(file) == want, "{file} differs; BLESS=1 writes it");
        assert!(want.len() <= 200_000, "{file} has {} bytes", want.len());
    }
}

#[test]
fn no_prompt_and_no_combination_is_in_both_files() {
    let prompts = ["dsl/train.jsonl", "dsl/heldout.jsonl"].map(|file| field(file, "prompt"));
    let leaks = leakage(&prompts[0], &prompts[1]);
    assert!(leaks.is_empty(), "{leaks:?}");
    let combinations = |file: &str| -> BTreeSet<String> {
        let queries = field(file, "completion");
        queries
            .iter()
            .map(|query| Query::parse(query).unwrap().combination())
            .collect()
    };
    let (train, held) = (
        combinations("dsl/train.jsonl"),
        combinations("dsl/heldout.jsonl"),
    );
    assert!(train.is_disjoint(&held) && held.len() == 240);
}

#[test]
fn hashes_stand_in_the_readme() {
    let readme = text("README.md");
    for file in [
        "dsl/train.jsonl",
        "dsl/heldout.jsonl",
        "suites/facts.jsonl",
        "suites/arithmetic.jsonl",
        "suites/instruction.jsonl",
    ] {
        let digest = Sha256::digest(text(file).as_bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{file}`")));
        let row = row.unwrap_or_else(|| panic!("{file} has no row"));
        assert!(
            row.contains(&digest),
            "{file} has sha256 {digest}, the table says {row}"
        );
    }
}

#[test]
fn suites_have_four_choices_and_no_favourite_place() {
    for suite in ["facts", "arithmetic", "instruction"] {
        let lines = text(&format!("suites/{suite}.jsonl"));
        let rows: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(rows.len(), 40, "{suite}");
        let mut golds = [0; 4];
        let mut queries = BTreeSet::new();
        for row in &rows {
            let choices: BTreeSet<&str> = row["choices"]
                .as_array()
                .unwrap()
                .iter()
                .map(|c| c.as_str().unwrap())
                .collect();
            assert_eq!(choices.len(), 4, "{row}");
            golds[row["gold"].as_u64().unwrap() as usize] += 1;
            assert!(queries.insert(row["query"].as_str().unwrap()), "{row}");
        }
        assert_eq!(golds, [10; 4], "{suite}");
    }
}

/// The step of the first row of the log, and its loss in the run of docs/src/training/dsl.md.
const STEP: u64 = 10;
const LOSS: f64 = 7.489;
/// How far another instruction set or a kernel's order of summation may move it.
const SHARE: f64 = 0.05;

#[test]
fn the_curve_starts_in_its_band() {
    let settings = root().join("configs/dsl.yaml");
    let mut config = TrainConfig::load(&settings, &["device=cpu".to_owned()]).unwrap();
    config.dataset_path = root().join(&config.dataset_path);
    config.validation_path = config.validation_path.map(|path| root().join(path));
    let base = root().join(config.model_name.as_deref().unwrap());
    let session = Session::open(config, Some(&base)).unwrap();
    let stop = AtomicBool::new(false);
    let mut seen = Vec::new();
    let mut log = Callback(|event: &Event| match event {
        Event::Logged(row) => seen.push((row.step, row.loss)),
        Event::Stepped(report) if report.step == STEP => stop.store(true, Ordering::SeqCst),
        _ => {}
    });
    session.train(None, &mut [&mut log], Some(&stop)).unwrap();
    let (_, loss) = seen.iter().find(|(step, _)| *step == STEP).unwrap();
    let share = (loss / LOSS - 1.0).abs();
    assert!(
        share <= SHARE,
        "step {STEP}: loss {loss}, expected {LOSS}, {share:.3} off, at most {SHARE}"
    );
}
