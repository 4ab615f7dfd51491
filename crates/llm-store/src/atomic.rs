//! Writes that are whole or absent.
//!
//! A file or folder is built under a temporary name beside its final one, flushed to the disk
//! (`fsync`), renamed, and the parent folder is flushed too, so that the name survives a power
//! cut. Temporary names start with a dot, hold the process id and end in `.tmp`; a killed process
//! leaves at most that.
//!
//! ```
//! let dir = std::env::temp_dir().join(format!("llm-store-doc-{}", std::process::id()));
//! std::fs::create_dir_all(&dir)?;
//! llm_store::atomic::write_file(&dir.join("note.txt"), b"whole")?;
//! assert_eq!(std::fs::read(dir.join("note.txt"))?, b"whole");
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::printable;
use crate::manifest::Manifest;
use crate::{Error, Result, fault};

/// Files are readable by everyone, as the umask allows: weights are meant to be shared.
#[cfg(unix)]
const FILE_MODE: u32 = 0o644;

/// Buffer between a writer and its file.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes `bytes` to `path`, replacing what was there.
///
/// # Errors
/// The parent is missing or not writable, the disk is full; `path` is then as it was before.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| {
        file.write_all(bytes).map_err(Error::io(path, "writing"))
    })
}

/// Writes `path` through `fill`, replacing what was there.
///
/// # Errors
/// Those of `fill`, and those of [`write_file`]; `path` is then as it was before.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let temporary = Temporary::beside(path)?;
    fill_new_file(&temporary.path, fill).map_err(|error| error.at(&temporary.path, path))?;
    fault::point(path, "renaming into place")?;
    fs::rename(&temporary.path, path).map_err(Error::io(path, "renaming into place"))?;
    temporary.keep();
    sync_folder(parent_of(path))
}

/// Creates `path`, fills it, and flushes it to the disk.
fn fill_new_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, FILE_MODE);
    fault::point(path, "creating")?;
    let file = options.open(path).map_err(Error::io(path, "creating"))?;
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, file);
    fill(&mut writer)?;
    let file = writer
        .into_inner()
        .map_err(|error| Error::io(path, "writing")(error.into_error()))?;
    fault::point(path, "flushing")?;
    file.sync_all().map_err(Error::io(path, "flushing"))
}

/// A folder being built under a temporary name; [`FolderWriter::commit`] gives it its own.
///
/// Dropping the writer without a commit removes what was written.
#[derive(Debug)]
pub struct FolderWriter {
    temporary: Temporary,
    destination: PathBuf,
    overwrite: bool,
}

impl FolderWriter {
    /// Starts a folder that will be `destination`; missing parents are created.
    ///
    /// # Errors
    /// `destination` exists and `overwrite` is false, or the parent is not writable.
    pub fn create(destination: &Path, overwrite: bool) -> Result<Self> {
        if !overwrite && fs::symlink_metadata(destination).is_ok() {
            return Err(Error::Exists {
                path: destination.to_path_buf(),
            });
        }
        let parent = parent_of(destination);
        fs::create_dir_all(parent).map_err(Error::io(parent, "creating"))?;
        let temporary = Temporary::beside(destination)?;
        fs::create_dir(&temporary.path)
            .map_err(Error::io(&temporary.path, "creating"))
            .map_err(|error| error.at(&temporary.path, destination))?;
        Ok(Self {
            temporary,
            destination: destination.to_path_buf(),
            overwrite,
        })
    }

    /// Adds the file `name` (relative, `/` between parts) with these bytes.
    ///
    /// # Errors
    /// A name that leaves the folder or is taken, or a disk that is full.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.destination.join(name);
        self.write_with(name, |file| {
            file.write_all(bytes).map_err(Error::io(&path, "writing"))
        })
    }

    /// Adds the file `name` through `fill`.
    ///
    /// # Errors
    /// Those of `fill` and of [`FolderWriter::write`].
    pub fn write_with(
        &self,
        name: &str,
        fill: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let path = self.place(name)?;
        fill_new_file(&path, fill)
            .map_err(|error| error.at(&self.temporary.path, &self.destination))
    }

    /// Adds a copy of the file `source` under its own name.
    ///
    /// # Errors
    /// `source` cannot be read, or as [`FolderWriter::write`].
    pub fn copy(&self, source: &Path) -> Result<()> {
        let name = source.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::malformed(source, "has no plain file name"))?;
        crate::files::regular_file(source, "a file to copy")?;
        let mut reader = File::open(source).map_err(Error::io(source, "reading"))?;
        self.write_with(name, |file| {
            std::io::copy(&mut reader, file)
                .map(|_| ())
                .map_err(Error::io(source, "copying"))
        })
    }

    /// The folder as it stands now, for code that writes by path.
    pub fn path(&self) -> &Path {
        &self.temporary.path
    }

    /// Writes `manifest.json` over all files so far, with `extra` facts, and commits.
    ///
    /// # Errors
    /// As [`FolderWriter::commit`].
    pub fn commit_with_manifest(
        self,
        extra: serde_json::Map<String, serde_json::Value>,
    ) -> Result<()> {
        let manifest = Manifest::of(&self.temporary.path, extra)?;
        self.write(crate::manifest::FILE_NAME, manifest.to_json()?.as_bytes())?;
        self.commit()
    }

    /// Flushes the folder and gives it its final name.
    ///
    /// With `overwrite`, an old folder is moved aside first and removed last: between the two
    /// renames nothing stands at the final path, and never something half-written.
    ///
    /// # Errors
    /// The final name was taken meanwhile, or the disk refuses; the old folder is then put back.
    pub fn commit(self) -> Result<()> {
        sync_tree(&self.temporary.path)?;
        let destination = &self.destination;
        let taken = fs::symlink_metadata(destination).is_ok();
        if taken && !self.overwrite {
            return Err(Error::Exists {
                path: destination.clone(),
            });
        }
        let old = if taken {
            Some(Temporary::beside(destination)?)
        } else {
            None
        };
        if let Some(old) = &old {
            fault::point(destination, "moving aside")?;
            fs::rename(destination, &old.path).map_err(Error::io(destination, "moving aside"))?;
        }
        const RENAMING: &str = "renaming into place";
        let renamed = fault::point(destination, RENAMING).and_then(|()| {
            fs::rename(&self.temporary.path, destination).map_err(Error::io(destination, RENAMING))
        });
        if let Err(error) = renamed {
            if let Some(old) = old {
                let path = old.keep(); // even if it cannot be put back, it must not be removed
                fs::rename(path, destination).map_err(Error::io(destination, "restoring"))?;
            }
            return Err(error);
        }
        self.temporary.keep();
        sync_folder(parent_of(destination))
    }

    /// Where `name` goes, with its sub-folders made.
    fn place(&self, name: &str) -> Result<PathBuf> {
        let relative = Path::new(name);
        let normal = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !normal || name.contains('\\') {
            let problem = format!(
                "cannot hold `{}`, expected a plain relative name",
                printable(name)
            );
            return Err(Error::malformed(&self.destination, problem));
        }
        let path = self.temporary.path.join(relative);
        let parent = parent_of(&path);
        fs::create_dir_all(parent).map_err(Error::io(parent, "creating"))?;
        Ok(path)
    }
}

