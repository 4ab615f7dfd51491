//! The one error type of the crate.

use std::path::PathBuf;

/// What can go wrong between a text and its next token.
///
/// Messages are lower-case, one line, and name the file, tensor or key and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configuration value that cannot describe a model.
    #[error("config: `{key}` {problem}")]
    Config {
        /// The key as it stands in `config.json`.
        key: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A tensor with the wrong name, shape, type or contents.
    #[error("tensor `{name}`: {problem}")]
    Tensor {
        /// The tensor's name in the model file.
        name: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// Text that cannot be tokenized, or a tokenizer or template that cannot be used.
    #[error("{what}: {problem}")]
    Text {
        /// The tokenizer, template or file.
        what: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// An argument out of its range: a token id, a length, a sampling setting.
    #[error("{what}: {problem}")]
    Input {
        /// The argument.
        what: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// NaN or infinity where a number was needed.
    #[error("{what} is not finite ({detail})")]
    NotFinite {
        /// The value or tensor.
        what: String,
        /// Where it was found.
        detail: String,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason the system gave.
        source: std::io::Error,
    },
    /// An error of the tensor library.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The exit code of a program that fails with this: 2 bad input, 3 files, 4 numbers.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFinite { .. } => 4,
            Self::Io { .. } => 3,
            _ => 2,
        }
    }

    /// What a person can do about it, where there is one thing to do.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Config { key, .. } if key == "target_modules" => {
                "pass names of the list, e.g. --target-modules q_proj,k_proj,v_proj"
            }
            Self::Config { .. } => "correct the key in the model's config.json",
            Self::Tensor { .. } => {
                "the weights do not belong to this config.json; take both from one model"
            }
            Self::NotFinite { .. } => {
                "the weights hold NaN or infinity; take an earlier checkpoint"
            }
            Self::Input { what, .. } if what == "token id" || what == "target" => {
                "tokenizer and model disagree; take both from one folder"
            }
            Self::Text { problem, .. } if problem.contains("vocab_size") => {
                "tokenizer and model disagree; take both from one folder"
            }
            Self::Input { what, .. }
                if ["context", "prompt", "position"].contains(&what.as_str()) =>
            {
                "shorten the prompt or take a model with a longer context"
            }
            _ => return None,
        };
        Some(hint.into())
    }

    /// A [`Error::Config`] for `key`.
    pub fn config(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Config {
            key: key.into(),
            problem: problem.into(),
        }
    }

    /// A [`Error::Tensor`] for the tensor `name`.
    pub fn tensor(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Tensor {
            name: name.into(),
            problem: problem.into(),
        }
    }

    /// A [`Error::Text`] for `what`.
    pub fn text(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Text {
            what: what.into(),
            problem: problem.into(),
        }
    }

    /// A [`Error::Input`] for `what`.
    pub fn input(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Input {
            what: what.into(),
            problem: problem.into(),
        }
    }
}
