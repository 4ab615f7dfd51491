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
            Self::Download { .. } => Some(
                "gated and private models need a token in HF_TOKEN; see also HF_ENDPOINT".into(),
            ),
        }
    }

    /// The exit code of a command that fails with this error: 2 bad input, 3 disk or network.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Id { .. } | Self::NotCached { .. } => 2,
            Self::Cache { .. } | Self::Download { .. } => 3,
        }
    }
}
