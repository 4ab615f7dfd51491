//! From what a person types after `--model` to a folder on this machine.
//!
//! [`resolve`] tries, in this order: a folder that exists; a hub id `org/name[@revision]` in the
//! local Hugging Face cache; a download, if this build has the feature `download` and the
//! environment does not forbid it. Otherwise the error says which command fetches the model.
//!
//! 1. [`id`]: what a hub id may look like
//! 2. [`cache`]: where the cache is and how it is laid out
//! 3. [`publish`]: the other way, with a [`card`] that gives a licence and a [`token`]
//! 4. [`error`]: what goes wrong, and the command that helps

pub mod cache;
pub mod card;
#[cfg(feature = "download")]
mod download;
pub mod error;
pub mod id;
pub mod publish;
pub mod token;

use std::path::{Path, PathBuf};

pub use cache::Cache;
pub use error::{Error, Result};
pub use id::HubId;

/// Whether this build can download.
pub const CAN_DOWNLOAD: bool = cfg!(feature = "download");

/// Finds models by folder or hub id.
#[derive(Clone, Debug)]
pub struct Hub {
    cache: Cache,
    offline: bool,
    #[cfg(feature = "download")]
    source: download::Source,
}

/// The folder that `model` means, with the settings of the process's environment.
///
/// # Errors
/// As [`Hub::resolve`].
pub fn resolve(model: &str) -> Result<PathBuf> {
    Hub::new(|name| std::env::var(name).ok()).resolve(model)
}

/// Whether the environment forbids requests.
fn is_offline(variable: &impl Fn(&str) -> Option<String>) -> bool {
    let mut names = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].iter();
    names.any(|name| {
        let value = variable(name).unwrap_or_default().to_ascii_uppercase();
        ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
    })
}

impl Hub {
    /// Reads the settings of Hugging Face's own tools through `variable`: `HF_HUB_CACHE`,
    /// `HF_HOME`, `HF_HUB_OFFLINE`, and for downloads `HF_ENDPOINT` and `HF_TOKEN`.
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            cache: Cache::new(&variable),
            offline: is_offline(&variable),
            #[cfg(feature = "download")]
            source: download::Source::new(&variable),
        }
    }

    /// The folder that `model` means: an existing folder, or a hub id.
    ///
    /// # Errors
    /// Neither a folder nor a hub id; an id that is not in the cache and cannot be downloaded
    /// here; a cache that is not laid out as it should be.
    pub fn resolve(&self, model: &str) -> Result<PathBuf> {
        if Path::new(model).exists() {
            return Ok(PathBuf::from(model));
        }
        let id = HubId::parse(model)?;
        let cached = self.cache.find(&id)?;
        // A snapshot that another tool fetched in part is completed where that is possible
        if let Some(snapshot) = &cached
            && (self.offline || !CAN_DOWNLOAD || cache::is_complete(snapshot))
        {
            return Ok(snapshot.clone());
        }
        self.fetch(id)
    }

    #[cfg(feature = "download")]
    fn fetch(&self, id: HubId) -> Result<PathBuf> {
        if self.offline {
            return Err(self.not_cached(id));
        }
        self.source.download(&self.cache, &id)
    }

    #[cfg(not(feature = "download"))]
    fn fetch(&self, id: HubId) -> Result<PathBuf> {
        Err(self.not_cached(id))
    }

    fn not_cached(&self, id: HubId) -> Error {
        Error::NotCached {
            id,
            cache: self.cache.path().to_path_buf(),
            offline: self.offline,
        }
    }
}
