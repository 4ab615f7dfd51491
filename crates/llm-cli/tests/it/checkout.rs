//! A checkout of the course in a temporary folder, for tests that edit exercises and keep progress.

use std::path::{Path, PathBuf};

use llm_show::golden::{Output, Run};

/// The root of this repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A copy of the exercises, an empty data folder, and what makes a folder a checkout.
pub(crate) struct Checkout {
    folder: tempfile::TempDir,
}

impl Checkout {
    pub(crate) fn new() -> Self {
        let checkout = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        copy(
            &repository().join("lessons/exercises"),
            &checkout.path("lessons/exercises"),
        );
        checkout.write("Cargo.toml", "[workspace]\n");
        checkout.write("lessons/catalog.toml", "");
        checkout
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Puts the solution of an exercise in the learner's place.
    pub(crate) fn solve(&self, shelf: &str, id: &str) {
        let solution = self.read(&format!("lessons/exercises/solutions/{shelf}/{id}.rs"));
        self.write(&format!("lessons/exercises/{shelf}/{id}.rs"), &solution);
    }

    /// `deeper` in this checkout with its own data folder.
    pub(crate) fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Run {
        Run::new(env!("CARGO_BIN_EXE_deeper"))
            .folder(self.folder.path())
            .env("DEEPER_DATA", self.path("data").to_str().unwrap())
            .args(args)
    }

    pub(crate) fn deeper<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Output {
        self.run(args).output().unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => std::fs::copy(entry.path(), target).map(|_| ()).unwrap(),
        }
    }
}

/// The exit code, one error line with these words, and no trace of a panic.
pub(crate) fn fails(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.code, Some(code), "{output:?}");
    let error = output
        .stderr
        .lines()
        .find(|line| line.starts_with("error: "));
    let error = error.unwrap_or_else(|| panic!("no error line: {output:?}"));
    let error = format!("{error}\n{}", output.stderr);
    for word in words {
        assert!(error.contains(word), "`{word}` is not in {error}");
    }
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
}

/// ASCII under `--plain`, and at most 80 columns either way.
pub(crate) fn looks_right(checkout: &Checkout, args: &[&str]) {
    let usual = checkout.deeper(args.iter().copied());
    let plain = checkout.deeper(args.iter().copied().chain(["--plain"]));
    for line in usual.stdout.lines().chain(plain.stdout.lines()) {
        assert!(
            llm_show::look::width(line) <= 80,
            "wider than 80 columns: {line}"
        );
    }
    let foreign = plain.stdout.lines().find(|line| !line.is_ascii());
    assert_eq!(foreign, None, "{args:?}");
    assert_eq!(
        checkout.deeper(args.iter().copied()),
        usual,
        "{args:?} twice"
    );
}
