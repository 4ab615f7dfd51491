//! `deeper train` dies at any moment and ends as if nothing had happened.
//!
//! Nothing in the program knows of these tests, with one exception: a build with debug assertions
//! counts the operations of atomic writes and can fail or abort at one of them
//! (`llm_store::fault`). For the rest the harness looks at the disk: while a save is under way, a
//! folder with a temporary name stands among the checkpoints, and the process that leaves one
//! behind was killed inside its save.
//!
//! `DEEPER_KILLS=100` (`cargo xtask torture`) makes that many kills, three in ten inside a save, and
//! goes through every operation instead of a sample of them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use llm_store::hash::folder_digest;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::train::{Folder, PATIENCE};

/// Steps of a run: two passes and a bit over 31 rows, four micro-batches of two rows a step.
const STEPS: u64 = 9;
/// Kills in the test suite, over both methods.
const KILLS: usize = 10;
/// Kills of one run at most; then it may end.
const KILLS_OF_A_RUN: usize = 5;

const SETTINGS: &str = "tokenizer: .\ndataset_path: rows.jsonl\nmax_length: 32\nbatch_size: 2\n\
    gradient_accumulation_steps: 4\nmax_steps: 9\nlogging_steps: 1\neval_steps: 3\nsave_steps: 2\n\
    save_total_limit: 2\noutput_dir: runs\ndevice: cpu\nlr: 1e-2\nlora_r: 4\nlora_dropout: 0.1\n\
    lora_target_modules: [q_proj, v_proj, down_proj]\n";

fn kills() -> usize {
    std::env::var("DEEPER_KILLS").map_or(KILLS, |text| text.parse().unwrap())
}

/// A folder with everything for runs of one method.
struct Work {
    folder: Folder,
    method: &'static str,
}

impl Work {
    fn new(method: &'static str) -> Self {
        let folder = Folder::new();
        let row = |i: usize| {
            let words = "on the mat ".repeat(1 + i % 3);
            let row = json!({"prompt": format!("where is cat {i}?"), "completion": words.trim()});
            format!("{row}\n")
        };
        folder.write("rows.jsonl", &(0..34).map(row).collect::<String>());
        // Full training has its dropout from the model: GPT-2's.
        let shape: Value = serde_json::from_str(&folder.read("shape.json")).unwrap();
        let gpt = json!({"model_type": "gpt2", "vocab_size": shape["vocab_size"], "n_embd": 16,
            "n_layer": 1, "n_head": 2, "n_positions": 32, "n_inner": 32, "resid_pdrop": 0.1,
            "embd_pdrop": 0.1, "attn_pdrop": 0.0});
        folder.write("gpt.json", &gpt.to_string());
        if method == "lora" {
            // The base of the adapters is what a first run made.
            let made = folder.train(["--answers=0", "max_steps=1", "output_dir=made"]);
            assert_eq!(made.code, Some(0), "{}", made.stderr);
            let made = folder.path("made").read_dir().unwrap().map(Result::unwrap);
            let run = made
                .map(|entry| entry.path())
                .find(|path| !path.is_symlink());
            fs::rename(run.unwrap().join("model"), folder.path("base")).unwrap();
            fs::remove_dir_all(folder.path("made")).unwrap();
        }
        let model = match method {
            "lora" => "model_name: base\nmethod: lora\n",
            _ => "model_config: gpt.json\nmethod: full\n",
        };
        folder.write("train.yaml", &format!("{model}{SETTINGS}"));
        Self { folder, method }
    }

    /// The same files and no runs, somewhere else.
    fn copy(&self) -> Self {
        let folder = Folder::empty();
        let mut open = vec![PathBuf::new()];
        while let Some(part) = open.pop() {
            for entry in fs::read_dir(self.folder.path("").join(&part)).unwrap() {
                let entry = entry.unwrap();
                let name = part.join(entry.file_name());
                if entry.file_type().unwrap().is_dir() {
                    if name != Path::new("runs") {
                        fs::create_dir_all(folder.path("").join(&name)).unwrap();
                        open.push(name);
                    }
                } else {
                    fs::copy(entry.path(), folder.path("").join(&name)).unwrap();
                }
            }
        }
        let method = self.method;
        Self { folder, method }
    }

    /// The run that `latest` stands for, once there is one.
    fn run(&self) -> PathBuf {
        self.folder.path("runs/latest")
    }

    /// A process that begins the run, or goes on with it.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deeper"));
        command
            .args(["train", "--config=train.yaml", "--threads=1", "--answers=0"])
            .current_dir(self.folder.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if self.run().exists() {
            command.arg("--resume");
        }
        command
    }

    fn spawn(&self) -> Child {
        self.command().spawn().unwrap()
    }

