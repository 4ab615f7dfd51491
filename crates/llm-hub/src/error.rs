//! What goes wrong between an id and a folder.

use std::path::PathBuf;

use crate::HubId;

/// Why a model was not found. Messages are one line and never hold a token or a signed address.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a folder nor a hub id.
    #[error("`{model}`: no such folder, and not a hub id: {problem}")]
    Id {
        /// What was typed, shortened and escaped.
        model: String,
        /// Which rule of hub ids it breaks.
        problem: &'static str,
    },
    /// A hub id that is not on this machine.
    #[error("`{id}`: no such folder, and not in the hub cache {}", cache.display())]
    NotCached {
        /// The id.
        id: HubId,
        /// The cache that was searched.
        cache: PathBuf,
        /// Whether the environment forbids downloads.
        offline: bool,
    },
    /// A cache that cannot be used.
    #[error("{}: {problem}", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// Something that is not published.
    #[error("{}: {problem}", path.display())]
    Publish {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        problem: String,
        /// What to do about it, if something can be done.
        hint: Option<String>,
    },
    /// No token, or something that is none; the message never holds what was read.
    #[error("{problem}")]
    Token {
        /// What is wrong, and where.
        problem: String,
    },
    /// An upload with a build that has no client.
    #[error("this build cannot upload")]
    CannotUpload,
    /// An upload that failed.
    #[error("`{id}`: upload failed: {problem}")]
    Upload {
        /// The id.
        id: HubId,
        /// What the hub or the network said, without addresses.
        problem: String,
    },
    /// A file that cannot be read.
    #[error(transparent)]
    Store(llm_store::Error),
    /// A download that failed.
    #[error("`{id}`: download failed: {problem}")]
    Download {
        /// The id.
        id: HubId,
        /// What the hub or the network said, without addresses.
        problem: String,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The command that helps, if there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Id { .. } => Some(
                "pass a folder, or an id such as Qwen/Qwen3-0.6B or Qwen/Qwen3-0.6B@main".into(),
            ),
            Self::NotCached {
                id, offline: true, ..
            } => Some(format!(
                "HF_HUB_OFFLINE is set; with a network: {}",
                id.fetch_command()
            )),
            Self::NotCached { id, .. } => Some(format!(
                "fetch it once: {} (or build with --features hub, which fetches it itself)",
                id.fetch_command()
            )),
            Self::Cache { .. } => None,
            Self::Publish { hint, .. } => hint.clone(),
            Self::Token { .. } => Some(
                "make a token with write access in the hub's settings and set HF_TOKEN, or pass \
                 --token-file"
                    .into(),
            ),
            Self::CannotUpload => Some(
                "build with the hub's client: cargo build --release -p llm-cli --features hub; \
                 --dry-run works without"
                    .into(),
            ),
            Self::Upload { .. } => Some(
                "the token needs write access to that name; see also HF_ENDPOINT and \
                 HF_HUB_OFFLINE"
                    .into(),
            ),
            Self::Store(error) => error.hint(),
            Self::Download { .. } => Some(
                "gated and private models need a token in HF_TOKEN; see also HF_ENDPOINT".into(),
            ),
        }
    }

    /// The exit code of a command that fails with this error: 2 bad input, 3 disk or network.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Id { .. } | Self::NotCached { .. } => 2,
            Self::Publish { .. } | Self::Token { .. } | Self::CannotUpload => 2,
            Self::Cache { .. } | Self::Download { .. } | Self::Upload { .. } => 3,
            Self::Store(error) => error.exit_code(),
        }
    }
}
