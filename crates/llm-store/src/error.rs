//! The one error type of the crate.

use std::path::{Path, PathBuf};

/// What can go wrong between a tensor and the disk.
///
/// Messages are lower-case, one line, and name the file and what was expected.
/// [`Error::hint`] is the next thing to try.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder that has to be there and is not.
    #[error("{}: not found, expected {expected}", path.display())]
    Missing {
        /// The path that was looked for.
        path: PathBuf,
        /// What should stand there.
        expected: String,
        /// What to do about it, if something can be done.
        hint: Option<String>,
    },
    /// The system refused to read or write.
    #[error("{}: {action} failed: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, as a verb.
        action: &'static str,
        /// The reason the system gave.
        source: std::io::Error,
    },
    /// A file whose contents are not what its name promises.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A tensor that is missing, of another type or shape, or not loadable.
    #[error("{}: tensor `{}`: {problem}", path.display(), printable(name))]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// NaN or infinity in a weight.
    #[error("{}: tensor `{}` holds {value} at flat index {index}, expected finite numbers", path.display(), printable(name))]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
        /// The first value that is not finite.
        value: f64,
        /// Its position in row-major order.
        index: usize,
    },
    /// A file format that is never read here.
    #[error("{}: {format} files are not read here, expected safetensors", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format's common name.
        format: &'static str,
        /// How to convert it.
        hint: String,
    },
    /// A feature of PEFT that this code does not have.
    #[error("{}: `{key}` is {value}, which is not supported", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The key in `adapter_config.json`.
        key: String,
        /// Its value, shortened.
        value: String,
    },
    /// Something of a model that llama.cpp's format has no place for.
    #[error("{}: {what}, which a GGUF file for llama.cpp cannot say", path.display())]
    NotInGguf {
        /// The file it stands in.
        path: PathBuf,
        /// What it is, as a sentence.
        what: String,
    },
    /// A path that is in use and was not to be replaced.
    #[error("{}: exists already", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// A configuration that the core does not accept.
    #[error("{}: {source}", path.display())]
    Core {
        /// The file it came from.
        path: PathBuf,
        /// The core's own message.
        source: llm_core::Error,
    },
    /// An error of the tensor library.
    #[error("{}: {source}", path.display())]
    Candle {
        /// The file.
        path: PathBuf,
        /// The library's own message.
        source: candle_core::Error,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What to do about it, where something can be done: one sentence or command.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { hint, .. } => hint.clone(),
            Self::Format { hint, .. } => Some(hint.clone()),
            Self::Exists { .. } => Some("choose another name, or ask to overwrite it".into()),
            Self::Unsupported { .. } => Some(
                "merge it with PEFT (`model.merge_and_unload()`) and load the merged folder".into(),
            ),
            Self::NotInGguf { .. } => Some(
                "keep the safetensors folder; `deeper generate` and transformers run it".into(),
            ),
            Self::NotFinite { .. } => Some(
                "the weights are damaged or the run diverged; take an earlier checkpoint".into(),
            ),
            Self::Malformed { problem, .. } | Self::Tensor { problem, .. }
                if problem.contains("truncated") =>
            {
                Some("the download or copy was cut short; fetch the file again".into())
            }
            Self::Malformed { problem, .. } if problem.contains("symlink") => {
                Some("copy the folder with its links followed: cp -rL FOLDER COPY".into())
            }
            _ => None,
        }
    }

    /// The exit code of a command that fails with this error: 2 bad input, 3 disk, 4 numerical.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Io { .. } => 3,
            Self::NotFinite { .. } => 4,
            _ => 2,
        }
    }

    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            path,
            action,
            source,
        }
    }

    pub(crate) fn malformed(path: &Path, problem: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_path_buf(),
            problem: problem.into(),
        }
    }

    pub(crate) fn tensor(path: &Path, name: &str, problem: impl Into<String>) -> Self {
        Self::Tensor {
            path: path.to_path_buf(),
            name: name.into(),
            problem: problem.into(),
        }
    }

    pub(crate) fn not_in_gguf(path: &Path, what: impl Into<String>) -> Self {
        Self::NotInGguf {
            path: path.to_path_buf(),
            what: what.into(),
        }
    }

    pub(crate) fn candle(path: &Path) -> impl FnOnce(candle_core::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Candle { path, source }
    }
}

/// `text` from a file, safe inside a one-line message: control characters escaped, long text cut.
pub(crate) fn printable(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut out = String::new();
    for letter in text.chars().take(LONGEST) {
        match letter {
            '"' | '\'' | '\\' => out.push(letter), // escaped in string literals only
            _ => out.extend(letter.escape_debug()),
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}
