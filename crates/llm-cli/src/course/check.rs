//! Checking an exercise: its file, its checks and the harness become one small program.
//!
//! `rustc` compiles the file of checks with three lines added, which take in the learner's file and
//! the harness as modules; so an error names the learner's own file and line. The program reports
//! each check between control characters as it goes (`lessons/exercises/checks/checks.rs`): what it
//! prints otherwise is the learner's, and a check that never ends has a name.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use llm_show::Complaint;

use super::exercise::{Exercise, Exercises};

/// As in the harness: around a report and between its fields.
const BEGIN: char = '\u{1e}';
const FIELD: char = '\u{1f}';
const END: char = '\u{1d}';

/// More than a second or two of compiling means that something is wrong with the machine.
const COMPILING: Duration = Duration::from_secs(120);
/// How often a running program is looked at.
const GLANCE: Duration = Duration::from_millis(5);
/// What a program prints beyond this is dropped: a loop may print without end.
const MOST_OUTPUT: usize = 1 << 20;

/// How one check went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As expected.
    Ok,
    /// The code stops at a hole: its text, and where it is.
    Todo { text: String, place: String },
    /// Another value.
    Wrong {
        expected: String,
        got: String,
        remark: String,
    },
    /// The code panicked: its message, and where.
    Panic { text: String, place: String },
    /// The program stopped in it, for the reason given.
    Stopped(String),
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What is checked.
    pub name: String,
    /// How it went.
    pub verdict: Verdict,
    /// What the usual mistake is.
    pub advice: Vec<String>,
}

/// How an exercise went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It does not compile: what rustc says.
    Errors(String),
    /// It ran: its checks, and what the learner's code printed.
    Ran { checks: Vec<Check>, printed: String },
    /// The caller wanted it to stop.
    Interrupted,
}

impl Outcome {
    /// How many checks hold, of how many that were reached.
    pub(crate) fn score(&self) -> (usize, usize) {
        match self {
            Self::Ran { checks, .. } => {
                let holds = checks.iter().filter(|check| check.verdict == Verdict::Ok);
                (holds.count(), checks.len())
            }
            _ => (0, 0),
        }
    }

    /// Whether every check holds.
    pub(crate) fn solved(&self) -> bool {
        let (holds, all) = self.score();
        all > 0 && holds == all
    }
}

/// How to check.
pub(crate) struct Checker<'a> {
    /// How long the checks may run.
    pub limit: Duration,
    /// Whether rustc writes colours.
    pub color: bool,
    /// Asked now and then: whether to stop at once.
    pub interrupted: &'a dyn Fn() -> bool,
}

impl Checker<'_> {
    /// Compiles `file` with the checks of `exercise` in a temporary folder, and runs them.
    pub(crate) fn check(
        &self,
        all: &Exercises,
        exercise: &Exercise,
        file: &Path,
    ) -> Result<Outcome> {
        let folder = tempfile::tempdir().context("a temporary folder")?;
        let source = folder.path().join(format!("{}.rs", exercise.id));
        std::fs::write(&source, program(all, exercise, file)?).context("a temporary file")?;
        let binary = folder.path().join("checks.exe");
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
        rustc
            .args(["--edition", "2024", "--crate-name", "exercise"])
            // A hole leaves its arguments unused; what matters here is whether it compiles.
            .args(["--cap-lints", "allow", "-C", "debuginfo=0"])
            .args(["--color", if self.color { "always" } else { "never" }])
            .arg(renamed(
                folder.path(),
                &format!("lessons/exercises/checks/{}", exercise.shelf),
            ))
            .arg(renamed(&all.root, ""))
            .args([Path::new("-o"), &binary, &source]);
        let compiled = self.run(&mut rustc, COMPILING).map_err(|error| {
            Complaint::new(format!("rustc does not start: {error}"))
                .hint("rustup gives you rustc: https://rustup.rs")
        })?;
        match compiled.end {
            End::Interrupted => return Ok(Outcome::Interrupted),
            End::Late => return Ok(Outcome::Errors("rustc does not come to an end".into())),
            End::Code(Some(0)) => {}
            End::Code(_) => return Ok(Outcome::Errors(compiled.stderr)),
        }
        let ran = self
            .run(&mut Command::new(&binary), self.limit)
            .context("the compiled checks")?;
        if ran.end == End::Interrupted {
            return Ok(Outcome::Interrupted);
        }
        let (mut checks, mut printed) = parse(&ran.stdout);
        if !ran.stderr.is_empty() {
            printed += &ran.stderr;
        }
        self.name_the_end(&mut checks, ran.end);
        Ok(Outcome::Ran { checks, printed })
    }

    /// Says of the last check that the program stopped in it, if it did.
    fn name_the_end(&self, checks: &mut Vec<Check>, end: End) {
        let open = |check: &Check| matches!(check.verdict, Verdict::Stopped(_));
        let reason = match end {
            End::Code(Some(0)) if !checks.last().is_some_and(open) => return,
            End::Late => {
                format!(
                    "no end within {} s: a loop that never stops?",
                    self.limit.as_secs_f64()
                )
            }
            End::Code(Some(code)) => format!("the program ended here with exit code {code}"),
            _ => "the program was stopped by the system: a recursion without an end?".into(),
        };
        match checks.last_mut() {
            Some(check) if open(check) => {
                check.verdict = Verdict::Stopped(reason);
            }
            _ => checks.push(Check {
                name: "the program ends well".into(),
                verdict: Verdict::Stopped(reason),
                advice: Vec::new(),
            }),
        }
    }

    /// Runs `command` until it ends, the limit passes or the caller interrupts.
    fn run(&self, command: &mut Command, limit: Duration) -> std::io::Result<Ran> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let readers = [
            std::thread::spawn(move || drain(out)),
            std::thread::spawn(move || drain(err)),
        ];
        let start = Instant::now();
        let end = loop {
            if let Some(status) = child.try_wait()? {
                break End::Code(status.code());
            }
            let late = start.elapsed() > limit;
            if late || (self.interrupted)() {
                child.kill()?;
                child.wait()?;
                break if late { End::Late } else { End::Interrupted };
            }
            std::thread::sleep(GLANCE);
        };
        let [stdout, stderr] = readers.map(|reader| reader.join().unwrap_or_default());
        Ok(Ran {
            end,
            stdout,
            stderr,
        })
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By itself; none for a signal.
    Code(Option<i32>),
    Late,
    Interrupted,
}

