//! Every exercise as it is handed out and solved, and the engine that checks them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::checkout::{Checkout, fails, looks_right, repository};

/// Long enough for rustc on a loaded machine; waiting ends when the line is there.
const PATIENCE: Duration = Duration::from_secs(120);
/// Checks at once: rustc on a small file keeps one core busy.
const WORKERS: usize = 3;
/// The exercise that the tests of the engine edit.
const ID: &str = "count_parameters";
const FILE: &str = "lessons/exercises/foundations/count_parameters.rs";

/// Shelf and id of every exercise.
fn all() -> Vec<(String, String)> {
    let path = repository().join("lessons/exercises/exercises.toml");
    let list: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let text = |value: &toml::Value, key: &str| value[key].as_str().unwrap().to_owned();
    let exercises = list["exercise"].as_array().unwrap();
    exercises
        .iter()
        .map(|one| (text(one, "shelf"), text(one, "id")))
        .collect()
}

/// What is wrong with an exercise: handed out it has to fail with a message and compile, solved it
/// has to pass without a warning.
fn problems(checkout: &Checkout, shelf: &str, id: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let open = checkout.deeper(["exercises", "check", id]);
    if open.code != Some(1) || open.stdout.contains("error") {
        problems.push(format!(
            "{id} as handed out: {:?}\n{}",
            open.code, open.stdout
        ));
    }
    let told = open
        .stdout
        .lines()
        .filter(|line| line.starts_with("   todo  "))
        .count();
    if told == 0 {
        problems.push(format!(
            "{id} as handed out names no hole:\n{}",
            open.stdout
        ));
    }
    let path = format!("lessons/exercises/solutions/{shelf}/{id}.rs");
    let solved = checkout.deeper(["exercises", "check", &path]);
    if solved.code != Some(0) || !solved.stdout.contains("solved: all ") {
        problems.push(format!(
            "{id} solved: {:?}\n{}\n{}",
            solved.code, solved.stdout, solved.stderr
        ));
    }
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc.args([
        "--edition",
        "2024",
        "--crate-type",
        "lib",
        "--emit",
        "metadata",
        "-D",
        "warnings",
    ]);
    rustc
        .arg("-o")
        .arg(checkout.path(&format!("{id}.rmeta")))
        .arg(checkout.path(&path));
    let warned = rustc.output().unwrap();
    if !warned.status.success() {
        problems.push(String::from_utf8_lossy(&warned.stderr).into_owned());
    }
    problems
}

#[test]
fn exercises_fail_with_a_message_and_solutions_pass() {
    let checkout = Checkout::new();
    let (all, next) = (all(), AtomicUsize::new(0));
    let work = || {
        let mut found = Vec::new();
        while let Some((shelf, id)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.extend(problems(&checkout, shelf, id));
        }
        found
    };
    let found: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    assert!(found.is_empty(), "{}", found.join("\n\n"));
    assert!(all.len() >= 2, "{all:?}");
    // Solutions that were read are not solved by the learner.
    assert!(!checkout.path("data/progress.json").exists());
}

#[test]
fn a_solved_exercise_is_remembered_and_listed() {
    let checkout = Checkout::new();
    looks_right(&checkout, &["exercises"]);
    looks_right(&checkout, &["exercises", "hint", ID]);
    checkout.solve("foundations", ID);
    let output = checkout.deeper(["exercises", "check", FILE]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        output.stdout.contains("solved: all 6 checks hold"),
        "{}",
        output.stdout
    );
    let progress = checkout.read("data/progress.json");
    assert!(progress.contains(&format!("\"{ID}\": \"20")), "{progress}");
    let list = checkout.deeper(["exercises"]).stdout;
    assert!(list.contains(&format!("solved  {ID}")), "{list}");
    assert!(
        list.contains(&format!("1 of {} solved", all().len())),
        "{list}"
    );
}

#[test]
fn a_wrong_value_is_shown_beside_the_right_one() {
    let checkout = Checkout::new();
    checkout.solve("foundations", ID);
    let right = checkout.read(FILE);
    let wrong = right.replace(
        "4 * projection(d, d)",
        "{ println!(\"in block\\u{7}\"); 3 * projection(d, d) }",
    );
    assert_ne!(wrong, right);
    checkout.write(FILE, &wrong);
    let output = checkout.deeper(["exercises", "check", ID]);
    fails(
        &output,
        1,
        &[
            "checks of count_parameters hold",
            "hint: ",
            "exercises hint",
        ],
    );
    for words in [
        "FAIL  a block of width 1",
        "expected  25",
        "got       23",
        "your code printed",
    ] {
        assert!(
            output.stdout.contains(words),
            "`{words}` is not in\n{}",
            output.stdout
        );
    }
    assert!(
        !output.stdout.contains('\u{7}'),
        "control characters are spelled out"
    );
    looks_right(&checkout, &["exercises", "check", ID]);
}

#[test]
fn an_error_of_rustc_names_the_learners_file_and_line() {
    let checkout = Checkout::new();
    checkout.write(FILE, "pub fn block(d: u64) -> u64 {\n    d +\n}\n");
    let output = checkout.deeper(["exercises", "check", ID]);
    fails(&output, 1, &["does not compile yet", "hint: "]);
    assert!(
        output.stdout.contains(&format!("{FILE}:3:1")),
        "{}",
        output.stdout
    );
    // Another signature breaks the checks, whose own file is then named.
    let solution = checkout.read(&FILE.replace("exercises/", "exercises/solutions/"));
    checkout.write(
        FILE,
        &solution.replace("pub fn block(d: u64)", "pub fn block(d: f32)"),
    );
    let output = checkout.deeper(["exercises", "check", ID]);
    fails(&output, 1, &["does not compile yet"]);
    assert!(output.stdout.contains(FILE), "{}", output.stdout);
    let checks = "lessons/exercises/checks/foundations/count_parameters.rs:";
    assert!(output.stdout.contains(checks), "{}", output.stdout);
}

