//! `cargo xtask gpu`: tests and measurements on a machine with an NVIDIA GPU, and one table of them.
//!
//! Ours and PyTorch, transformers and PEFT run in turn, in one go, on one GPU. It is no part of
//! `cargo xtask check`, which runs everywhere.

mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use self::table::{Row, markdown};
use crate::run::say;
use crate::workspace::Workspace;

/// Where the table goes without a name.
const REPORT: &str = "target/gpu.md";
/// The shape that Qwen3-0.6B has, with a vocabulary of 32,768.
const QWEN3: &str = "benches/peers/qwen3-0.6b-v32k.json";
/// 100.7 million parameters in the same style.
const SMALL: &str = "benches/peers/qwen3-100m.json";
/// `deeper`, built for the GPU.
const DEEPER: [&str; 11] = [
    "run",
    "--locked",
    "--release",
    "-q",
    "--features",
    "cuda",
    "-p",
    "llm-cli",
    "--bin",
    "deeper",
    "--",
];
/// What the peers need.
const PEERS: &str =
    "import torch, transformers, peft; assert torch.cuda.is_available(), 'torch sees no GPU'";

/// Runs everything and writes the table to `report`.
pub(crate) fn run(workspace: &Workspace, report: Option<&str>) -> Result<()> {
    let machine = machine()?;
    let python = python(&workspace.root)?;
    say(&format!("── {machine}"));
    test(workspace)?;
    let build = [
        "build",
        "--locked",
        "--release",
        "--features",
        "cuda",
        "-p",
        "llm-cli",
        "-p",
        "llm-benches",
    ];
    workspace.show_cargo(&build, &[])?;
    train(workspace)?;
    let mut rows = Vec::new();
    let bench = Bench { workspace };
    rows.extend(bench.decoding()?);
    rows.extend(bench.training()?);
    let peers = Peers {
        workspace,
        python: &python,
        worker: worker(workspace)?,
    };
    rows.extend(peers.lora()?);
    rows.extend(peers.attention()?);
    let commit = version("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_default();
    let text = markdown(&machine, &commit, &rows);
    let path = workspace.root.join(report.unwrap_or(REPORT));
    std::fs::write(&path, &text)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    say(&text);
    say(&format!("written to {}", path.display()));
    Ok(())
}

/// The GPU and its driver, once both are there and the compiler too.
fn machine() -> Result<String> {
    let query = [
        "--query-gpu=name,driver_version,memory.total",
        "--format=csv,noheader",
    ];
    let Some(gpus) = version("nvidia-smi", &query) else {
        bail!(
            "no NVIDIA GPU answers here, so nothing was run\nhint: run this where `nvidia-smi` \
             lists one; `deeper doctor` says what is missing"
        );
    };
    if version("nvcc", &["--version"]).is_none() {
        bail!(
            "nvcc is not found, so `--features cuda` does not build\nhint: install the CUDA 13.0 \
             toolkit, or `python3 tools/cuda/toolkit.py` and the lines that it prints"
        );
    }
    let first = gpus.lines().next().unwrap_or(&gpus);
    Ok(first.trim().to_owned())
}

/// What a program prints, if it starts and is content.
fn version(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    let output = command
        .args(arguments)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// A Python that has the peers: `$PYTHON`, the repository's `.venv`, or `python3`.
fn python(root: &Path) -> Result<PathBuf> {
    let own = root.join(".venv/bin/python");
    let named = std::env::var_os("PYTHON").map(PathBuf::from);
    let python = named.unwrap_or(if own.exists() { own } else { "python3".into() });
    let status = Command::new(&python).args(["-c", PEERS]).status();
    ensure!(
        status.is_ok_and(|status| status.success()),
        "{} does not import torch with CUDA, transformers and peft\nhint: python3 -m venv .venv && \
         .venv/bin/pip install torch transformers peft",
        python.display()
    );
    Ok(python)
}

/// Operations, decoder, adapters and cache beside those of the CPU, and the rest of their suites.
fn test(workspace: &Workspace) -> Result<()> {
    say("── tests on the GPU");
    let test = [
        "test",
        "--locked",
        "--release",
        "--features",
        "cuda",
        "-p",
        "llm-core",
        "--test",
        "it",
        "--",
        "gpu::",
        "--test-threads=1",
    ];
    workspace.show_cargo(&test, &[])
}

/// Twenty steps of what `lora_finetune` does, with its audit of every gradient.
fn train(workspace: &Workspace) -> Result<()> {
    say("── LoRA on the bundled question set");
    let settings = [
        "train --config configs/train.yaml --answers 0",
        "device=cuda bf16=true stop_after=20 output_dir=target/gpu-runs",
    ];
    let settings = settings.join(" ");
    let settings: Vec<&str> = settings.split(' ').collect();
    let run = [&DEEPER[..], &settings].concat();
    workspace.show_cargo(&run, &[])
}

/// The worker that was built.
fn worker(workspace: &Workspace) -> Result<PathBuf> {
    let metadata = workspace.cargo(&["metadata", "--format-version", "1", "--no-deps"])?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let target = metadata["target_directory"].as_str();
    let target = target.context("cargo metadata: no target_directory")?;
    Ok(Path::new(target).join("release/bench_worker"))
}

/// `deeper bench` on the GPU in bf16.
struct Bench<'w> {
    workspace: &'w Workspace,
}

impl Bench<'_> {
    fn run(&self, arguments: &[&str]) -> Result<Value> {
        say(&format!("── deeper bench {}", arguments.join(" ")));
        let place = ["--device", "cuda", "--dtype", "bf16", "--json"];
        let output = self
            .workspace
            .cargo(&[&DEEPER[..], &["bench"], arguments, &place].concat())?;
        serde_json::from_str(&output).context("deeper bench --json: not JSON")
    }

    fn decoding(&self) -> Result<Vec<Row>> {
        let shape = [
            "decode",
            "--config",
            QWEN3,
            "--context",
            "512",
            "--runs",
            "50",
        ];
        let one = self.run(&shape)?;
        let many = self.run(&[&shape[..], &["--batch", "64"]].concat())?;
        let work = "decode, Qwen3-0.6B shape, S 512";
        Ok(vec![
            Row::share(
                &format!("{work}, B 1: share of memory speed"),
                &one,
                "share_of_bandwidth",
                0.6,
            ),
            Row::rate(&format!("{work}, B 1: tok/s"), &one),
            Row::rate(&format!("{work}, B 64: tok/s"), &many),
        ])
    }

    fn training(&self) -> Result<Vec<Row>> {
        let shape = [
            "train", "--config", SMALL, "--tokens", "1024", "--batch", "16",
        ];
        let step = self.run(&shape)?;
        let tiny = "output_models/deeper-tiny/config.json";
        let lora = self.run(&["lora", "--config", tiny, "--tokens", "256", "--batch", "8"])?;
        let work = "pretraining, 100M, T 1024, B 16";
        Ok(vec![
            Row::share(
                &format!("{work}: share of matmul peak"),
                &step,
                "share_of_peak",
                0.35,
            ),
            Row::rate(&format!("{work}: tok/s"), &step),
            Row::memory(&format!("{work}: GiB"), &step),
            Row::rate("LoRA, deeper-tiny, T 256, B 8: tok/s", &lora),
            Row::memory("LoRA, deeper-tiny, T 256, B 8: GiB", &lora),
        ])
    }
}

