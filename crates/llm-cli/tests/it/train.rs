//! `deeper train` from outside: what it prints and writes, how it stops and goes on, how it fails.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use llm_core::text::bpe::{PreTokenizer, Trainer};
use llm_show::golden::{Output, Run};
use serde_json::{Value, json};

/// Long enough for a loaded machine to reach its first steps; waiting ends when it has.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with a tokenizer, a model shape, rows and settings.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn new() -> Self {
        let folder = Self::empty();
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

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
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
fn rows_of_a_parquet_file_are_trained_on_in_packed_rows() {
    let folder = Folder::new();
    let row = |i: usize| format!("where is cat {i}?,on the mat\n");
    let table = (0..12).map(row).collect::<String>();
    folder.write("rows.csv", &format!("prompt,completion\n{table}"));
    let more = [
        "dataset_path=rows.csv",
        "batching=packed",
        "token_cache=cache",
        "--answers",
        "0",
    ];
    let csv = folder.train(more);
    assert_eq!(csv.code, Some(0), "{}", csv.stderr);
    assert!(csv.stderr.contains("packed"), "{}", csv.stderr);
    // The same rows as JSON lines, from the cache.
    let lines = folder.train(["batching=packed", "token_cache=cache", "--answers", "0"]);
    assert_eq!(lines.stdout, csv.stdout);
    assert_eq!(std::fs::read_dir(folder.path("cache")).unwrap().count(), 2);
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../llm-parquet/tests/fixtures/messages.parquet"
    );
    let path = format!("dataset_path={fixture}");
    let parquet = folder.train([path.as_str(), "validation_fraction=0", "--answers", "0"]);
    assert_eq!(parquet.code, Some(0), "{}", parquet.stderr);
}

