//! A Hugging Face model folder: `config.json`, safetensors in one file or in shards, a tokenizer.
//!
//! [`ModelFolder::open`] checks everything but the numbers: the configuration, each header, that
//! every tensor stands in exactly one place. [`ModelFolder::tensors`] then reads the numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use llm_core::config::ModelConfig;
use serde::Deserialize;

use crate::error::printable;
use crate::files::{inside, is_plain_name, read_json, read_text, unique_keys};
use crate::names::{HEAD, embedding, normalise};
use crate::safetensors::{SafetensorsFile, TensorInfo};
use crate::{Error, Result};

/// The configuration's file name.
pub const CONFIG_FILE: &str = "config.json";
/// The file name of unsharded weights.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// The file name of the list of shards.
pub const INDEX_FILE: &str = "model.safetensors.index.json";
/// The tokenizer's file name.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The file that holds the chat template and the special tokens' names.
pub const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";

/// Files that belong to a model besides its weights and configuration: what a merge copies.
const COMPANION_FILES: [&str; 9] = [
    TOKENIZER_FILE,
    TOKENIZER_CONFIG_FILE,
    "generation_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "LICENSE",
];

/// Weight formats that are refused, by extension: pickles run code, the others are read elsewhere.
const REFUSED: [(&str, &str); 8] = [
    ("bin", "pickle"),
    ("pt", "pickle"),
    ("pth", "pickle"),
    ("ckpt", "pickle"),
    ("gguf", "GGUF"),
    ("ggml", "GGML"),
    ("h5", "HDF5"),
    ("msgpack", "Flax"),
];

/// A checked model folder.
#[derive(Debug)]
pub struct ModelFolder {
    /// The configuration, validated.
    pub config: ModelConfig,
    path: PathBuf,
    files: Vec<SafetensorsFile>,
    places: BTreeMap<String, Place>,
}

/// Where a tensor is stored.
#[derive(Debug)]
struct Place {
    file: usize,
    stored_name: String,
}

/// `model.safetensors.index.json`; `metadata` is not needed.
#[derive(Deserialize)]
struct Index {
    #[serde(deserialize_with = "unique_keys")]
    weight_map: BTreeMap<String, String>,
}

impl ModelFolder {
    /// Opens the folder and checks all but the numbers.
    ///
    /// # Errors
    /// Something is missing, in another format, malformed, or leaves the folder.
    pub fn open(path: &Path) -> Result<Self> {
        refuse_format(path)?;
        if !path.is_dir() {
            let hint = "pass a folder with config.json and model.safetensors, or a hub id org/name";
            return Err(missing(path, "a model folder", hint));
        }
        if !path.join(CONFIG_FILE).exists() {
            let hint = "a model folder holds config.json, model.safetensors and tokenizer.json";
            return Err(missing(
                &path.join(CONFIG_FILE),
                "the model's configuration",
                hint,
            ));
        }
        let config_path = inside(path, CONFIG_FILE, "the model's configuration")?;
        let config = ModelConfig::from_json(&read_text(&config_path, "the model's configuration")?)
            .map_err(|source| Error::Core {
                path: config_path,
                source,
            })?;
        let files = open_weights(path)?;
        let mut folder = Self {
            config,
            path: path.to_path_buf(),
            files,
            places: BTreeMap::new(),
        };
        folder.place_tensors()?;
        Ok(folder)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// There is none.
    pub fn tokenizer(&self) -> Result<PathBuf> {
        if self.path.join(TOKENIZER_FILE).exists() {
            return inside(&self.path, TOKENIZER_FILE, "the model's tokenizer");
        }
        let hint = "copy tokenizer.json from the model that this one was made from";
        Err(missing(
            &self.path.join(TOKENIZER_FILE),
            "the model's tokenizer",
            hint,
        ))
    }

    /// `tokenizer_config.json`, which holds the chat template, if there is one.
    ///
    /// # Errors
    /// It is there but not a file of this folder.
    pub fn tokenizer_config(&self) -> Result<Option<PathBuf>> {
        self.optional(TOKENIZER_CONFIG_FILE)
    }

    /// `generation_config.json`, if there is one.
    ///
    /// # Errors
    /// It is there but not a file of this folder.
    pub fn generation_config(&self) -> Result<Option<PathBuf>> {
        self.optional("generation_config.json")
    }

    /// The text of `chat_template.jinja`, if there is one.
    ///
    /// # Errors
    /// It is there but not a readable file of this folder.
    pub fn chat_template(&self) -> Result<Option<String>> {
        let path = self.optional("chat_template.jinja")?;
        path.map(|path| read_text(&path, "a chat template"))
            .transpose()
    }

    /// Tokenizer, template, licence: the files that a merged or tuned model takes along.
    ///
    /// # Errors
    /// One is there but not a file of this folder.
    pub fn companions(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for name in COMPANION_FILES {
            files.extend(self.optional(name)?);
        }
        Ok(files)
    }

    /// Every tensor's name in the model and what its header says, in name order.
    pub fn infos(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.places.iter().filter_map(|(name, place)| {
            let info = self.files[place.file]
                .header()
                .tensors
                .get(&place.stored_name)?;
            Some((name.as_str(), info))
        })
    }

    /// The tensor that the model calls `name`, on the CPU in its stored type.
    ///
    /// # Shapes
    /// As [`ModelFolder::tensors`].
    ///
    /// # Errors
    /// There is none, or as [`ModelFolder::tensors`].
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let Some(place) = self.places.get(name) else {
            let problem = "is not in the folder, expected by its configuration";
            return Err(Error::tensor(&self.path, name, problem));
        };
        self.files[place.file].tensor(&place.stored_name, true)
    }

