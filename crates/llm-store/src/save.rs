//! Writing a Hugging Face model folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use llm_core::config::ModelConfig;
use serde_json::json;

use crate::atomic::FolderWriter;
use crate::folder::{CONFIG_FILE, INDEX_FILE, WEIGHTS_FILE};
use crate::safetensors::{Spec, held, specs, write_each};
use crate::{Error, Result};

/// transformers refuses a safetensors file that does not say which library's layout it holds.
const FORMAT: (&str, &str) = ("format", "pt");

/// Shards of this size are usual on the hub.
const DEFAULT_SHARD_BYTES: u64 = 5_000_000_000;

/// How [`save_model`] writes.
#[derive(Clone, Debug)]
pub struct SaveOptions {
    /// Files to copy into the folder under their own names: tokenizer, template, licence.
    pub copy: Vec<PathBuf>,
    /// The largest sum of tensor bytes in one file; a larger tensor gets its own file.
    pub max_shard_bytes: u64,
    /// Whether a folder that exists is replaced.
    pub overwrite: bool,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self {
            copy: Vec::new(),
            max_shard_bytes: DEFAULT_SHARD_BYTES,
            overwrite: false,
        }
    }
}

/// Writes a model folder, whole or not at all.
///
/// # Errors
/// The folder exists and is not to be replaced, `config_json` does not describe a model, or the
/// disk refuses; nothing stands at `folder` then that did not before.
pub fn save_model(
    folder: &Path,
    config_json: &str,
    tensors: &BTreeMap<String, Tensor>,
    options: &SaveOptions,
) -> Result<()> {
    let writer = FolderWriter::create(folder, options.overwrite)?;
    let config_path = folder.join(CONFIG_FILE);
    ModelConfig::from_json(config_json).map_err(|source| Error::Core {
        path: config_path,
        source,
    })?;
    writer.write(CONFIG_FILE, config_json.as_bytes())?;
    write_weights(&writer, folder, tensors, options.max_shard_bytes)?;
    for source in &options.copy {
        writer.copy(source)?;
    }
    writer.commit()
}

/// Adds `model.safetensors`, or shards and their index, to a folder being written; `folder` is
/// its final path, for messages.
///
/// # Errors
/// No tensors, one that cannot be stored, or the disk refuses.
pub fn write_weights(
    writer: &FolderWriter,
    folder: &Path,
    tensors: &BTreeMap<String, Tensor>,
    max_shard_bytes: u64,
) -> Result<()> {
    let path = folder.join(WEIGHTS_FILE);
    let specs = specs(&path, tensors)?;
    write_weights_each(writer, folder, &specs, max_shard_bytes, &mut |spec| {
        held(&path, tensors, spec)
    })
}

/// As [`write_weights`], with the tensors asked for one by one, so that one of them is in memory
/// at a time. `specs` are in name order.
///
/// # Errors
/// As [`write_weights`], and those of `tensor`.
pub fn write_weights_each(
    writer: &FolderWriter,
    folder: &Path,
    specs: &[Spec],
    max_shard_bytes: u64,
    tensor: &mut dyn FnMut(&Spec) -> Result<Tensor>,
) -> Result<()> {
    let metadata = BTreeMap::from([(FORMAT.0.to_string(), FORMAT.1.to_string())]);
    let mut save = |name: &str, specs: &[Spec]| {
        let path = folder.join(name);
        writer.write_with(name, |file| {
            write_each(&path, file, specs, &metadata, tensor)
        })
    };
    let shards = split(specs, max_shard_bytes);
    match shards.as_slice() {
        [] => Err(Error::malformed(
            &folder.join(WEIGHTS_FILE),
            "would hold no tensors",
        )),
        [all] => save(WEIGHTS_FILE, all),
        _ => {
            let mut weight_map = serde_json::Map::new();
            for (index, shard) in shards.iter().enumerate() {
                let name = format!("model-{:05}-of-{:05}.safetensors", index + 1, shards.len());
                save(&name, shard)?;
                weight_map.extend(shard.iter().map(|spec| (spec.name.clone(), json!(name))));
            }
            let total_size: u64 = specs.iter().map(Spec::bytes).sum();
            let index =
                json!({ "metadata": { "total_size": total_size }, "weight_map": weight_map });
            writer.write(INDEX_FILE, format!("{index:#}\n").as_bytes())
        }
    }
}

/// Tensors in name order, as many to a shard as fit.
fn split(specs: &[Spec], max_bytes: u64) -> Vec<&[Spec]> {
    let mut shards = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (index, spec) in specs.iter().enumerate() {
        let bytes = spec.bytes();
        if index > start && used + bytes > max_bytes {
            shards.push(&specs[start..index]);
            (start, used) = (index, 0);
        }
        used += bytes;
    }
    if start < specs.len() {
        shards.push(&specs[start..]);
    }
    shards
}
