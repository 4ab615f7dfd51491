//! `deeper train` as several processes, started as `torchrun --no-python` starts them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use llm_store::hash::folder_digest;
use llm_store::safetensors::SafetensorsFile;

use crate::train::{Folder, PATIENCE};

/// The same f32 products, added up in another order.
const CLOSE: f64 = 1e-6;

/// Overrides of a run without end that writes a checkpoint at each step.
pub(crate) const ENDLESS: [&str; 5] = [
    "--answers=0",
    "--quiet",
    "max_steps=1000000",
    "save_steps=1",
    "save_total_limit=2",
];

/// A port where nobody listens.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// `deeper train` as process `rank` of `size`.
fn start(folder: &Folder, port: u16, rank: usize, size: usize, args: &[&str]) -> Child {
    let numbers = [
        ("RANK", rank),
        ("LOCAL_RANK", rank),
        ("WORLD_SIZE", size),
        ("LOCAL_WORLD_SIZE", size),
        ("MASTER_PORT", usize::from(port)),
    ];
    Command::new(env!("CARGO_BIN_EXE_deeper"))
        .args(["train", "--config", "train.yaml", "--threads", "1"])
        .args(args)
        .envs(numbers.map(|(name, number)| (name, number.to_string())))
        .env("MASTER_ADDR", "127.0.0.1")
        .env("DEEPER_PROCESS_TIMEOUT", PATIENCE.as_secs().to_string())
        .current_dir(folder.path(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// How a process ended: exit code, stdout, stderr.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Two processes to their ends.
fn two(folder: &Folder, args: &[&str]) -> [Ended; 2] {
    let port = free_port();
    // The second one first: it has to wait for the first.
    let second = start(folder, port, 1, 2, args);
    let first = start(folder, port, 0, 2, args);
    [ended(first), ended(second)]
}

/// The largest difference between two files of gradients, after it has been printed.
pub(crate) fn difference(one: &Path, other: &Path) -> f64 {
    let [one, other] = [one, other].map(|path| SafetensorsFile::open(path).unwrap());
    let names = |file: &SafetensorsFile| file.header().tensors.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    let values = |file: &SafetensorsFile, name: &str| -> Vec<f32> {
        let tensor = file.tensor(name, true).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    };
    let (mut worst, mut largest, mut at) = (0.0f64, 0.0f64, String::new());
    for name in names(&one) {
        for (a, b) in values(&one, &name).into_iter().zip(values(&other, &name)) {
            let gap = f64::from((a - b).abs());
            largest = largest.max(f64::from(a.abs()));
            assert!(gap.is_finite(), "{name}: {a} and {b}");
            if gap > worst {
                (worst, at) = (gap, name.clone());
            }
        }
    }
    assert!(
        largest > 1e-4,
        "gradients of almost nothing show nothing: {largest:e}"
    );
    println!("gradients up to {largest:.3}: largest difference {worst:e} {at}");
    worst
}

/// Gradients of `deeper train` by `run`, which starts it with these arguments, are those of one
/// process, also where shares and micro-batches are uneven.
pub(crate) fn gradients_are_those_of_one(folder: &Folder, run: impl Fn(&[&str])) {
    for settings in [
        ["batch_size=4", "gradient_accumulation_steps=2"],
        ["batch_size=3", "gradient_accumulation_steps=3"],
        ["batch_size=7", "gradient_accumulation_steps=1"],
    ] {
        let [batch_size, accumulation] = settings;
        let alone = folder.train(["--gradients=alone.safetensors", batch_size, accumulation]);
        assert_eq!(alone.code, Some(0), "{}", alone.stderr);
        assert!(alone.stdout.contains("tensors"), "{}", alone.stdout);
        run(&["--gradients=shared.safetensors", batch_size, accumulation]);
        let [one, shared] = ["alone", "shared"].map(|name| {
            let path = folder.path(&format!("{name}.safetensors"));
            assert!(path.is_file(), "{name}: {settings:?}");
            path
        });
        let gap = difference(&one, &shared);
        assert!(gap <= CLOSE, "{settings:?}: {gap:e}, tolerance {CLOSE:e}");
        std::fs::remove_file(shared).unwrap();
    }
    assert!(!folder.path("runs").exists(), "nothing is trained");
}

/// The only run of a folder.
pub(crate) fn run_of(folder: &Folder, runs: &str) -> PathBuf {
    let entries = std::fs::read_dir(folder.path(runs)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let found: Vec<PathBuf> = paths.filter(|path| !path.is_symlink()).collect();
    assert_eq!(found.len(), 1, "one process writes: {found:?}");
    found[0].clone()
}

/// Windows of two micro-batches: a run that `run` shares out between two is bit for bit that of one.
pub(crate) fn the_run_is_that_of_one(folder: &Folder, run: impl Fn(&[&str])) {
    let settings = [
        "--answers=2",
        "--max-new-tokens=4",
        "gradient_accumulation_steps=2",
    ];
    let alone = folder.train(settings.into_iter().chain(["output_dir=alone"]));
    assert_eq!(alone.code, Some(0), "{}", alone.stderr);
    run(&[&settings[..], &["output_dir=shared"]].concat());
    let [one, shared] = ["alone", "shared"].map(|runs| run_of(folder, runs));
    let digest = |run: &Path| folder_digest(&run.join("model")).unwrap();
    assert_eq!(digest(&shared), digest(&one));
    for name in [
        "metrics.json",
        "report.html",
        "samples.jsonl",
        "checks.json",
    ] {
        assert!(shared.join(name).is_file(), "{name}");
    }
    assert!(!shared.join("error.json").exists());
}

#[test]
fn gradients_of_two_processes_are_those_of_one() {
    let folder = Folder::new();
    gradients_are_those_of_one(&folder, |args| {
        let [first, second] = two(&folder, args);
        assert_eq!(first.code, Some(0), "{}", first.stderr);
        assert_eq!(second.code, Some(0), "{}", second.stderr);
        assert!(first.stdout.contains("norm"), "{}", first.stdout);
        assert_eq!(second.stdout, "", "one process speaks");
    });
}

#[test]
fn two_processes_train_one_model() {
    let folder = Folder::new();
    the_run_is_that_of_one(&folder, |args| {
        let [first, second] = two(&folder, args);
        assert_eq!(first.code, Some(0), "{}", first.stderr);
        assert!(first.stdout.contains("95 % interval"), "{}", first.stdout);
        assert!(first.stderr.contains("2 over tcp"), "{}", first.stderr);
        assert_eq!((second.code, second.stdout.as_str()), (Some(0), ""));
        assert_eq!(second.stderr, "", "one process speaks");
    });
}

#[test]
fn processes_meet_behind_the_port_of_torchruns_own_store() {
    let folder = Folder::new();
    let store = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = store.local_addr().unwrap().port();
    let agent = |rank: usize| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deeper"));
        command
            .args([
                "train",
                "--config",
                "train.yaml",
                "--threads",
                "1",
                "--answers=0",
            ])
            .envs([
                ("RANK", rank.to_string()),
                ("MASTER_PORT", port.to_string()),
            ])
            .envs([("WORLD_SIZE", "2"), ("MASTER_ADDR", "localhost")])
            .env("TORCHELASTIC_USE_AGENT_STORE", "True")
            .env("TORCHELASTIC_RUN_ID", "one")
            .current_dir(folder.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let started = [0, 1].map(agent);
    for child in started {
        let ended = ended(child);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    run_of(&folder, "runs");
}

/// Two processes in a run without end, which has written a checkpoint.
fn endless(folder: &Folder) -> [Child; 2] {
    let port = free_port();
    let mut both = [0, 1].map(|rank| start(folder, port, rank, 2, &ENDLESS));
    let begun = Instant::now();
    let saved = || {
        let folder = folder.path("runs/latest/checkpoints");
        llm_train::checkpoint::list(&folder).is_ok_and(|found| !found.is_empty())
    };
    while !saved() {
        assert!(
            begun.elapsed() < PATIENCE,
            "no checkpoint within {PATIENCE:?}"
        );
        for child in &mut both {
            assert!(child.try_wait().unwrap().is_none(), "a process has ended");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    both
}

#[test]
fn a_signal_to_one_process_stops_both_with_a_checkpoint() {
    for (signalled, name, code) in [(0, "-INT", 130), (1, "-TERM", 143)] {
        let folder = Folder::new();
        let both = endless(&folder);
        let id = both[signalled].id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
        let both = both.map(ended);
        let codes = [0, 1].map(|rank| if rank == signalled { code } else { 130 });
        for (ended, code) in both.iter().zip(codes) {
            assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        }
        let [first, second] = &both;
        assert!(
            first.stderr.contains("error: stopped after step "),
            "{}",
            first.stderr
        );
        assert_eq!(second.stderr, "", "one process speaks");
        let resume = first.stderr.split("resume_from=").nth(1).unwrap().trim();
        let run = folder.path(resume);
        let saved = llm_train::checkpoint::list(&run.join("checkpoints")).unwrap();
        let (step, checkpoint) = saved.last().unwrap();
        llm_store::manifest::verify(checkpoint).unwrap();
        let stopped = format!("stopped after step {step}");
        assert!(
            first.stderr.contains(&stopped),
            "{stopped}: {}",
            first.stderr
        );
        // It is a run of two processes now.
        let alone = folder.train(["max_steps=1000000", "--resume"]);
        assert_eq!(alone.code, Some(2), "{}", alone.stderr);
        assert!(
            alone.stderr.contains("had 2 processes and now has 1"),
            "{}",
            alone.stderr
        );
    }
}

#[test]
fn a_process_that_is_killed_ends_the_other_and_the_run_goes_on_later() {
    for killed in [1, 0] {
        let folder = Folder::new();
        let [mut first, mut second] = endless(&folder);
        let (victim, other) = match killed {
            0 => (&mut first, second),
            _ => (&mut second, first),
        };
        victim.kill().unwrap();
        victim.wait().unwrap();
        let begun = Instant::now();
        let left = ended(other);
        assert!(
            begun.elapsed() < PATIENCE,
            "it waited for {:?}",
            begun.elapsed()
        );
        assert_eq!(left.code, Some(3), "{}", left.stderr);
        let says = format!("process {killed} has gone");
        assert!(left.stderr.contains(&says), "{says}: {}", left.stderr);
        assert!(left.stderr.contains("hint: "), "{}", left.stderr);
        let port = free_port();
        let resumed = [&ENDLESS[..], &["--resume"]].concat();
        let again = [0, 1].map(|rank| start(&folder, port, rank, 2, &resumed));
        std::thread::sleep(std::time::Duration::from_millis(100));
        let run = folder.path("runs/latest");
        let last = || {
            let found = llm_train::checkpoint::list(&run.join("checkpoints")).unwrap();
            found.last().map(|(step, _)| *step)
        };
        let (before, begun) = (last(), Instant::now());
        while last() <= before {
            assert!(
                begun.elapsed() < PATIENCE,
                "it does not go on after {before:?}"
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let id = again[0].id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        for ended in again.map(ended) {
            assert!(matches!(ended.code, Some(130 | 143)), "{}", ended.stderr);
        }
    }
}

#[test]
fn what_processes_do_not_do_is_said_once_and_by_name() {
    let folder = Folder::new();
    for (args, words) in [
        (
            &["--lr-range=1e-5..1"][..],
            "--lr-range: is for one process, not for 2",
        ),
        (
            &["sweep={lr: [1e-3, 1e-2]}"][..],
            "`sweep`: is for one process",
        ),
        (&["learning_rate=1"][..], "unknown key `learning_rate`"),
        (&["--resume"][..], "has no run"),
        (&["dataset_path=nowhere"][..], "does not exist"),
        (&["output_dir=rows.jsonl/runs"][..], "rows.jsonl"),
    ] {
        let [first, second] = two(&folder, args);
        assert!(
            matches!(first.code, Some(2 | 3)),
            "{words}: {}",
            first.stderr
        );
        assert_eq!(second.code, first.code, "{words}: {}", second.stderr);
        assert!(
            first.stderr.contains(words),
            "{words} is not in {}",
            first.stderr
        );
        assert_eq!(second.stderr, "", "{words}");
    }
    let port = free_port();
    let first = start(&folder, port, 0, 2, &[]);
    let second = start(&folder, port, 1, 3, &[]);
    for ended in [ended(first), ended(second)] {
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("WORLD_SIZE: is 3 for process 1"),
            "{}",
            ended.stderr
        );
    }
    assert!(!folder.path("runs/latest").exists());
}

/// Two runs into one folder, each alone, would be what an `mpirun` of such a build gives.
#[cfg(not(feature = "mpi"))]
#[test]
fn a_build_without_mpi_does_not_train_under_mpirun() {
    let folder = Folder::new();
    let output = Command::new(env!("CARGO_BIN_EXE_deeper"))
        .args(["train", "--config", "train.yaml"])
        .envs([("OMPI_COMM_WORLD_SIZE", "2"), ("OMPI_COMM_WORLD_RANK", "0")])
        .current_dir(folder.path(""))
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("mpirun: started 2 processes"), "{stderr}");
    assert!(stderr.contains("hint: cargo build"), "{stderr}");
}
