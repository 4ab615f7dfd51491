//! What the checks look at: the files of the tree, the packages, cargo itself.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::source::Source;

/// Folders that hold nothing written by a person.
const SKIPPED: [&str; 7] = [
    "target",
    ".git",
    "output_models/runs",
    "docs/book",
    "node_modules",
    "__pycache__",
    ".venv",
];

/// The workspace as it stands on the disk.
pub(crate) struct Workspace {
    /// The root folder.
    pub(crate) root: PathBuf,
    /// Every file by its path from the root, with `/`.
    pub(crate) files: BTreeSet<String>,
    /// The members, in cargo's order.
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace.
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its folder from the root, with `/`.
    pub(crate) folder: String,
    /// Names of the members that it depends on, test dependencies left out.
    pub(crate) depends_on: Vec<String>,
    /// Names of its binaries.
    pub(crate) binaries: Vec<String>,
    /// Whether it has a library.
    pub(crate) has_library: bool,
    /// Its `Cargo.toml`.
    pub(crate) manifest: toml::Table,
}

impl Workspace {
    /// Finds the root, lists the files and asks cargo for the packages.
    pub(crate) fn load() -> Result<Self> {
        // As `cargo run` says it, so that a binary built in another checkout looks at this one
        let own =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&own)
            .parent()
            .context("xtask has no parent folder")?
            .to_path_buf();
        let mut files = BTreeSet::new();
        list_files(&root, "", &mut files)?;
        let output = cargo(&root, &["metadata", "--format-version", "1", "--no-deps"])?;
        let metadata: serde_json::Value = serde_json::from_str(&output)?;
        let members = metadata["packages"]
            .as_array()
            .context("cargo metadata: no packages")?;
        let mut packages = Vec::new();
        for member in members {
            packages.push(Package::read(&root, member)?);
        }
        let names: BTreeSet<String> = packages
            .iter()
            .map(|package| package.name.clone())
            .collect();
        for package in &mut packages {
            package.depends_on.retain(|name| names.contains(name));
        }
        Ok(Self {
            root,
            files,
            packages,
        })
    }

    /// A file's text.
    pub(crate) fn read(&self, file: &str) -> Result<String> {
        fs::read_to_string(self.root.join(file)).with_context(|| file.to_string())
    }

    /// Every Rust file.
    pub(crate) fn sources(&self) -> Result<Vec<Source>> {
        let rust = self.files.iter().filter(|file| file.ends_with(".rs"));
        rust.map(|file| Ok(Source::new(file, &self.read(file)?)))
            .collect()
    }

    /// Runs cargo and returns what it printed.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Result<String> {
        cargo(&self.root, arguments)
    }

    /// Runs cargo with its output on the terminal.
    pub(crate) fn show_cargo(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<()> {
        let mut command = Command::new(program());
        command
            .current_dir(&self.root)
            .args(arguments)
            .envs(variables.iter().copied());
        let status = command.status().context("cargo does not start")?;
        ensure!(
            status.success(),
            "`cargo {}` ended with {status}",
            arguments.join(" ")
        );
        Ok(())
    }
}

impl Package {
    fn read(root: &Path, member: &serde_json::Value) -> Result<Self> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_string();
        let list = |key: &str| member[key].as_array().cloned().unwrap_or_default();
        let path = PathBuf::from(text(&member["manifest_path"]));
        let folder = path
            .parent()
            .and_then(|folder| folder.strip_prefix(root).ok());
        let folder = folder
            .context("a member outside the root")?
            .to_string_lossy()
            .replace('\\', "/");
        let has_kind = |target: &serde_json::Value, kind: &str| {
            target["kind"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|k| k == kind))
        };
        let targets = list("targets");
        let depends_on = list("dependencies");
        let depends_on = depends_on
            .iter()
            .filter(|dependency| dependency["kind"] != "dev");
        Ok(Self {
            name: text(&member["name"]),
            folder,
            depends_on: depends_on
                .map(|dependency| text(&dependency["name"]))
                .collect(),
            binaries: targets
                .iter()
                .filter(|t| has_kind(t, "bin"))
                .map(|t| text(&t["name"]))
                .collect(),
            has_library: targets.iter().any(|target| has_kind(target, "lib")),
            manifest: fs::read_to_string(&path)?
                .parse()
                .with_context(|| path.display().to_string())?,
        })
    }
}

/// The cargo that runs this task.
fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program())
        .current_dir(root)
        .args(arguments)
        .output()?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("`cargo {}`: {}", arguments.join(" "), message.trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn list_files(folder: &Path, prefix: &str, files: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let last = entry.file_name();
        if SKIPPED.contains(&name.as_str()) || SKIPPED.iter().any(|skipped| last == *skipped) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list_files(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.insert(name);
        }
    }
    Ok(())
}
