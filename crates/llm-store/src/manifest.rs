//! `manifest.json`: what a checkpoint folder must hold, written last and checked first.
//!
//! A folder without a manifest is not a checkpoint; a folder whose files differ from it in size
//! or hash is damaged, and the error says which file. The manifest's last field is a hash of its
//! own text, so that damage to the manifest is found as well.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::printable;
use crate::files::{inside, read_text, regular_file, unique_keys};
use crate::hash::{file_names, sha256_bytes, sha256_file};
use crate::{Error, Result};

/// The manifest's name inside its folder.
pub const FILE_NAME: &str = "manifest.json";

/// The only version written and read so far.
pub const FORMAT_VERSION: u32 = 1;

/// What stands for the manifest's own hash while it is computed.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Size and hash of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 in lower-case hex.
    pub sha256: String,
}

/// The contents of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Every file below the folder by relative name, except the manifest itself.
    #[serde(deserialize_with = "unique_keys")]
    pub files: BTreeMap<String, FileEntry>,
    /// Facts of the writer: configuration, data and base hashes, the step.
    #[serde(default)]
    pub extra: Map<String, Value>,
    /// SHA-256 of the file's text with 64 zeros in this place; files of before have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Manifest {
    /// Describes the files that stand below `folder` now.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn of(folder: &Path, extra: Map<String, Value>) -> Result<Self> {
        let mut files = BTreeMap::new();
        for name in file_names(folder)? {
            let path = folder.join(&name);
            let size = regular_file(&path, "a file of the checkpoint")?.len();
            files.insert(
                name,
                FileEntry {
                    size,
                    sha256: sha256_file(&path)?,
                },
            );
        }
        files.remove(FILE_NAME);
        Ok(Self {
            format_version: FORMAT_VERSION,
            files,
            extra,
            digest: None,
        })
    }

    /// The file's text, with its digest.
    ///
    /// # Errors
    /// `extra` cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        let blank = Self {
            digest: Some(NO_DIGEST.to_owned()),
            ..self.clone()
        };
        let text = serde_json::to_string_pretty(&blank)
            .map_err(|error| Error::malformed(Path::new(FILE_NAME), error.to_string()))?;
        let digest = sha256_bytes(text.as_bytes());
        Ok(replace_last(&text, NO_DIGEST, &digest))
    }

    /// Reads `manifest.json` of `folder` and checks its own hash, not the files that it lists.
    ///
    /// # Errors
    /// No manifest, one that is damaged, or one of another format version.
    pub fn read(folder: &Path) -> Result<Self> {
        const EXPECTED: &str = "a checkpoint manifest";
        let path = folder.join(FILE_NAME);
        let text = read_text(&path, EXPECTED)?;
        let manifest: Self = serde_json::from_str(&text).map_err(|error| {
            let problem = format!("is not {EXPECTED}: {}", printable(&error.to_string()));
            Error::malformed(&path, problem)
        })?;
        if manifest.format_version != FORMAT_VERSION {
            let found = manifest.format_version;
            return Err(Error::malformed(
                &path,
                format!("format_version is {found}, expected {FORMAT_VERSION}"),
            ));
        }
        if let Some(digest) = &manifest.digest {
            let blank = replace_last(&text, digest, NO_DIGEST);
            if sha256_bytes(blank.as_bytes()) != *digest {
                let problem = "is damaged: its sha256 differs from its last field";
                return Err(Error::malformed(&path, problem));
            }
        }
        Ok(manifest)
    }
}

/// `text` with the last `old` in it exchanged for `new`.
fn replace_last(text: &str, old: &str, new: &str) -> String {
    match text.rsplit_once(old) {
        Some((before, after)) if !old.is_empty() => format!("{before}{new}{after}"),
        _ => text.to_owned(),
    }
}

/// Reads the manifest of `folder` and checks every file against it.
///
/// # Errors
/// No manifest, another format version, a file that is missing, extra, of another size or hash,
/// or a listed name that leaves the folder.
pub fn verify(folder: &Path) -> Result<Manifest> {
    let path = folder.join(FILE_NAME);
    let manifest = Manifest::read(folder)?;
    let mut present = file_names(folder)?;
    present.retain(|name| name != FILE_NAME);
    if let Some(name) = present
        .iter()
        .find(|name| !manifest.files.contains_key(*name))
    {
        return Err(Error::malformed(
            &folder.join(name),
            "is not in the checkpoint's manifest",
        ));
    }
    for (name, entry) in &manifest.files {
        // Listed but absent covers `..` and absolute names too: `present` holds none of these
        if present.binary_search(name).is_err() {
            let problem = format!("lists `{}`, which is not in the folder", printable(name));
            return Err(Error::malformed(&path, problem));
        }
        let file = inside(folder, name, "a file of the checkpoint")?;
        let size = regular_file(&file, "a file of the checkpoint")?.len();
        if size != entry.size {
            let problem = format!("has {size} bytes, expected {} by its manifest", entry.size);
            return Err(Error::malformed(&file, problem));
        }
        if sha256_file(&file)? != entry.sha256 {
            return Err(Error::malformed(
                &file,
                "is damaged: its sha256 differs from the manifest",
            ));
        }
    }
    Ok(manifest)
}