/// `deeper train` in a process of its own.
fn spawn(folder: &Folder, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_deeper"))
        .args(["train", "--config", "train.yaml", "--threads", "1"])
        .args(more)
        .current_dir(folder.0.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until `there`, while the process lives.
fn wait_until(child: &mut Child, there: impl Fn() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < PATIENCE, "nothing within {PATIENCE:?}");
        assert!(child.try_wait().unwrap().is_none(), "the run has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args([name, &id]).status().unwrap();
    assert!(sent.success());
}

#[cfg(unix)]
#[test]
fn a_run_that_is_asked_to_stop_can_go_on() {
    let folder = Folder::new();
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut child = spawn(&folder, &["max_steps=1000000", "--log=dict"]);
        let metrics = folder.path("runs/latest/metrics.jsonl");
        wait_until(&mut child, || {
            std::fs::metadata(&metrics).is_ok_and(|file| file.len() > 0)
        });
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(
            stderr.contains("{'loss': ") && stderr.contains("'epoch': "),
            "{stderr}"
        );
        let resume = stderr.split("resume_from=").nth(1).unwrap().trim();
        let run = folder.path(resume);
        let saved = llm_train::checkpoint::list(&run.join("checkpoints")).unwrap();
        let (step, checkpoint) = saved.last().unwrap();
        assert!(*step >= 2 && checkpoint.join("manifest.json").is_file());
        let further = format!("resume_from={resume}");
        let refused = folder.train([further.as_str(), "max_steps=2"]);
        fails(&refused, 2, &["`max_steps`", "1000000"]);
        // Away with it, or its metrics.jsonl would be taken for the next one's.
        std::fs::remove_file(folder.path("runs/latest")).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_the_run_at_once() {
    let folder = Folder::new();
    let row = |i: usize| {
        format!(
            "{}\n",
            json!({"prompt": format!("{i}?"), "completion": "on"})
        )
    };
    folder.write("rows.jsonl", &(0..3000).map(row).collect::<String>());
    // Many answers before the first step, and a loop that would look at the first signal.
    let answers = [
        "--answers=2700",
        "--max-new-tokens=24",
        "validation_fraction=0.9",
    ];
    let mut child = spawn(&folder, &answers);
    wait_until(&mut child, || folder.path("runs/latest/lock").exists());
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(300));
        assert!(
            child.try_wait().unwrap().is_none(),
            "one signal lets it work on"
        );
        signal(&child, "-INT");
    }
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(!stderr.contains("error: "), "{stderr}");
}

#[cfg(unix)]
#[test]
fn two_processes_never_write_to_one_run() {
    let folder = Folder::new();
    let endless = ["max_steps=1000000", "save_steps=1", "save_total_limit=0"];
    let mut child = spawn(&folder, &endless);
    let first = folder.path("runs/latest/checkpoints/step-00000001");
    wait_until(&mut child, || first.exists());
    let second = folder.train(["max_steps=1000000", "--resume"]);
    fails(&second, 2, &["runs/", "still runs"]);
    child.kill().unwrap();
    child.wait().unwrap();
    // The lock has died with its owner: the refusal is another one now.
    let third = folder.train(["max_steps=3", "--resume"]);
    fails(&third, 2, &["`max_steps` is 3"]);
}

#[test]
fn settings_can_be_shown_before_anything_is_done() {
    let folder = Folder::new();
    let shown = folder.train(["--show-config", "lr=3e-4", "seed=5"]);
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
    let path = std::path::Path::new("shown");
    let config = llm_train::config::TrainConfig::parse(path, &shown.stdout, &[]).unwrap();
    assert_eq!((config.lr, config.seed, config.batch_size), (3e-4, 5, 2));
    for key in ["weight_decay: ", "save_best_k: ", "lora_target_modules:"] {
        assert!(shown.stdout.contains(key), "{key} in {}", shown.stdout);
    }
    assert!(!folder.path("runs").exists());
}

#[test]
fn fixed_prompts_are_answered_on_the_way() {
    let folder = Folder::new();
    let output = folder.train([
        "--answers=0",
        "sample_steps=2",
        "sample_prompts=[where is cat 3?, mat]",
        "sample_tokens=4",
        "max_steps=5",
    ]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let text = folder.read("runs/latest/samples_on_the_way.jsonl");
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let steps: Vec<u64> = rows
        .iter()
        .map(|row| row["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [2, 2, 4, 4, 5, 5]);
    assert_eq!(rows[0]["prompt"], "where is cat 3?");
    assert!(output.stdout.contains("prompt") && output.stdout.contains("where is cat 3?"));
    fails(
        &folder.train(["sample_steps=2"]),
        2,
        &["needs `sample_prompts`"],
    );
    let long = format!("sample_prompts=[{}]", "mat ".repeat(40));
    fails(
        &folder.train([long.as_str()]),
        2,
        &["`sample_prompts`", "1 to 31"],
    );
}

#[test]
fn a_sweep_runs_its_cells_once_and_goes_on_with_what_is_left() {
    let folder = Folder::new();
    let grid = "sweep={lr: [1e-3, 1e-2], seed: [1, 2]}";
    let quick = ["--answers=0", "max_steps=4", "save_steps=1", grid];
    let first = folder.train(quick);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    for word in ["lr", "seed", "cell-004", "best", "lr=0.01"] {
        assert!(first.stdout.contains(word), "{word} in {}", first.stdout);
    }
    let sweep: Value = serde_json::from_str(&folder.read("runs/latest/sweep.json")).unwrap();
    assert_eq!(sweep["runs"].as_array().unwrap().len(), 4);
    assert_eq!(sweep["runs"][2]["settings"], json!({"lr": 0.01, "seed": 1}));
    // As if it had been killed in the third of the four.
    let cell = |n: usize| folder.path(&format!("runs/latest/cell-00{n}"));
    std::fs::remove_dir_all(cell(4)).unwrap();
    std::fs::remove_file(cell(3).join("metrics.json")).unwrap();
    std::fs::remove_dir_all(cell(3).join("checkpoints/step-00000004")).unwrap();
    let untouched = std::fs::metadata(cell(2).join("metrics.json"))
        .unwrap()
        .modified()
        .unwrap();
    let again = folder.train(quick.into_iter().chain(["--resume"]));
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(again.stderr.matches("finished before").count(), 2);
    assert!(
        again.stderr.contains("going on after step 3"),
        "{}",
        again.stderr
    );
    let now = std::fs::metadata(cell(2).join("metrics.json"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(now, untouched);
    let other = [
        "--answers=0",
        "max_steps=5",
        "save_steps=1",
        grid,
        "--resume",
    ];
    fails(&folder.train(other), 2, &["`max_steps` is 5"]);
}

#[test]
fn a_run_of_a_sweep_that_falls_apart_is_a_row_of_its_table() {
    let folder = Folder::new();
    let grid = "sweep={lr: [1e-3, 1e3]}";
    let wild = [
        "--answers=0",
        "max_steps=8",
        "max_grad_norm=0",
        "weight_decay=1e3",
        grid,
    ];
    let output = folder.train(wild);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stdout.contains("cell-002  step "),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("best  cell-001"),
        "{}",
        output.stdout
    );
    let again = folder.train(wild.into_iter().chain(["--resume"]));
    assert_eq!((again.code, again.stdout), (Some(0), output.stdout));
}

#[test]
fn a_range_test_suggests_a_rate_and_draws_its_curve() {
    let folder = Folder::new();
    let output = folder.train(["--lr-range=1e-5..100", "--lr-steps=60"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stdout.contains("suggestion    lr="),
        "{}",
        output.stdout
    );
    let written = std::fs::read_dir(folder.path("runs"))
        .unwrap()
        .next()
        .unwrap();
    let written = written.unwrap().path();
    assert!(written.join("lr_range.json").is_file());
    let svg = std::fs::read_to_string(written.join("lr_range.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("learning rate"));
    assert!(!written.join("model").exists());
    fails(&folder.train(["--lr-range=1..0.1"]), 2, &["low < high"]);
    assert_eq!(folder.train(["--lr-range=fast"]).code, Some(2));
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
