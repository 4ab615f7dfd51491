//! `deeper train` from outside: what it prints and writes, how it stops and goes on, how it fails.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use llm_core::text::bpe::{PreTokenizer, Trainer};
use llm_show::golden::{Output, Run};
use serde_json::{Value, json};

/// Long enough for a loaded machine to reach its first steps; waiting ends when it has.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with a tokenizer, a model shape, rows and settings.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let trainer = Trainer::new(280, PreTokenizer::qwen2().unwrap());
        let learned = trainer
            .train(["the cat sat on the mat"])
            .unwrap()
            .to_tokenizer_json();
        let mut tokenizer: Value = serde_json::from_str(&learned).unwrap();
        let size = tokenizer["model"]["vocab"].as_object().unwrap().len();
        tokenizer["added_tokens"] = json!([{"id": size, "content": "<|endoftext|>",
            "special": true, "lstrip": false, "rstrip": false, "normalized": false,
            "single_word": false}]);
        folder.write("tokenizer.json", &tokenizer.to_string());
        folder.write("tokenizer_config.json", r#"{"eos_token": "<|endoftext|>"}"#);
        let shape = json!({"model_type": "qwen3", "vocab_size": size + 1, "hidden_size": 16,
            "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 32,
            "tie_word_embeddings": true});
        folder.write("shape.json", &shape.to_string());
        let row = |i: usize| {
            let row = json!({"prompt": format!("where is cat {i}?"), "completion": "on the mat"});
            format!("{row}\n")
        };
        folder.write("rows.jsonl", &(0..12).map(row).collect::<String>());
        let settings = "model_config: shape.json\ntokenizer: .\ndataset_path: rows.jsonl\n\
            max_length: 32\nbatch_size: 2\nepochs: 2\nlogging_steps: 2\nsave_steps: 0\n\
            output_dir: runs\ndevice: cpu\nlr: 1e-2\n";
        folder.write("train.yaml", settings);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn train<'a>(&self, more: impl IntoIterator<Item = &'a str>) -> Output {
        let all = ["train", "--config", "train.yaml", "--threads", "1"]
            .into_iter()
            .chain(more);
        self.deeper(all)
    }

    pub(crate) fn deeper<'a>(&self, all: impl IntoIterator<Item = &'a str>) -> Output {
        Run::new(env!("CARGO_BIN_EXE_deeper"))
            .folder(self.0.path())
            .args(all)
            .output()
            .unwrap()
    }
}

fn fails(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.code, Some(code), "{}", output.stderr);
    assert_eq!(output.stdout, "");
    let error = output
        .stderr
        .lines()
        .find(|line| line.starts_with("error: "));
    let error = error.unwrap_or_else(|| panic!("no error line in {}", output.stderr));
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
}

#[test]
fn a_run_prints_the_same_table_twice_and_writes_its_folder() {
    let folder = Folder::new();
    let first = folder.train(["--answers", "1", "--max-new-tokens", "4"]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(first.stdout.contains("95 % interval") && first.stdout.contains("exact match"));
    assert!(first.stderr.contains("gradient audit: ") && first.stderr.contains("tok/s"));
    let second = folder.train(["--answers", "1", "--max-new-tokens", "4"]);
    assert_eq!(first.stdout, second.stdout);
    for name in [
        "model/model.safetensors",
        "metrics.jsonl",
        "config_used.yaml",
        "env.json",
    ] {
        assert!(folder.path("runs/latest").join(name).is_file(), "{name}");
    }
}

#[test]
fn a_run_that_is_interrupted_can_go_on() {
    let folder = Folder::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_deeper"))
        .args([
            "train",
            "--config",
            "train.yaml",
            "--threads",
            "1",
            "max_steps=1000000",
        ])
        .current_dir(folder.0.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let metrics = folder.path("runs/latest/metrics.jsonl");
    let begun = Instant::now();
    while !std::fs::metadata(&metrics).is_ok_and(|file| file.len() > 0) {
        assert!(begun.elapsed() < PATIENCE, "no step within {PATIENCE:?}");
        assert!(child.try_wait().unwrap().is_none(), "the run has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    let resume = stderr
        .split("resume_from=")
        .nth(1)
        .unwrap()
        .trim()
        .to_owned();
    let step: u64 = resume.rsplit('-').next().unwrap().parse().unwrap();
    assert!(
        folder.path(&resume).join("manifest.json").is_file(),
        "{resume}"
    );
    let further = format!("resume_from={resume}");
    let refused = folder.train([further.as_str(), "max_steps=2"]);
    fails(&refused, 2, &["`max_steps`", "1000000"]);
    assert!(step >= 2);
}

#[test]
fn mistakes_have_one_line_a_hint_and_a_code() {
    let folder = Folder::new();
    fails(
        &folder.train(["learning_rate=1"]),
        2,
        &["unknown key `learning_rate`"],
    );
    fails(&folder.train(["lr=-1"]), 2, &["`lr` is -1"]);
    fails(
        &folder.train(["dataset_path=nowhere"]),
        2,
        &["nowhere", "does not exist"],
    );
    fails(&folder.train(["max_length=33"]), 2, &["context is 32"]);
    fails(
        &folder.train(["output_dir=rows.jsonl/runs"]),
        3,
        &["rows.jsonl"],
    );
    folder.write(
        "rows.jsonl",
        "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": 1}\n",
    );
    let output = folder.train([]);
    fails(&output, 2, &["rows.jsonl:2", "expected a string"]);
    assert!(output.stderr.contains("hint: "), "{}", output.stderr);
    folder.write("rows.jsonl", "");
    fails(&folder.train([]), 2, &["rows.jsonl", "has no rows"]);
    folder.write("train.yaml", "model_config: shape.json\nepochs: [1\n");
    fails(&folder.train([]), 2, &["train.yaml"]);
    assert!(!folder.path("runs/latest").exists());
}
