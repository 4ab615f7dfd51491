//! The Makefile's shortcuts: every command that a target runs is one of ours, with flags that it
//! has.

use std::path::PathBuf;
use std::process::Command;

use llm_show::golden::Run;

/// The targets that run a verb of `deeper`.
const TARGETS: [&str; 7] = [
    "convert",
    "train",
    "eval",
    "eval-baseline",
    "merge",
    "gguf",
    "publish-hf",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What `make -n` prints; `None` on a machine without make.
fn dry_run(arguments: &[&str]) -> Option<String> {
    let mut make = Command::new("make");
    make.current_dir(root()).args(arguments).args([
        "-n",
        "--no-print-directory",
        "DEEPER=deeper",
        "HF_REPO_ID=name/model",
    ]);
    let output = make.output().ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {text}");
    Some(text)
}

#[test]
fn every_target_runs_a_verb_with_flags_that_it_has() {
    for target in TARGETS {
        let more = [
            "LICENSE_ID=mit",
            "BASE_ID=org/base",
            "DRY_RUN=1",
            "QUANT=Q5_K_M",
        ];
        let arguments: Vec<&str> = std::iter::once(target).chain(more).collect();
        let Some(text) = dry_run(&arguments) else {
            return; // this machine has no make, and nobody on it uses the Makefile
        };
        let command = text.trim();
        let words = command
            .strip_prefix("deeper ")
            .unwrap_or_else(|| panic!("{target}: {text}"));
        // With all flags in place, --help answers; an unknown flag or verb would be an error
        let words = words.split_whitespace().chain(["--help"]);
        let output = Run::new(env!("CARGO_BIN_EXE_deeper"))
            .args(words)
            .output()
            .unwrap();
        assert_eq!(output.code, Some(0), "{command}: {output:?}");
        let verb = command.split_whitespace().nth(1).unwrap();
        assert!(
            output.stdout.contains(&format!("Usage: deeper {verb}")),
            "{command}"
        );
    }
}

#[test]
fn a_variable_reaches_its_command_and_publishing_needs_a_name() {
    let Some(text) = dry_run(&["gguf", "QUANT=Q5_K_M"]) else {
        return; // as above
    };
    assert!(
        text.contains("--quant Q5_K_M") && text.contains("merged-Q5_K_M.gguf"),
        "{text}"
    );
    let text = dry_run(&["train", "TRAIN_CONFIG=base"]).unwrap();
    assert!(text.contains("configs/base.yaml"), "{text}");
    let mut make = Command::new("make");
    let output = make
        .current_dir(root())
        .args(["-n", "publish-hf", "HF_REPO_ID="])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("HF_REPO_ID"));
}