    /// All tensors by the model's names, on the CPU in their stored type, without buffers and
    /// without the repeated head of a tied model.
    ///
    /// # Shapes
    /// As stored, which for GPT-2's projections is `[in, out]`.
    ///
    /// # Errors
    /// A NaN or infinity, a type that cannot be computed with, or a tied head that is not the
    /// embedding.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        self.tensors_with(true)
    }

    /// As [`ModelFolder::tensors`], with the search for NaN and infinity as an option.
    ///
    /// # Shapes
    /// As [`ModelFolder::tensors`].
    ///
    /// # Errors
    /// As [`ModelFolder::tensors`].
    pub fn tensors_with(&self, check_finite: bool) -> Result<BTreeMap<String, Tensor>> {
        let mut tensors = BTreeMap::new();
        for (name, place) in &self.places {
            let tensor = self.files[place.file].tensor(&place.stored_name, check_finite)?;
            tensors.insert(name.clone(), tensor);
        }
        Ok(tensors)
    }

    fn optional(&self, name: &str) -> Result<Option<PathBuf>> {
        if !self.path.join(name).exists() {
            return Ok(None);
        }
        inside(&self.path, name, "a file of the model").map(Some)
    }

    /// Gives every stored tensor its name in the model.
    fn place_tensors(&mut self) -> Result<()> {
        for (index, file) in self.files.iter().enumerate() {
            for stored_name in file.header().tensors.keys() {
                let Some(name) = normalise(self.config.family, stored_name) else {
                    continue;
                };
                let place = Place {
                    file: index,
                    stored_name: stored_name.clone(),
                };
                if let Some(other) = self.places.insert(name, place) {
                    let problem = format!("is also stored as `{}`", printable(&other.stored_name));
                    return Err(Error::tensor(file.path(), stored_name, problem));
                }
            }
        }
        self.drop_tied_head()
    }

    /// A tied model may repeat the embedding as its head; another head there is a contradiction.
    fn drop_tied_head(&mut self) -> Result<()> {
        if !self.config.tie_word_embeddings {
            return Ok(());
        }
        let embedding = self.places.get(&embedding(self.config.family));
        let (Some(head), Some(embedding)) = (self.places.get(HEAD), embedding) else {
            return Ok(());
        };
        let (head_file, embedding_file) = (&self.files[head.file], &self.files[embedding.file]);
        let same =
            head_file.bytes(&head.stored_name) == embedding_file.bytes(&embedding.stored_name);
        if !same {
            let problem = "differs from the embedding although tie_word_embeddings is true";
            return Err(Error::tensor(head_file.path(), HEAD, problem));
        }
        self.places.remove(HEAD);
        Ok(())
    }
}

