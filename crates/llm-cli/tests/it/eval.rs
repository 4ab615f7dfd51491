//! `deeper eval` from outside: what it prints and writes, how it stops, how it fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use llm_show::golden::{Golden, Output, Run};

use crate::checkout::{fails, repository};

/// Long enough for a loaded machine to reach its first answers; waiting ends when it has.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with settings for the bundled base model and rows.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let (model, data) = (repository().join("output_models/deeper-base"), "rows.jsonl");
        let settings = format!(
            "model_path: {}\ndataset_path: {data}\nrun_name: base\nmax_new_tokens: 3\n\
             device: cpu\noutput_dir: evals\n",
            model.display()
        );
        folder.write("eval.yaml", &settings);
        let row = |word: &str| {
            format!("{{\"prompt\": \"What is {word}?\", \"completion\": \"a {word}\"}}\n")
        };
        folder.write(data, &["bread", "cloth", "stone"].map(row).concat());
        folder.write("train.jsonl", &["salt", "stone"].map(row).concat());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn deeper<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Output {
        Run::new(env!("CARGO_BIN_EXE_deeper"))
            .folder(self.0.path())
            .args(["eval"].into_iter().chain(args))
            .output()
            .unwrap()
    }

    fn eval<'a>(&self, more: impl IntoIterator<Item = &'a str>) -> Output {
        let settings = ["--config", "eval.yaml", "--threads", "1"];
        self.deeper(settings.into_iter().chain(more))
    }
}

/// The folder that an evaluation's last line names.
fn results(output: &Output) -> String {
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let line = output.stdout.lines().last().unwrap();
    line.strip_prefix("results  ").unwrap().to_owned()
}

fn narrow(text: &str) {
    for line in text.lines() {
        assert!(
            llm_show::look::width(line) <= 80,
            "wider than 80 columns: {line}"
        );
    }
}

#[test]
fn numbers_are_printed_once_and_again_and_stand_beside_others() {
    let folder = Folder::new();
    let first = folder.eval([]);
    let base = results(&first);
    assert_eq!(folder.eval([]).stdout, first.stdout);
    for word in [
        "exact match",
        "perplexity",
        "bits per byte",
        "BLEU",
        "95 % interval",
    ] {
        assert!(
            first.stdout.contains(word),
            "{word} is not in {}",
            first.stdout
        );
    }
    for name in ["predictions.jsonl", "metrics.json", "config_used.yaml"] {
        assert!(folder.path(&base).join(name).is_file(), "{name}");
    }
    let other = results(&folder.eval(["temperature=0.9", "run_name=other"]));
    let table = folder.deeper(["--compare", &base, &other]);
    assert_eq!(table.code, Some(0), "{}", table.stderr);
    assert!(table.stdout.contains("minus A") && table.stdout.contains("exact match"));
    let plain = folder.deeper(["--compare", &base, &other, "--plain"]);
    assert!(plain.stdout.is_ascii(), "{}", plain.stdout);
    // The models' names are as long as the machine's folders.
    narrow(table.stdout.split_once("\n\n").unwrap().1);
    narrow(&first.stdout);
}

#[test]
fn a_leak_is_printed_and_can_fail() {
    let folder = Folder::new();
    let shown = folder.eval(["train_path=train.jsonl"]);
    assert!(
        shown.stdout.contains("rows that were trained on  1"),
        "{}",
        shown.stdout
    );
    assert!(
        shown.stdout.contains("rows.jsonl:3 as train.jsonl:2"),
        "{}",
        shown.stdout
    );
    let failed = folder.eval(["train_path=train.jsonl", "max_leakage=0"]);
    fails(&failed, 1, &["leakage: 1 rows", "rows.jsonl:3"]);
    assert_eq!(failed.stdout, "");
}

#[test]
fn mistakes_have_one_line_a_hint_and_a_code() {
    let folder = Folder::new();
    fails(
        &folder.eval(["max_new_token=1"]),
        2,
        &["did you mean `max_new_tokens`", "hint: "],
    );
    fails(
        &folder.eval(["dataset_path=nowhere"]),
        2,
        &["nowhere", "does not exist"],
    );
    fails(&folder.eval(["model_path=a/b/c"]), 2, &["a/b/c"]);
    fails(
        &folder.eval(["output_dir=rows.jsonl/evals"]),
        3,
        &["rows.jsonl"],
    );
    fails(
        &folder.deeper(["--compare", "nowhere"]),
        2,
        &["nowhere", "metrics.json"],
    );
    fails(&folder.deeper(["--passed", "nowhere"]), 3, &["nowhere"]);
    assert_eq!(folder.deeper([]).code, Some(2));
}

#[test]
fn an_evaluation_that_is_interrupted_keeps_its_answers_and_goes_on() {
    let folder = Folder::new();
    let row = "{\"prompt\": \"Tell a story.\", \"completion\": \"Once there was a baker.\"}\n";
    folder.write("rows.jsonl", &row.repeat(1000));
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let before = answered(&folder.path("evals"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_deeper"))
            .args(["eval", "--config", "eval.yaml", "--threads", "1"])
            .current_dir(folder.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while answered(&folder.path("evals")) <= before {
            assert!(begun.elapsed() < PATIENCE, "no answer within {PATIENCE:?}");
            assert!(child.try_wait().unwrap().is_none(), "it has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        let id = child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains("of 1000 questions"), "{stderr}");
        assert!(stderr.contains("hint: repeat"), "{stderr}");
        assert!(answered(&folder.path("evals")) > before);
    }
}

/// Answers so far, in the only result folder.
fn answered(evals: &Path) -> usize {
    let Ok(mut folders) = std::fs::read_dir(evals) else {
        return 0;
    };
    let Some(Ok(folder)) = folders.next() else {
        return 0;
    };
    let text = std::fs::read_to_string(folder.path().join("predictions.partial.jsonl"));
    text.unwrap_or_default().lines().count()
}

#[test]
fn help_is_the_golden_one() {
    let output = Folder::new().deeper(["--help"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let golden = Golden {
        path: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/eval.help.txt"),
        tolerance: 0.0,
    };
    golden.compare(&output.stdout).unwrap();
}
