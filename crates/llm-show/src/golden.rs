//! Golden files: the output that a program had when a person last looked at it.
//!
//! For integration tests. Words must be equal; numbers may differ by a named tolerance, because
//! SIMD widths differ between machines. Set `BLESS=1` to write the files anew and read the diff.
//!
//! ```no_run
//! use llm_show::golden::{Golden, Run};
//! # fn main() -> Result<(), String> {
//! let run = Run::new("target/debug/03_attention_math").args(["--plain"]).output()?;
//! Golden { path: "tests/golden/03.txt".into(), tolerance: 1e-4 }.compare(&run.stdout)?;
//! # Ok(()) }
//! ```

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a program wrote and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The result.
    pub stdout: String,
    /// The weather.
    pub stderr: String,
    /// The exit code; none after a signal.
    pub code: Option<i32>,
}

/// A program to run without any of the variables that change its looks.
#[derive(Debug)]
pub struct Run(Command);

impl Run {
    /// The program at `path`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let mut command = Command::new(path.as_ref());
        for name in [
            "NO_COLOR",
            "CLICOLOR",
            "CLICOLOR_FORCE",
            "COLUMNS",
            "RUST_BACKTRACE",
        ] {
            command.env_remove(name);
        }
        Self(command)
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.args(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs in `folder`.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// A program that does not start, or output that is not UTF-8.
    pub fn output(mut self) -> Result<Output, String> {
        let output = self.0.stdin(Stdio::null()).output();
        let output = output.map_err(|e| format!("{:?}: {e}", self.0.get_program()))?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|e| e.to_string());
        Ok(Output {
            stdout: text(output.stdout)?,
            stderr: text(output.stderr)?,
            code: output.status.code(),
        })
    }

    /// Runs with a stdout whose reader has already gone away.
    ///
    /// # Errors
    /// As [`Run::output`].
    pub fn into_closed_pipe(mut self) -> Result<Output, String> {
        let (reader, writer) = std::io::pipe().map_err(|e| e.to_string())?;
        drop(reader);
        let spawned = self
            .0
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn();
        let child = spawned.map_err(|e| format!("{:?}: {e}", self.0.get_program()))?;
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        let stderr = String::from_utf8(output.stderr).map_err(|e| e.to_string())?;
        Ok(Output {
            stdout: String::new(),
            stderr,
            code: output.status.code(),
        })
    }
}

/// A golden file and how far numbers may differ from it.
#[derive(Clone, Debug)]
pub struct Golden {
    /// The file.
    pub path: PathBuf,
    /// The largest difference between two numbers, absolute below 1 and relative above.
    pub tolerance: f64,
}

impl Golden {
    /// Compares `actual` with the file, or writes the file when `BLESS` is set.
    ///
    /// # Errors
    /// The first line that differs, with both versions, or the file that cannot be used.
    pub fn compare(&self, actual: &str) -> Result<(), String> {
        let name = self.path.display();
        if std::env::var_os("BLESS").is_some() {
            let made = self.path.parent().map_or(Ok(()), std::fs::create_dir_all);
            return made
                .and_then(|()| std::fs::write(&self.path, actual))
                .map_err(|e| format!("{name}: {e}"));
        }
        let expected = std::fs::read_to_string(&self.path)
            .map_err(|e| format!("{name}: {e}; BLESS=1 writes it"))?;
        differences(&expected, actual, self.tolerance).map_err(|text| format!("{name}:{text}"))
    }
}

/// What every lesson promises, for one program.
///
/// Its stdout equals the golden file and comes out the same twice and in any colour; `--plain` is
/// ASCII; `--help` equals its snapshot; bad flags exit with 2; a closed pipe ends quietly; a
/// wrong answer to the exercise exits with 1 and the right one with 0.
#[derive(Clone, Debug)]
pub struct Promises<'a> {
    /// The program: `env!("CARGO_BIN_EXE_…")`.
    pub program: &'a str,
    /// The name of its golden files.
    pub name: &'a str,
    /// The folder of the golden files.
    pub folder: &'a Path,
    /// Arguments of every run.
    pub args: &'a [&'a str],
    /// How far numbers may differ from the golden file.
    pub tolerance: f64,
    /// A right answer to the exercise; none where the lesson has no exercise.
    pub answer: Option<&'a str>,
}

