//! The embedded model and the question set, from wherever a program starts.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// The embedded model.
pub const MODEL: &str = "output_models/deeper-tiny";
/// Questions with short answers, to fine-tune on.
pub const DATA: &str = "data/medical/train.jsonl";
/// Questions about the same facts, in forms that [`DATA`] has not.
pub const HELD_OUT: &str = "data/medical/heldout.jsonl";
/// Folders of this repository that come with it.
const COMES_ALONG: [&str; 2] = ["output_models", "data"];

/// A bundled path from wherever the program was started; any other path as it is.
pub fn here(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    let bundled = COMES_ALONG.iter().any(|folder| path.starts_with(folder));
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if path.exists() || !bundled || !ours.exists() { path.to_path_buf() } else { ours }
}

/// The folder that `model`, a folder or a hub id, stands for.
///
/// # Errors
/// Neither a folder nor a model in the hub's cache.
pub fn folder(model: &str) -> Result<PathBuf> {
    Ok(llm_hub::resolve(&here(model).display().to_string())?)
}

/// Whether this is the bundled question set.
pub fn is_data(path: &Path) -> bool {
    path == Path::new(DATA)
}
