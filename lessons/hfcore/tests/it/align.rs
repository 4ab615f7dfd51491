//! `07_dpo` and `08_grpo` on the bundled base model, which knows neither facts nor sums: what holds for
//! any model, and what the programs say to bad input.

use std::path::{Path, PathBuf};

use llm_show::golden::{Golden, Output, Run};

const DPO: &str = env!("CARGO_BIN_EXE_07_dpo");
const GRPO: &str = env!("CARGO_BIN_EXE_08_grpo");

/// The bundled model that has two million parameters.
fn base() -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../output_models/deeper-base");
    PathBuf::from(root).canonicalize().unwrap().display().to_string()
}

fn run(place: &Path, program: &str, args: &[&str]) -> Output {
    let run = Run::new(program).folder(place).args(["--quick", "--model", &base()]);
    run.args(args.iter().copied()).output().unwrap()
}

/// As [`run`], with the exit code 0.
fn good(place: &Path, program: &str, args: &[&str]) -> Output {
    let output = run(place, program, args);
    assert_eq!(output.code, Some(0), "{program}: {}\n{}", output.stderr, output.stdout);
    output
}

#[test]
fn help_is_as_a_person_last_saw_it() {
    for (program, name) in [(DPO, "07_dpo"), (GRPO, "08_grpo")] {
        let help = Run::new(program).args(["--help"]).output().unwrap();
        assert_eq!(help.code, Some(0), "{name}: {}", help.stderr);
        let path = crate::folder().join(format!("{name}.help.txt"));
        Golden { path, tolerance: 0.0 }.compare(&help.stdout).unwrap();
    }
}

#[test]
fn preferences_start_at_ln_2_and_the_same_run_says_the_same() {
    let place = tempfile::tempdir().unwrap();
    let first = good(place.path(), DPO, &["--steps", "2", "--check", "0.1269"]);
    for part in ["held-out loss at the start == ln 2", "first loss == ln 2", "0.6931"] {
        assert!(first.stdout.contains(part), "{part}: {}", first.stdout);
    }
    let (pairs, _) = first.stdout.split_once("Nobody says").unwrap();
    assert_eq!(pairs.lines().skip_while(|line| !line.contains("──")).count(), 1 + 5 + 1, "{pairs}");
    let plain = good(place.path(), DPO, &["--steps", "2", "--plain", "--svg", "rewards.svg"]);
    assert!(plain.stdout.is_ascii(), "{}", plain.stdout);
    let svg = std::fs::read_to_string(place.path().join("rewards.svg")).unwrap();
    assert!(svg.contains(">chosen<") && svg.contains(">rejected<"), "{svg}");
    let again = good(place.path(), DPO, &["--steps", "2", "--plain"]);
    assert_eq!(again.stdout, plain.stdout);
    assert_eq!(run(place.path(), DPO, &["--steps", "1", "--check", "0.7"]).code, Some(1));
}

#[test]
fn rewards_are_drawn_compared_and_measured_over_three_seeds() {
    let place = tempfile::tempdir().unwrap();
    let output = good(place.path(), GRPO, &["--steps", "1", "--check", "0.75"]);
    let parts = ["mean advantage of the group", "KL before the first step", "95 % of the rise"];
    for part in parts.into_iter().chain(["\n   7 ", "\n   8 ", "\n   9 ", "\n   all "]) {
        assert!(output.stdout.contains(part), "{part:?}: {}", output.stdout);
    }
}

#[test]
fn bad_input_is_named() {
    let place = tempfile::tempdir().unwrap();
    for (program, args, message) in [
        (DPO, ["--steps", "0"], "--steps"),
        (DPO, ["--beta", "0"], "`beta`"),
        (GRPO, ["--beta", "0"], "--beta"),
        (GRPO, ["--model", "no/such/folder"], "no/such/folder"),
    ] {
        let output = Run::new(program).folder(place.path()).args(args).output().unwrap();
        assert_eq!(output.code, Some(2), "{program} {args:?}: {}", output.stderr);
        assert!(output.stderr.contains(message), "{args:?}: {}", output.stderr);
    }
}