/// A name that is removed from the disk on drop unless it was renamed away.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    armed: bool,
}

impl Temporary {
    fn beside(path: &Path) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::malformed(path, "has no plain file name"))?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = format!(".{name}.{}-{count}.tmp", std::process::id());
        Ok(Self {
            path: parent_of(path).join(temporary),
            armed: true,
        })
    }

    fn keep(mut self) -> PathBuf {
        self.armed = false;
        std::mem::take(&mut self.path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.armed {
            // Best effort: the error that led here is the one worth reporting
            let _ = match fs::symlink_metadata(&self.path) {
                Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&self.path),
                Ok(_) => fs::remove_file(&self.path),
                Err(_) => Ok(()),
            };
        }
    }
}

/// Removes a folder, first by its name, then its files: whoever is killed in between leaves a
/// temporary name and never half a folder at `path`.
///
/// # Errors
/// The disk refuses.
pub fn remove_folder(path: &Path) -> Result<()> {
    let aside = Temporary::beside(path)?;
    fault::point(path, "removing")?;
    fs::rename(path, &aside.path).map_err(Error::io(path, "removing"))?;
    let aside = aside.keep();
    fs::remove_dir_all(&aside).map_err(Error::io(path, "removing"))
}

/// Removes what killed processes left in `folder` under temporary names; how many that were.
///
/// Only for a folder that no living process writes to: the caller holds its lock.
///
/// # Errors
/// The folder cannot be read, or a name in it cannot be removed.
pub fn remove_leftovers(folder: &Path) -> Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder).map_err(Error::io(folder, "reading"))? {
        let path = entry.map_err(Error::io(folder, "reading"))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(is_temporary) {
            let whole = fs::symlink_metadata(&path).map_err(Error::io(&path, "reading"))?;
            let done = match whole.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            done.map_err(Error::io(&path, "removing"))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether a name is `.<name>.<process>-<count>.tmp`.
fn is_temporary(name: &str) -> bool {
    let parts = name
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(".tmp"))
        .and_then(|name| name.rsplit_once('.'))
        .and_then(|(_, numbers)| numbers.split_once('-'));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    parts.is_some_and(|(process, count)| digits(process) && digits(count))
}

/// The folder that holds `path`; `.` for a bare name.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Flushes every folder of a tree; its files were flushed when they were written.
fn sync_tree(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder, "reading"))? {
        let path = entry.map_err(Error::io(folder, "reading"))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        }
    }
    sync_folder(folder)
}

/// Flushes a folder's entries, so that a name in it survives a power cut, where the system can
/// (Windows cannot open folders as files).
///
/// # Errors
/// The disk refuses.
pub fn sync_folder(folder: &Path) -> Result<()> {
    fault::point(folder, "flushing")?;
    if cfg!(unix) {
        let handle = File::open(folder).map_err(Error::io(folder, "flushing"))?;
        handle.sync_all().map_err(Error::io(folder, "flushing"))?;
    }
    Ok(())
}

impl Error {
    /// The same error with the final path in place of the temporary one, which is gone by then.
    fn at(self, temporary: &Path, destination: &Path) -> Self {
        match self {
            Self::Io {
                path,
                action,
                source,
            } => {
                let path = match path.strip_prefix(temporary) {
                    Ok(rest) if rest.as_os_str().is_empty() => destination.to_path_buf(),
                    Ok(rest) => destination.join(rest),
                    Err(_) => path,
                };
                Self::Io {
                    path,
                    action,
                    source,
                }
            }
            other => other,
        }
    }
}