impl Promises<'_> {
    fn output(&self, more: &[&str]) -> Result<Output, String> {
        let run = Run::new(self.program).args(self.args.iter().copied());
        run.args(more.iter().copied()).output()
    }

    fn golden(&self, kind: &str) -> Golden {
        let path = self.folder.join(format!("{}{kind}.txt", self.name));
        Golden {
            path,
            tolerance: self.tolerance,
        }
    }

    /// Checks them all.
    ///
    /// # Errors
    /// The first promise that is not kept.
    pub fn check(&self) -> Result<(), String> {
        let first = self.output(&[])?;
        ended(&first, 0)?;
        self.golden("").compare(&first.stdout)?;
        for more in [&[][..], &["--color", "never"], &["--quiet"]] {
            same("a second run", &first.stdout, &self.output(more)?.stdout)?;
        }
        let quiet = self.output(&["--quiet"])?;
        same("stderr under --quiet", "", &quiet.stderr)?;
        self.check_looks(&first)?;
        self.golden(".help")
            .compare(&self.output(&["--help"])?.stdout)?;
        ended(&self.output(&["--no-such-flag"])?, 2)?;
        let closed = Run::new(self.program)
            .args(self.args.iter().copied())
            .into_closed_pipe()?;
        ended(&closed, 0)?;
        self.check_exercise()
    }

    fn check_looks(&self, first: &Output) -> Result<(), String> {
        let colored = self.output(&["--color", "always"])?.stdout;
        if !colored.contains('\u{1b}') {
            return Err("--color always wrote no colour".into());
        }
        let bare = anstream::adapter::strip_str(&colored).to_string();
        same("colours stripped", &first.stdout, &bare)?;
        let env = Run::new(self.program)
            .args(self.args.iter().copied())
            .env("NO_COLOR", "1");
        same("NO_COLOR", &first.stdout, &env.output()?.stdout)?;
        let plain = self.output(&["--plain"])?.stdout;
        match plain.lines().find(|line| !line.is_ascii()) {
            Some(line) => Err(format!("--plain is not ASCII: {line}")),
            None => Ok(()),
        }?;
        let wide = |line: &&str| crate::look::width(line) > crate::look::WIDTH;
        match first.stdout.lines().find(wide) {
            Some(line) => Err(format!("wider than {} columns: {line}", crate::look::WIDTH)),
            None => Ok(()),
        }
    }

    fn check_exercise(&self) -> Result<(), String> {
        let listed = self.output(&["--check"])?;
        ended(&listed, 0)?;
        if !listed.stdout.contains("PASS  ") {
            return Err("--check lists no PASS".into());
        }
        let Some(answer) = self.answer else {
            return Ok(());
        };
        ended(&self.output(&["--check", answer])?, 0)?;
        let wrong = self.output(&["--check", "no-such-answer"])?;
        ended(&wrong, 1)?;
        if !wrong.stdout.contains("FAIL  exercise") || !wrong.stderr.contains("checks failed") {
            return Err(format!("a wrong answer is not named: {}", wrong.stderr));
        }
        Ok(())
    }
}

/// An error unless the program ended with `code`.
fn ended(output: &Output, code: i32) -> Result<(), String> {
    if output.code == Some(code) && !output.stderr.contains("panicked") {
        return Ok(());
    }
    Err(format!(
        "exit code {:?}, expected {code}; stderr:\n{}",
        output.code, output.stderr
    ))
}

/// An error unless two texts are equal; names the first line that differs.
fn same(what: &str, expected: &str, actual: &str) -> Result<(), String> {
    if expected == actual {
        return Ok(());
    }
    let lines = expected.lines().zip(actual.lines()).find(|(a, b)| a != b);
    let (a, b) = lines.unwrap_or((expected, actual));
    Err(format!("{what} differs:\n  expected  {a}\n  actual    {b}"))
}

/// Line by line: equal words in equal order, numbers within `tolerance`.
fn differences(expected: &str, actual: &str, tolerance: f64) -> Result<(), String> {
    let mut lines = (expected.lines(), actual.lines());
    for number in 1.. {
        let (expected, actual) = match (lines.0.next(), lines.1.next()) {
            (None, None) => return Ok(()),
            (expected, actual) => (expected.unwrap_or("(end)"), actual.unwrap_or("(end)")),
        };
        if let Err(worst) = same_line(expected, actual, tolerance) {
            return Err(format!(
                "{number}: {worst} (tolerance {tolerance:e})\n  expected  {expected}\n  actual    {actual}"
            ));
        }
    }
    Ok(())
}

/// Whether two lines agree; else what differs.
fn same_line(expected: &str, actual: &str, tolerance: f64) -> Result<(), String> {
    if expected == actual {
        return Ok(());
    }
    // Spaces before a number change with its width, so only the words are compared.
    let (mut left, mut right) = (expected.split_whitespace(), actual.split_whitespace());
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ok(()),
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => match (fraction(a), fraction(b)) {
                (Some(x), Some(y)) if (x - y).abs() <= tolerance * x.abs().max(1.0) => {}
                (Some(x), Some(y)) => return Err(format!("|Δ| = {:e}", (x - y).abs())),
                _ => return Err(format!("`{a}` became `{b}`")),
            },
            (a, b) => {
                return Err(format!(
                    "`{}` became `{}`",
                    a.unwrap_or(""),
                    b.unwrap_or("")
                ));
            }
        }
    }
}

/// A number with a decimal point or an exponent; integers are words and must be equal.
fn fraction(word: &str) -> Option<f64> {
    let word = word.trim_matches(|c: char| "(),;:[]".contains(c));
    let value: f64 = word.parse().ok()?;
    (word.contains('.') || word.contains("e-") || word.contains("e+")).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_integers_are_exact_and_fractions_are_close() {
        let same = |a, b| differences(a, b, 1e-3);
        assert!(same("loss  0.1234", "loss 0.1235").is_ok());
        assert!(same("loss 12000.5", "loss 12001.5").is_ok());
        assert!(same("(Δ 1.0e-03)", "(Δ 1.2e-03)").is_ok());
        assert!(same("loss 0.12", "loss 0.15").unwrap_err().contains("|Δ|"));
        assert!(same("step 10", "step 11").is_err());
        assert!(same("a 0.5", "b 0.5").is_err());
        assert!(same("a", "a\nb").unwrap_err().contains("2:"));
        assert!(same("a b", "a").is_err());
    }

    #[test]
    fn a_missing_file_says_how_to_write_it() {
        let golden = Golden {
            path: "no/such/file".into(),
            tolerance: 0.0,
        };
        if std::env::var_os("BLESS").is_none() {
            assert!(golden.compare("").unwrap_err().contains("BLESS=1"));
        }
    }
}