/// The scripts of `benches/peers`.
struct Peers<'w> {
    workspace: &'w Workspace,
    python: &'w Path,
    worker: PathBuf,
}

impl Peers<'_> {
    /// The last line of a script's output, which is JSON.
    fn run(&self, script: &str, arguments: &[&str]) -> Result<Value> {
        say(&format!("── {script} {}", arguments.join(" ")));
        let mut command = Command::new(self.python);
        command.current_dir(&self.workspace.root).arg(script);
        command
            .args(arguments)
            .args(["--device", "cuda", "--worker"]);
        let output = command.arg(&self.worker).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("{script} does not start"))?;
        ensure!(
            output.status.success(),
            "{script} ended with {}",
            output.status
        );
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        say(&text);
        let last = text.lines().last().context("the script printed nothing")?;
        serde_json::from_str(last).with_context(|| format!("{script}: the last line is not JSON"))
    }

    fn lora(&self) -> Result<Vec<Row>> {
        let answer = self.run(
            "benches/peers/lora.py",
            &["--dtype", "bf16", "--runs", "10"],
        )?;
        let record = &answer["lora"][0];
        let work = "LoRA step, Qwen3-0.6B shape, T 256, B 2";
        Ok(vec![
            Row::beside(
                &format!("{work}: tok/s"),
                record,
                "tokens_per_second",
                ("ratio_median", 1.2),
            ),
            Row::smaller(
                &format!("{work}: bytes"),
                record,
                "bytes",
                ("memory_ratio", 0.8),
            ),
        ])
    }

    fn attention(&self) -> Result<Vec<Row>> {
        let arguments = [
            "--dtype", "bf16", "--tokens", "512", "2048", "4096", "--runs", "20",
        ];
        let answer = self.run("benches/peers/attention.py", &arguments)?;
        let records = answer["attention"]
            .as_array()
            .context("attention.py: no records")?;
        let row = |record: &Value| {
            let (tokens, part) = (&record["T"], record["part"].as_str().unwrap_or("?"));
            let work = format!("attention {part}, 12 heads of 64, T {tokens}: GFLOP/s");
            Row::beside(&work, record, "gflops", ("ratio_median", 1.0))
        };
        Ok(records.iter().map(row).collect())
    }
}