    /// The same process as `"$@"` of a shell script; `shell` is what runs the script.
    fn in_shell(&self, script: &str, shell: &[&str]) -> Child {
        let inner = self.command();
        let mut command = Command::new(shell[0]);
        command
            .args(&shell[1..])
            .args(["-c", script, "sh"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .current_dir(self.folder.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs to the end, with a planted fault or without; exit code and stderr.
    fn finish(&self, fault: Option<&str>) -> (Option<i32>, String) {
        let mut command = self.command();
        command.envs(fault.map(|fault| ("DEEPER_FAULT", fault)));
        ended(command.spawn().unwrap())
    }

    /// What a finished run left, without what depends on the clock.
    fn result(&self) -> (String, String, Vec<Value>, Value) {
        let run = self.run();
        let last = run.join(format!("checkpoints/step-{STEPS:08}"));
        let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        assert!(text.ends_with('\n'), "{text:?}");
        let rows = text.lines().map(|line| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            let map = row.as_object_mut().unwrap();
            map.remove("tokens_per_second").unwrap();
            map.remove("eta_seconds").unwrap();
            row
        });
        let metrics = fs::read_to_string(run.join("metrics.json")).unwrap();
        let mut metrics: Value = serde_json::from_str(&metrics).unwrap();
        let outcome = metrics["outcome"].as_object_mut().unwrap();
        outcome.remove("seconds").unwrap();
        let (state, model) = (folder_digest(&last), folder_digest(&run.join("model")));
        (state.unwrap(), model.unwrap(), rows.collect(), metrics)
    }

    /// What stands among the checkpoints under a temporary name.
    fn half_written(&self) -> Vec<OsString> {
        let Ok(entries) = fs::read_dir(self.run().join("checkpoints")) else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".tmp"))
            .collect()
    }

    /// Every checkpoint that has its name is whole.
    fn checkpoints_are_whole(&self) -> usize {
        let folder = self.run().join("checkpoints");
        let Ok(found) = llm_train::checkpoint::list(&folder) else {
            return 0; // died before the first
        };
        for (_, path) in &found {
            llm_store::manifest::verify(path).unwrap();
        }
        found.len()
    }
}

fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Kills at a random time of a run that takes about `span`, or in the next save after it; whether
/// that was inside a save, `None` if the run ended before.
fn kill(work: &Work, span: Duration, in_save: bool, rng: &mut StdRng) -> Option<bool> {
    let before = work.half_written(); // of the last kill
    let saving = || {
        work.half_written()
            .iter()
            .any(|name| !before.contains(name))
    };
    let begun = Instant::now();
    let mut child = work.spawn();
    std::thread::sleep(span.mul_f64(rng.random_range(0.0..1.0)));
    while in_save && child.try_wait().unwrap().is_none() && !saving() {
        assert!(begun.elapsed() < PATIENCE, "no save within {PATIENCE:?}");
        std::thread::sleep(Duration::from_micros(100));
    }
    if in_save {
        std::thread::sleep(Duration::from_micros(rng.random_range(0..4000)));
    }
    child.kill().unwrap(); // SIGKILL
    let (code, stderr) = ended(child);
    if let Some(code) = code {
        assert_eq!(code, 0, "{stderr}");
    }
    code.is_none().then(saving)
}

/// Kills runs of one method `wanted` times; how many of them died inside a save.
fn torture(method: &'static str, wanted: usize, rng: &mut StdRng) -> usize {
    let work = Work::new(method);
    let begun = Instant::now();
    let (code, stderr) = work.finish(None);
    assert_eq!(code, Some(0), "{stderr}");
    let span = begun.elapsed();
    let want = work.result();
    assert_eq!(want.2.len() as u64, STEPS);
    let in_saves = wanted * 3 / 10;
    let (mut done, mut inside, mut runs) = (0, 0, 0);
    while done < wanted || inside < in_saves {
        let work = work.copy();
        runs += 1;
        assert!(
            runs <= 20 * wanted,
            "{inside} of {done} kills inside a save"
        );
        for _ in 0..rng.random_range(1..=KILLS_OF_A_RUN) {
            let aim = inside < in_saves && rng.random_bool(0.6);
            let Some(in_save) = kill(&work, span, aim, rng) else {
                break;
            };
            done += 1;
            inside += usize::from(in_save);
            work.checkpoints_are_whole();
        }
        let (code, stderr) = work.finish(None);
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(work.result(), want, "{method}, run {runs}");
    }
    println!("{method}: {done} kills of {runs} runs, {inside} inside a save");
    inside
}

#[test]
fn killed_runs_end_as_the_run_that_never_was() {
    let mut rng = StdRng::seed_from_u64(7);
    for method in ["lora", "full"] {
        let wanted = kills().div_ceil(2);
        assert!(torture(method, wanted, &mut rng) >= wanted * 3 / 10);
    }
}

/// Dies in front of, or fails at, the operations of the atomic writes of a short run.
#[test]
fn a_disk_that_fails_or_a_process_that_dies_at_any_operation_costs_nothing() {
    let stride = if kills() > KILLS { 1 } else { 9 };
    let work = Work::new("full");
    let short = work
        .folder
        .read("train.yaml")
        .replace("eval_steps: 3", "eval_steps: 5");
    work.folder.write(
        "train.yaml",
        &short.replace("save_steps: 2", "save_steps: 4"),
    );
    assert_eq!(work.finish(None).0, Some(0));
    let want = work.result();
    for kind in ["abort", "fail"] {
        let mut number = 1;
        loop {
            let work = work.copy();
            let (code, stderr) = work.finish(Some(&format!("{kind}:{number}")));
            if code == Some(0) {
                break;
            }
            match kind {
                "abort" => assert_eq!(code, None, "{stderr}"),
                _ => {
                    assert_eq!(code, Some(3), "{stderr}");
                    assert!(stderr.contains("failed: planted"), "{stderr}");
                }
            }
            work.checkpoints_are_whole();
            let (code, stderr) = work.finish(None);
            assert_eq!(code, Some(0), "{kind}:{number}: {stderr}");
            assert_eq!(work.result(), want, "{kind}:{number}");
            number += stride;
        }
        println!("{kind}: steps of {stride} through about {number} operations");
        assert!(
            number > 60,
            "{kind}: the run ended after {number} operations"
        );
    }
}

/// A run that has its first checkpoints, and what it would come to.
fn half_done() -> (Work, (String, String, Vec<Value>, Value)) {
    let work = Work::new("full");
    assert_eq!(work.finish(None).0, Some(0));
    let want = work.result();
    let work = work.copy();
    let mut child = work.spawn();
    let first = |work: &Work| work.run().join("checkpoints/step-00000004").exists();
    let begun = Instant::now();
    while !first(&work) && child.try_wait().unwrap().is_none() {
        assert!(
            begun.elapsed() < PATIENCE,
            "no checkpoint within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_micros(100));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_dir_all(work.run().join("model")).ok();
    (work, want)
}

/// Files that may not grow: the system refuses to write on, as on a full disk.
#[test]
fn a_file_that_cannot_grow_is_exit_code_three_and_the_checkpoints_stay() {
    let (work, want) = half_done();
    let before = work.checkpoints_are_whole();
    assert!(before > 0);
    // 20 blocks of 512 bytes: logs and settings fit, tensors do not.
    let (code, stderr) = ended(work.in_shell("trap '' XFSZ; ulimit -f 20; exec \"$@\"", &["sh"]));
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("safetensors: writing failed"), "{stderr}");
    assert!(work.checkpoints_are_whole() >= before);
    assert_eq!(
        work.half_written(),
        [""; 0],
        "what was half written is gone"
    );
    let (code, stderr) = work.finish(None);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(work.result(), want);
}

/// A disk in memory with 40 KiB left: the run is refused, goes on when there is room again, and ends
/// as ever. Prints the exit codes and the digests of the last checkpoint and of the model.
const FULL_DISK: &str = r#"set -e
mv runs old; mkdir runs; mount -t tmpfs -o size=2m none runs; cp -a old/. runs/
head -c 3145728 /dev/zero > runs/filler 2> /dev/null || true
truncate -s -40K runs/filler
set +e
"$@" > /dev/null; echo "code $?"
for folder in runs/latest/checkpoints/step-*; do "$1" hash "$folder" > /dev/null || echo damaged; done
rm runs/filler
"$@" > /dev/null; echo "code $?"
"$1" hash runs/latest/checkpoints/step-00000009
"$1" hash runs/latest/model"#;

/// Where a user may mount in a name space of its own, which many containers forbid: there, the
/// test before this one stands for it.
#[test]
fn a_full_disk_is_exit_code_three_and_the_run_goes_on_when_there_is_room() {
    const NAMESPACE: [&str; 3] = ["unshare", "--map-root-user", "--mount"];
    let [program, rest @ ..] = NAMESPACE;
    let mut may = Command::new(program);
    may.args(rest)
        .args(["mount", "-t", "tmpfs", "none", "/tmp"]);
    may.stderr(Stdio::null());
    let (work, want) = half_done();
    if !may.status().is_ok_and(|status| status.success()) {
        println!("NOT RUN: no right to mount");
        return;
    }
    let mut shell = vec!["sh"];
    shell.splice(0..0, NAMESPACE);
    let output = work.in_shell(FULL_DISK, &shell).wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines, ["code 3", "code 0", &want.0, &want.1], "{stderr}");
    assert!(stderr.contains("No space left on device"), "{stderr}");
}
