//! Where the dynamic linker finds a library, without loading it.

use std::path::{Path, PathBuf};
use std::process::Command;

const DRIVER: &str = "the driver brings libcuda: install NVIDIA's driver (580 or later for CUDA 13), or run \
the container with `--gpus all`";
const TOOLKIT: &str = "install the CUDA 13.0 toolkit, or `python3 tools/cuda/toolkit.py` and \
`export LD_LIBRARY_PATH=\"$CUDA_HOME/lib\"`";

/// A library that a build with the feature `cuda` is linked with.
#[derive(Debug)]
pub(super) struct Library {
    /// The file's name without its version.
    pub(super) name: &'static str,
    pub(super) purpose: &'static str,
    pub(super) hint: &'static str,
}

impl Library {
    /// Whether a file of this name is the library, of whatever version.
    fn is(&self, file: &str) -> bool {
        file.strip_prefix(self.name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// All of them; such a binary starts only where each is found.
pub(super) const LIBRARIES: [&Library; 6] = [
    &Library {
        name: "libcuda.so",
        purpose: "the driver",
        hint: DRIVER,
    },
    &Library {
        name: "libcudart.so",
        purpose: "the runtime",
        hint: TOOLKIT,
    },
    &Library {
        name: "libcublas.so",
        purpose: "matrix products",
        hint: TOOLKIT,
    },
    &Library {
        name: "libcublasLt.so",
        purpose: "matrix products",
        hint: TOOLKIT,
    },
    &Library {
        name: "libcurand.so",
        purpose: "random numbers",
        hint: TOOLKIT,
    },
    &Library {
        name: "libnvrtc.so",
        purpose: "our kernels, compiled at start",
        hint: TOOLKIT,
    },
];

/// Folders that Linux distributions and containers keep shared libraries in.
const USUAL: [&str; 7] = [
    "/lib64",
    "/usr/lib64",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib",
    "/usr/lib",
];

/// Where programs look for libraries, in their order.
#[derive(Debug, Default)]
pub(super) struct Linker {
    /// Folders of the environment.
    first: Vec<PathBuf>,
    /// Files that the linker's cache knows.
    known: Vec<PathBuf>,
    /// Folders that it knows by itself.
    last: Vec<PathBuf>,
}

impl Linker {
    pub(super) fn of_this_machine() -> Self {
        let variable = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let first = std::env::split_paths(&variable);
        Self {
            first: first.filter(|path| !path.as_os_str().is_empty()).collect(),
            known: cache(),
            last: USUAL.map(PathBuf::from).to_vec(),
        }
    }

    /// The first file that is the library, of whatever version.
    pub(super) fn find(&self, library: &Library) -> Option<PathBuf> {
        let inside =
            |folders: &[PathBuf]| folders.iter().find_map(|folder| in_folder(folder, library));
        let known = || {
            let is = |path: &&PathBuf| named(path).is_some_and(|name| library.is(&name));
            self.known.iter().find(is).cloned()
        };
        inside(&self.first)
            .or_else(known)
            .or_else(|| inside(&self.last))
    }
}

/// The library's file of the shortest name, which stays the same from run to run.
fn in_folder(folder: &Path, library: &Library) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.flatten();
    let paths = files.map(|entry| entry.path());
    let is = |path: &PathBuf| named(path).is_some_and(|name| library.is(&name));
    paths
        .filter(is)
        .min_by_key(|path| (path.as_os_str().len(), path.clone()))
}

fn named(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// The files that `ldconfig -p` lists: lines `name (kind) => path`.
fn cache() -> Vec<PathBuf> {
    let ask = |program: &str| Command::new(program).arg("-p").output().ok();
    // Not on everybody's search path.
    let Some(output) = ask("ldconfig").or_else(|| ask("/sbin/ldconfig")) else {
        return Vec::new();
    };
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn parse(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| line.split_once(" => ").map(|(_, path)| path.trim().into());
    text.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLAS: &Library = LIBRARIES[2];

    #[test]
    fn the_environment_comes_before_the_cache_and_any_version_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("libcublas.so.13");
        std::fs::write(&file, "").unwrap();
        std::fs::write(folder.path().join("libcublas.so.13.1.0"), "").unwrap();
        let text = "2 libs found\n\tlibcublasLt.so.13 (libc6,x86-64) => /other/libcublasLt.so.13\n\
                    \tlibcublas.so.12 (libc6,x86-64) => /usr/lib/libcublas.so.12\n";
        let mut linker = Linker {
            known: parse(text),
            ..Linker::default()
        };
        assert_eq!(linker.find(BLAS), Some("/usr/lib/libcublas.so.12".into()));
        linker.first.push(folder.path().into());
        assert_eq!(linker.find(BLAS), Some(file));
    }

    #[test]
    fn a_longer_name_is_another_library() {
        assert!(BLAS.is("libcublas.so") && BLAS.is("libcublas.so.13.1"));
        assert!(!BLAS.is("libcublasLt.so.13") && !BLAS.is("libcublas.source"));
        assert_eq!(Linker::default().find(BLAS), None);
    }
}
