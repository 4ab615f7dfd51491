//! The one error type of the crate, with its exit code and its hint.

use std::path::{Path, PathBuf};

/// What can stop a run.
///
/// Messages are lower-case, one line, and name the file, line, key or tensor and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A data file or one line of it that cannot be used.
    #[error("{}: {problem}", place(path, *line))]
    Data {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1; `None` when the whole file is meant.
        line: Option<usize>,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A file of settings that cannot be used.
    #[error("{}: {problem}", place(path, *line))]
    Config {
        /// The file, or where the setting came from.
        path: PathBuf,
        /// The line, counted from 1, where it is known.
        line: Option<usize>,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// An argument or a combination of settings that cannot work.
    #[error("{what}: {problem}")]
    Input {
        /// The argument.
        what: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A trainable tensor that the loss would not train as it should.
    #[error("gradient audit: `{name}` {problem}")]
    Audit {
        /// The tensor.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A check before training that found a fault, by the fault's name.
    #[error("check `{name}`: {problem}")]
    Check {
        /// The name of the fault, as in [`crate::monitor::sabotage::Fault`].
        name: &'static str,
        /// What was found and where.
        problem: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// NaN or infinity in a loss or gradient.
    #[error("step {step}: {what} is {value}")]
    NotFinite {
        /// The optimizer step, counted from 1.
        step: u64,
        /// The loss, or the first tensor with such a gradient.
        what: String,
        /// The value found.
        value: String,
    },
    /// Someone asked the run to stop; it can go on.
    #[error("stopped after step {step}")]
    Interrupted {
        /// Steps done.
        step: u64,
        /// The checkpoint to go on from.
        checkpoint: PathBuf,
    },
    /// Someone asked an evaluation to stop; what is answered stays.
    #[error("stopped after {done} of {total} questions")]
    Stopped {
        /// Questions answered.
        done: usize,
        /// Questions in all.
        total: usize,
        /// The result folder.
        folder: PathBuf,
    },
    /// A check that the settings asked for did not hold.
    #[error("{check}: {problem}")]
    Failed {
        /// The check.
        check: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// Another process of a run that several processes share ended with an error.
    #[error("process {rank}: {problem}")]
    Peer {
        /// Its number, counted from 0.
        rank: usize,
        /// Its exit code.
        code: u8,
        /// What it said.
        problem: String,
    },
    /// Processes that do not find, or do not understand, each other.
    #[error("processes: {problem}")]
    Processes {
        /// What happened and what was expected.
        problem: String,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason the system gave.
        source: std::io::Error,
    },
    /// An error of the model code.
    #[error(transparent)]
    Core(#[from] llm_core::Error),
    /// An error of a model or checkpoint file.
    #[error(transparent)]
    Store(#[from] llm_store::Error),
    /// An error of the tensor library.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn place(path: &Path, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    }
}

impl Error {
    /// An [`Error::Input`] for `what`.
    pub fn input(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Input {
            what: what.into(),
            problem: problem.into(),
        }
    }

    /// An [`Error::Data`] for a whole file.
    pub fn file(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Data {
            path: path.into(),
            line: None,
            problem: problem.into(),
        }
    }

    /// An [`Error::Data`] for one line, counted from 1.
    pub fn line(path: impl Into<PathBuf>, line: usize, problem: impl Into<String>) -> Self {
        Self::Data {
            path: path.into(),
            line: Some(line),
            problem: problem.into(),
        }
    }

    /// An [`Error::Processes`].
    pub fn processes(problem: impl Into<String>) -> Self {
        Self::Processes {
            problem: problem.into(),
        }
    }

    /// An [`Error::Io`] for `path`, for use with `map_err`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// The process exit code for this error: 1 a check failed, 2 bad input, 3 files and network,
    /// 4 numbers, 130 asked to stop; that of another process for its errors.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Audit { .. } | Self::Failed { .. } | Self::Check { .. } => 1,
            Self::Interrupted { .. } | Self::Stopped { .. } => 130,
            Self::NotFinite { .. } | Self::Core(llm_core::Error::NotFinite { .. }) => 4,
            Self::Io { .. } | Self::Core(llm_core::Error::Io { .. }) => 3,
            Self::Processes { .. } => 3,
            Self::Peer { code, .. } => *code,
            Self::Store(error) => error.exit_code(),
            _ => 2,
        }
    }

    /// What a person can do about it, where there is one thing to do.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Store(error) => return error.hint(),
            Self::Core(error) => return error.hint(),
            Self::Interrupted { checkpoint, .. } => {
                let run = checkpoint.parent().and_then(Path::parent);
                let run = run.unwrap_or(checkpoint).display();
                return Some(format!(
                    "to go on, repeat the command with resume_from={run}"
                ));
            }
            Self::Stopped { folder, .. } => {
                let folder = folder.display();
                return Some(format!(
                    "repeat the command to go on; answers so far are in {folder}"
                ));
            }
            Self::Data { .. } => {
                "a row is {\"prompt\", \"completion\"}, {\"messages\"} or {\"instruction\", \
                 \"input\", \"output\"}, one JSON object a line; for method dpo {\"prompt\", \
                 \"chosen\", \"rejected\"}, for grpo {\"prompt\", \"check\", \"reference\"}"
            }
            Self::Config { .. } => {
                "configs/train.yaml and configs/eval.yaml show the keys with what they mean"
            }
            Self::Check { hint, .. } => hint,
            Self::Processes { .. } => {
                "torchrun or mpirun has to start all of them on the same files; \
                 DEEPER_PROCESS_TIMEOUT=SECONDS changes how long they wait for each other"
            }
            Self::Audit { .. } => "the model code loses this gradient; nothing was trained",
            Self::NotFinite { .. } => {
                "lower `lr`, raise `warmup_ratio`, or look for bad values in the weights"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