fn missing(path: &Path, expected: &str, hint: &str) -> Error {
    let (path, expected) = (path.to_path_buf(), expected.into());
    Error::Missing {
        path,
        expected,
        hint: Some(hint.into()),
    }
}

/// The names of the weight files that `folder` should hold: the single one if it is there, else
/// the shards of its index. They are plain names; whether shards exist is not checked.
///
/// # Errors
/// Neither is there, or the index is malformed or names a file elsewhere.
pub fn weight_files(folder: &Path) -> Result<Vec<String>> {
    if folder.join(WEIGHTS_FILE).exists() {
        return Ok(vec![WEIGHTS_FILE.into()]);
    }
    if folder.join(INDEX_FILE).exists() {
        let shards: BTreeSet<String> = read_index(folder)?.into_values().collect();
        return Ok(shards.into_iter().collect());
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(Error::io(folder, "reading"))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    entries.sort();
    entries.iter().try_for_each(|path| refuse_format(path))?;
    let hint = format!("weights are read from {WEIGHTS_FILE}, or from shards with {INDEX_FILE}");
    Err(missing(
        &folder.join(WEIGHTS_FILE),
        "the model's weights",
        &hint,
    ))
}

/// The text of `folder/name`, a file that stays in its folder and is not larger than a tokenizer.
///
/// # Errors
/// It is missing (the message says that `expected` should be there), leaves the folder, or is not
/// text.
pub fn companion_text(folder: &Path, name: &str, expected: &str) -> Result<String> {
    read_text(&inside(folder, name, expected)?, expected)
}

/// Tensor names and their shards, whose names are plain.
fn read_index(folder: &Path) -> Result<BTreeMap<String, String>> {
    let path = inside(folder, INDEX_FILE, "the list of shards")?;
    let index: Index = read_json(&path, "a list of shards")?;
    let plain = |shard: &&String| is_plain_name(shard) && shard.ends_with(".safetensors");
    if let Some(shard) = index.weight_map.values().find(|shard| !plain(shard)) {
        let shard = printable(shard);
        return Err(Error::malformed(
            &path,
            format!("names the shard `{shard}`, expected a plain file name"),
        ));
    }
    if index.weight_map.is_empty() {
        return Err(Error::malformed(
            &path,
            "names no tensor, expected a weight_map",
        ));
    }
    Ok(index.weight_map)
}

/// The weights' files with checked headers, the index and the shards' headers saying the same.
///
/// For models that [`ModelFolder`] does not know, such as encoders.
///
/// # Errors
/// As [`weight_files`], a header that breaks a rule, or a file elsewhere.
pub fn open_weights(folder: &Path) -> Result<Vec<SafetensorsFile>> {
    let names = weight_files(folder)?;
    let open = |name: &String| SafetensorsFile::open(&inside(folder, name, "the model's weights")?);
    let files = names.iter().map(open).collect::<Result<Vec<_>>>()?;
    if names == [WEIGHTS_FILE] {
        return Ok(files);
    }
    let mut listed = read_index(folder)?;
    for (shard, file) in names.iter().zip(&files) {
        for name in file.header().tensors.keys() {
            if listed.get(name) != Some(shard) {
                let problem = "is in the shard, but the index does not say so";
                return Err(Error::tensor(file.path(), name, problem));
            }
            listed.remove(name);
        }
    }
    match listed.pop_first() {
        None => Ok(files),
        Some((name, shard)) => {
            let problem = format!("is not in `{}`, where the index has it", printable(&shard));
            Err(Error::tensor(&folder.join(INDEX_FILE), &name, problem))
        }
    }
}

/// An error for a weight file of a format that is not read.
fn refuse_format(path: &Path) -> Result<()> {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    let known = REFUSED
        .iter()
        .find(|(refused, _)| extension.eq_ignore_ascii_case(refused));
    let Some((_, format)) = known.filter(|_| !path.is_dir()) else {
        return Ok(());
    };
    let hint = match *format {
        "GGUF" | "GGML" => "take the safetensors folder that this file was converted from".into(),
        _ => "convert the folder once: python -c \"from transformers import AutoModelForCausalLM as A; \
              A.from_pretrained('FOLDER').save_pretrained('NEW', safe_serialization=True)\""
            .to_string(),
    };
    Err(Error::Format {
        path: path.to_path_buf(),
        format,
        hint,
    })
}