struct Ran {
    end: End,
    stdout: String,
    stderr: String,
}

/// Reads to the end and keeps the first part.
fn drain(from: Option<impl Read>) -> String {
    let mut kept = Vec::new();
    if let Some(mut from) = from {
        let _ = from
            .by_ref()
            .take(MOST_OUTPUT as u64)
            .read_to_end(&mut kept);
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// The program's text. The checks stand first, so that their lines keep their numbers.
fn program(all: &Exercises, exercise: &Exercise, file: &Path) -> Result<String> {
    let folder = all.root.join("lessons/exercises/checks");
    let path = folder
        .join(&exercise.shelf)
        .join(format!("{}.rs", exercise.id));
    let checks = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let file = std::path::absolute(file).with_context(|| file.display().to_string())?;
    // Read here as well: a missing file is our error and not a riddle of rustc's.
    std::fs::metadata(&file).with_context(|| file.display().to_string())?;
    Ok(format!(
        "{checks}\n#[path = {file:?}]\nmod exercise;\n#[path = {:?}]\nmod harness;\n\
         use exercise::*;\nuse harness::Checks;\n\
         fn main() {{\n    checks(&mut Checks::start());\n}}\n",
        folder.join("checks.rs")
    ))
}

/// Makes rustc call the files below `folder` by a shorter name.
fn renamed(folder: &Path, name: &str) -> std::ffi::OsString {
    let mut flag = std::ffi::OsString::from("--remap-path-prefix=");
    flag.push(folder);
    if name.is_empty() {
        flag.push(std::path::MAIN_SEPARATOR_STR);
    }
    flag.push("=");
    flag.push(name);
    flag
}

/// The checks in what the program wrote, and everything between them.
fn parse(text: &str) -> (Vec<Check>, String) {
    let (mut checks, mut printed) = (Vec::<Check>::new(), String::new());
    for (index, part) in text.split(BEGIN).enumerate() {
        let Some((report, after)) = part.split_once(END).filter(|_| index > 0) else {
            printed += part;
            continue;
        };
        printed += after;
        let fields: Vec<&str> = report.split(FIELD).collect();
        let own = |index: usize| fields.get(index).copied().unwrap_or_default().to_owned();
        let verdict = match fields[0] {
            "start" => {
                checks.push(Check {
                    name: own(1),
                    verdict: Verdict::Stopped(String::new()),
                    advice: Vec::new(),
                });
                continue;
            }
            "ok" => Verdict::Ok,
            "todo" => Verdict::Todo {
                text: own(1),
                place: own(2),
            },
            "panic" => Verdict::Panic {
                text: own(1),
                place: own(2),
            },
            "fail" => Verdict::Wrong {
                expected: own(1),
                got: own(2),
                remark: own(3),
            },
            "teach" => {
                if let Some(check) = checks.last_mut() {
                    check.advice.push(own(1));
                }
                continue;
            }
            _ => continue,
        };
        if let Some(check) = checks.last_mut() {
            check.verdict = verdict;
        }
    }
    (checks, printed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(fields: &[&str]) -> String {
        format!("{BEGIN}{}{END}", fields.join(&FIELD.to_string()))
    }

    #[test]
    fn reports_are_told_from_what_the_learner_prints() {
        let text = [
            "before",
            &report(&["start", "one"]),
            "inside\n",
            &report(&["fail", "1", "2\n3", "apart"]),
            &report(&["teach", "think"]),
            &report(&["start", "two"]),
            &report(&["ok"]),
            &report(&["start", "three"]),
            "after",
        ]
        .concat();
        let (checks, printed) = parse(&text);
        assert_eq!(printed, "beforeinside\nafter");
        let wrong = Verdict::Wrong {
            expected: "1".into(),
            got: "2\n3".into(),
            remark: "apart".into(),
        };
        let verdicts: Vec<&Verdict> = checks.iter().map(|check| &check.verdict).collect();
        assert_eq!(
            verdicts,
            [&wrong, &Verdict::Ok, &Verdict::Stopped(String::new())]
        );
        assert_eq!(checks[0].advice, ["think"]);
        let outcome = Outcome::Ran { checks, printed };
        assert_eq!(outcome.score(), (1, 3));
        assert!(!outcome.solved());
        assert!(
            !Outcome::Ran {
                checks: Vec::new(),
                printed: String::new()
            }
            .solved()
        );
    }
}