#[test]
fn a_loop_without_an_end_is_stopped_and_named() {
    let checkout = Checkout::new();
    checkout.write(
        FILE,
        "pub fn block(_d: u64) -> u64 { loop { println!(\"again\") } }\n\
         pub fn count_parameters(_v: u64, _t: u64, _l: u64, _d: u64) -> u64 { 0 }\n",
    );
    let output = checkout.deeper(["exercises", "check", ID, "--seconds", "0.5"]);
    fails(&output, 1, &["hold"]);
    for words in [
        "FAIL  a block of width 1",
        "no end within 0.5 s",
        "again",
        "more lines",
    ] {
        assert!(
            output.stdout.contains(words),
            "`{words}` is not in\n{}",
            output.stdout
        );
    }
    checkout.write(
        FILE,
        "#[inline(never)]\npub fn block(d: u64) -> u64 { d + block(std::hint::black_box(d + 1)) }\n\
         pub fn count_parameters(_v: u64, _t: u64, _l: u64, _d: u64) -> u64 { 0 }\n",
    );
    let output = checkout.deeper(["exercises", "check", ID]);
    fails(&output, 1, &["hold"]);
    assert!(
        output.stdout.contains("FAIL  a block of width 1"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("recursion without an end"),
        "{}",
        output.stdout
    );
    checkout.write(
        FILE,
        "pub fn block(_d: u64) -> u64 { std::process::exit(0) }\n\
         pub fn count_parameters(_v: u64, _t: u64, _l: u64, _d: u64) -> u64 { 0 }\n",
    );
    let output = checkout.deeper(["exercises", "check", ID]);
    fails(&output, 1, &["0 of 1 checks"]);
}

#[test]
fn unknown_names_are_guessed() {
    let checkout = Checkout::new();
    let check = |id: &str| checkout.deeper(["exercises", "check", id]);
    fails(
        &check("count_parameter"),
        2,
        &["did you mean `count_parameters`?", "hint: "],
    );
    fails(&check("no/such/count_parameters.rs"), 2, &["no such file"]);
    fails(&check("src/main.rs"), 2, &["unknown exercise `main`"]);
    fails(
        &checkout.deeper(["exercises", "hint", "kv"]),
        2,
        &["unknown exercise `kv`"],
    );
    let outside = tempfile::tempdir().unwrap();
    let output = checkout
        .run(["exercises"])
        .folder(outside.path())
        .output()
        .unwrap();
    fails(&output, 2, &["no checkout of the course", "hint: cd into"]);
    std::fs::remove_file(checkout.path(FILE)).unwrap();
    fails(&check(ID), 3, &["count_parameters.rs"]);
}

/// A running `deeper exercises watch` and the lines that it writes.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(checkout: &Checkout, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_deeper"))
            .current_dir(checkout.path(""))
            .env("DEEPER_DATA", checkout.path("data"))
            .args(["exercises", "watch"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            out.lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    /// Waits for a line with `words` and returns it, and how long it took.
    fn wait(&self, words: &str) -> (String, Duration) {
        let (start, mut seen) = (Instant::now(), Vec::new());
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            if line.contains(words) {
                return (line, start.elapsed());
            }
            seen.push(line);
        }
        panic!("`{words}` did not come; came {seen:#?}")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn watch_checks_at_every_save_and_moves_on() {
    let checkout = Checkout::new();
    let watch = Watch::start(&checkout, &[ID]);
    watch.wait("0 of 6 checks hold");
    // An editor that writes into the file.
    checkout.write(FILE, "pub fn block(_: u64) -> u64 { 25 }\n");
    watch.wait("does not compile yet");
    // A loop without an end, and its end at the next save.
    checkout.write(
        FILE,
        "pub fn block(_: u64) -> u64 { loop {} }\n\
         pub fn count_parameters(_: u64, _: u64, _: u64, _: u64) -> u64 { 0 }\n",
    );
    std::thread::sleep(Duration::from_millis(700));
    // An editor that puts a new file in the old one's place.
    let solution = checkout.read(&FILE.replace("exercises/", "exercises/solutions/"));
    checkout.write("new.rs", &solution);
    std::fs::remove_file(checkout.path(FILE)).unwrap();
    std::fs::rename(checkout.path("new.rs"), checkout.path(FILE)).unwrap();
    let (_, took) = watch.wait("solved: all 6 checks hold");
    println!("from save to verdict: {took:?}");
    let (next, _) = watch.wait("exercises hint ");
    assert!(!next.contains(ID), "it goes on to another one: {next}");
    assert!(checkout.read("data/progress.json").contains(ID));
}

#[cfg(unix)]
#[test]
fn an_interrupted_watch_ends_with_130() {
    let checkout = Checkout::new();
    let mut watch = Watch::start(&checkout, &[ID]);
    watch.wait("0 of 6 checks hold");
    let pid = watch.child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    let start = Instant::now();
    let code = loop {
        if let Some(status) = watch.child.try_wait().unwrap() {
            break status.code();
        }
        assert!(start.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(code, Some(130));
}
