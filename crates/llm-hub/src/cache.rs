//! The local Hugging Face cache, as its own tools lay it out.
//!
//! ```text
//! $HF_HUB_CACHE or $HF_HOME/hub or ~/.cache/huggingface/hub
//! └─ models--org--name/
//!    ├─ refs/main                     the commit that `main` meant when it was fetched
//!    ├─ snapshots/<commit>/config.json  -> ../../blobs/<hash>
//!    └─ blobs/<hash>
//! ```

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::{Error, HubId, Result};

/// A commit hash has 40 characters, or 64 in a repository with SHA-256.
const MAX_COMMIT_CHARS: usize = 64;
/// Shorter prefixes of a commit are not looked up.
const MIN_COMMIT_CHARS: usize = 40;

/// The cache's folder.
#[derive(Clone, Debug)]
pub struct Cache {
    path: PathBuf,
}

impl Cache {
    /// The cache that the environment names.
    pub fn new(variable: &impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let home = || {
            set("HOME")
                .or_else(|| set("USERPROFILE"))
                .unwrap_or_default()
        };
        let hub_cache = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE"));
        let path = hub_cache.unwrap_or_else(|| {
            let hf_home = set("HF_HOME").unwrap_or_else(|| {
                let caches = set("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache"));
                caches.join("huggingface")
            });
            hf_home.join("hub")
        });
        Self { path }
    }

    /// The folder that holds `models--org--name`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The snapshot of `id`, if the cache has one; it need not be complete.
    ///
    /// # Errors
    /// A ref that does not hold a commit.
    pub fn find(&self, id: &HubId) -> Result<Option<PathBuf>> {
        let repository = self
            .path
            .join(format!("models--{}--{}", id.org(), id.name()));
        let commit = if is_commit(id.revision()) {
            id.revision().to_string()
        } else {
            match read_ref(&repository.join("refs").join(id.revision()))? {
                Some(commit) => commit,
                None => return Ok(None),
            }
        };
        let snapshot = repository.join("snapshots").join(commit);
        Ok(snapshot.is_dir().then_some(snapshot))
    }
}

/// Whether a snapshot holds a configuration and all weights that it speaks of.
pub fn is_complete(snapshot: &Path) -> bool {
    let has = |name: &str| snapshot.join(name).exists();
    let model = has("config.json")
        && llm_store::folder::weight_files(snapshot)
            .is_ok_and(|files| files.iter().all(|file| has(file)));
    model || (has("adapter_config.json") && has("adapter_model.safetensors"))
}

fn is_commit(text: &str) -> bool {
    (MIN_COMMIT_CHARS..=MAX_COMMIT_CHARS).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The commit in a ref's file; `None` if there is no such ref.
fn read_ref(path: &Path) -> Result<Option<String>> {
    let bad = |problem: String| Error::Cache {
        path: path.to_path_buf(),
        problem,
    };
    if !path.is_file() {
        return Ok(None);
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|error| bad(error.to_string()))?;
    // One more than fits, for a line break; a longer file is no ref
    let read = file
        .take(MAX_COMMIT_CHARS as u64 + 1)
        .read_to_string(&mut text);
    read.map_err(|error| bad(error.to_string()))?;
    let commit = text.trim();
    if !is_commit(commit) {
        return Err(bad("holds no commit, expected 40 hexadecimal digits".into()));
    }
    Ok(Some(commit.to_string()))
}
