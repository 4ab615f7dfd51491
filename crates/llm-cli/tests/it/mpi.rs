//! `deeper train` under `mpirun`: `cargo xtask mpi` runs these tests, with an optimised build, because
//! they need an MPI; the others of this binary need none.
//!
//! They print the largest difference of the gradients, and how fast one process and two are.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::processes::{
    ENDLESS, Ended, ended, gradients_are_those_of_one, run_of, the_run_is_that_of_one,
};
use crate::train::{Folder, PATIENCE};

/// Processes of each run.
const SIZE: &str = "2";

/// An mpirun of two processes on this machine, whoever runs it and however few cores it has.
fn mpirun(folder: &Folder, args: &[&str]) -> Child {
    Command::new("mpirun")
        .args(["-np", SIZE, "--oversubscribe", "--bind-to", "none"])
        .arg(env!("CARGO_BIN_EXE_deeper"))
        .args(["train", "--config", "train.yaml"])
        .args(args)
        .envs([
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ])
        // Containers often forbid one process to read another one's memory.
        .env("OMPI_MCA_btl_vader_single_copy_mechanism", "none")
        .current_dir(folder.path(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mpirun starts; hint: cargo xtask mpi installs it")
}

fn succeeds(folder: &Folder, args: &[&str]) -> Ended {
    let ended = ended(mpirun(folder, args));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended
}

#[test]
fn gradients_of_mpirun_are_those_of_one_process() {
    let folder = Folder::new();
    gradients_are_those_of_one(&folder, |args| {
        let ended = succeeds(&folder, args);
        assert_eq!(
            ended.stdout.matches("norm").count(),
            1,
            "one process speaks"
        );
    });
}

#[test]
fn two_processes_of_mpirun_train_one_model() {
    let folder = Folder::new();
    the_run_is_that_of_one(&folder, |args| {
        let ended = succeeds(&folder, args);
        assert_eq!(ended.stdout.matches("95 % interval").count(), 1);
        assert!(ended.stderr.contains("2 over mpi"), "{}", ended.stderr);
    });
}

/// A run without end that has written a checkpoint, and the processes of its mpirun.
fn endless(folder: &Folder) -> (Child, Vec<u32>) {
    let mut child = mpirun(folder, &ENDLESS);
    let begun = Instant::now();
    let checkpoints = folder.path("runs/latest/checkpoints");
    while !llm_train::checkpoint::list(&checkpoints).is_ok_and(|found| !found.is_empty()) {
        assert!(
            begun.elapsed() < PATIENCE,
            "no checkpoint within {PATIENCE:?}"
        );
        assert!(child.try_wait().unwrap().is_none(), "mpirun has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let started = children(child.id());
    assert_eq!(started.len(), 2, "processes of mpirun: {started:?}");
    (child, started)
}

/// Numbers of the `deeper` processes whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |number: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        // `number (name) state parent …`; a name may hold anything but ends at the last bracket.
        let Some((start, rest)) = text.rsplit_once(") ") else {
            return false;
        };
        let found = rest
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse::<u32>().ok());
        start.ends_with("(deeper") && found == Some(parent)
    };
    numbers.filter(is_child).collect()
}

fn signal(name: &str, process: u32) {
    let process = process.to_string();
    let sent = Command::new("kill").args([name, &process]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_signal_to_one_process_of_mpirun_stops_all_with_a_checkpoint() {
    let folder = Folder::new();
    let (child, started) = endless(&folder);
    signal("-TERM", started[1]);
    let ended = ended(child);
    assert!(
        matches!(ended.code, Some(130 | 143)),
        "{:?} {}",
        ended.code,
        ended.stderr
    );
    let told = ended.stderr.matches("stopped after step ").count();
    assert_eq!(told, 1, "{}", ended.stderr);
    let saved = llm_train::checkpoint::list(&folder.path("runs/latest/checkpoints")).unwrap();
    let (step, checkpoint) = saved.last().unwrap();
    llm_store::manifest::verify(checkpoint).unwrap();
    assert!(
        ended.stderr.contains(&format!("stopped after step {step}")),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_process_of_mpirun_that_is_killed_ends_the_others() {
    let folder = Folder::new();
    let (child, started) = endless(&folder);
    signal("-KILL", started[0]);
    let begun = Instant::now();
    let ended = ended(child);
    assert!(
        begun.elapsed() < PATIENCE,
        "it waited for {:?}",
        begun.elapsed()
    );
    assert_ne!(ended.code, Some(0), "{}", ended.stderr);
    let saved = llm_train::checkpoint::list(&folder.path("runs/latest/checkpoints")).unwrap();
    llm_store::manifest::verify(&saved.last().unwrap().1).unwrap();
}

#[test]
fn what_is_wrong_is_said_once_under_mpirun() {
    let folder = Folder::new();
    let ended = ended(mpirun(&folder, &["dataset_path=nowhere"]));
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert_eq!(
        ended.stderr.matches("error: ").count(),
        1,
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("nowhere"), "{}", ended.stderr);
}

/// The mean of the last rows' tokens a second: the first ones warm up.
fn speed(run: &Path) -> f64 {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let rows = text.lines().skip(2).map(|line| {
        let row: Value = serde_json::from_str(line).unwrap();
        row["tokens_per_second"].as_f64().unwrap()
    });
    let speeds: Vec<f64> = rows.collect();
    assert!(speeds.len() >= 4, "{} rows", speeds.len());
    speeds.iter().sum::<f64>() / speeds.len() as f64
}

#[test]
fn one_process_and_two_are_timed_on_the_same_rows() {
    let folder = Folder::new();
    let mut shape: Value = serde_json::from_str(&folder.read("shape.json")).unwrap();
    let larger = [
        ("hidden_size", 256),
        ("intermediate_size", 1024),
        ("num_hidden_layers", 4),
        ("num_attention_heads", 4),
        ("num_key_value_heads", 4),
        ("head_dim", 64),
        ("max_position_embeddings", 256),
    ];
    for (key, value) in larger {
        shape[key] = json!(value);
    }
    folder.write("shape.json", &shape.to_string());
    let row = |i: usize| {
        let text = format!("the cat {i} sat on the mat ").repeat(8);
        format!("{}\n", json!({"prompt": "where?", "completion": text}))
    };
    folder.write("rows.jsonl", &(0..64).map(row).collect::<String>());
    let settings = [
        "--answers=0",
        "--allow=constant-batches",
        "--allow=leaking-split",
        "max_length=128",
        "validation_fraction=0",
        "batch_size=8",
        "gradient_accumulation_steps=2",
        "max_steps=8",
        "logging_steps=1",
    ];
    let alone = ["train", "--config=train.yaml", "output_dir=alone"];
    let alone = folder.deeper(alone.into_iter().chain(settings));
    assert_eq!(alone.code, Some(0), "{}", alone.stderr);
    succeeds(&folder, &[&settings[..], &["output_dir=shared"]].concat());
    let runs: [PathBuf; 2] = ["alone", "shared"].map(|runs| run_of(&folder, runs));
    let [one, two] = runs.map(|run| speed(&run));
    let cores = std::thread::available_parallelism().unwrap();
    println!(
        "{cores} cores: one process {one:.0} tok/s, {SIZE} processes {two:.0} tok/s, {:.2} times",
        two / one
    );
    assert!(one > 0.0 && two > 0.0);
}
