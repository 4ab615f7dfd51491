//! SHA-256 of files and folders.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// SHA-256 of `bytes` in lower-case hex.
pub fn sha256_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file's contents in lower-case hex.
///
/// # Errors
/// The file cannot be read, or is not a regular file.
pub fn sha256_file(path: &Path) -> Result<String> {
    crate::files::regular_file(path, "a file to hash")?;
    let mut file = File::open(path).map_err(Error::io(path, "reading"))?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = file.read(&mut chunk).map_err(Error::io(path, "reading"))?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&chunk[..read]);
    }
}

/// One digest over the names and contents of all files below `folder`, in name order.
///
/// Times, modes and the top-level `manifest.json` do not count: two checkpoints with the same
/// weights, moments, generator state and data position have the same digest.
///
/// # Errors
/// The folder or a file in it cannot be read.
pub fn folder_digest(folder: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    for name in file_names(folder)? {
        if name == crate::manifest::FILE_NAME {
            continue;
        }
        // Lengths first, so that no two lists of files give the same stream of bytes
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(sha256_file(&folder.join(&name))?.as_bytes());
    }
    Ok(hex(&hasher.finalize()))
}

/// The files below `folder` as relative names with `/`, sorted.
///
/// # Errors
/// The folder cannot be read, or holds a name that is not UTF-8 or a link to a folder.
pub fn file_names(folder: &Path) -> Result<Vec<String>> {
    if !folder.is_dir() {
        let (path, expected) = (folder.to_path_buf(), "a folder".into());
        return Err(Error::Missing {
            path,
            expected,
            hint: None,
        });
    }
    let mut names = Vec::new();
    collect_names(folder, "", &mut names)?;
    names.sort();
    Ok(names)
}

fn collect_names(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder, "reading"))? {
        let entry = entry.map_err(Error::io(folder, "reading"))?;
        let path = entry.path();
        let name = entry.file_name();
        let name = name
            .to_str()
            .ok_or_else(|| Error::malformed(&path, "has a name that is not UTF-8"))?;
        let relative = format!("{prefix}{name}");
        // `DirEntry::file_type` does not follow links, so a link cannot make this walk endless
        if entry
            .file_type()
            .map_err(Error::io(&path, "reading"))?
            .is_dir()
        {
            collect_names(&path, &format!("{relative}/"), names)?;
        } else {
            names.push(relative);
        }
    }
    Ok(())
}

/// Bytes as lower-case hex.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
