//! A character model as a Hugging Face folder: `config.json`, `model.safetensors`, `tokenizer.json`
//! and `tokenizer_config.json`.
//!
//! The tokenizer is written in the words of the tokenizers library: the text is split into single
//! characters and each is looked up in a list, so that `deeper generate` and transformers read the
//! folder too. There is no token for the unknown: a character that is not in the list is an error.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device};
use llm_core::config::ModelConfig;
use llm_core::model::Decoder;
use llm_core::params::Mode;
use llm_core::text::chars::CharTokenizer;
use llm_store::atomic::FolderWriter;
use llm_store::folder::{CONFIG_FILE, ModelFolder, TOKENIZER_CONFIG_FILE, TOKENIZER_FILE};
use llm_store::save::write_weights;
use serde_json::{Map, Value, json};

use crate::{Error, Result};

/// What the tokenizer's file calls the token that it does not have.
const NO_TOKEN: &str = "<unknown>";
/// The bundled model, made by the example `bundle_mini_gpt` of this crate.
const SMALL: [&[u8]; 3] = [
    include_bytes!("../../../../data/mini_gpt/small/config.json"),
    include_bytes!("../../../../data/mini_gpt/small/tokenizer.json"),
    include_bytes!("../../../../data/mini_gpt/small/model.safetensors"),
];

/// A model with the characters that it reads and writes.
#[derive(Debug)]
pub struct CharModel {
    /// The model, without gradients.
    pub model: Decoder,
    /// Characters by id.
    pub chars: CharTokenizer,
}

/// Writes a model folder in place of what stood there, whole or not at all.
///
/// # Errors
/// The disk refuses; the folder is then as it was.
pub fn save(folder: &Path, model: &Decoder, chars: &CharTokenizer) -> Result<()> {
    let writer = FolderWriter::create(folder, true)?;
    writer.write(CONFIG_FILE, model.config().to_json().as_bytes())?;
    write_weights(&writer, folder, &model.named_tensors()?, u64::MAX)?;
    writer.write(TOKENIZER_FILE, tokenizer_json(chars).as_bytes())?;
    let context = model.config().max_position_embeddings;
    // Without the class, transformers takes the byte-level tokenizer of every other GPT-2.
    let settings = json!({"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context,
        "clean_up_tokenization_spaces": false});
    writer.write(TOKENIZER_CONFIG_FILE, format!("{settings:#}\n").as_bytes())?;
    Ok(writer.commit()?)
}

/// Reads a folder that [`save`] wrote.
///
/// # Errors
/// A missing or malformed file, or a tokenizer that is not one of characters.
pub fn open(folder: &Path) -> Result<CharModel> {
    let folder = ModelFolder::open(folder)?;
    let path = folder.tokenizer()?;
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let chars = read_tokenizer(&path, &text)?;
    let (mode, dtype) = (Mode::Frozen, DType::F32);
    let (config, tensors) = (&folder.config, folder.tensors()?);
    let (model, _) = Decoder::load(config, tensors, mode, dtype, &Device::Cpu)?;
    checked(model, chars, &path)
}

/// The small model that comes with this crate: 2 layers of 32 channels, trained on
/// [`PAGE`](super::PAGE).
///
/// # Errors
/// None, unless the bundled files were damaged before this program was built.
pub fn small() -> Result<CharModel> {
    let [config, tokenizer, weights] = SMALL;
    let path = Path::new("the bundled model");
    let text = |bytes: &'static [u8]| {
        std::str::from_utf8(bytes).map_err(|error| Error::file(path, error.to_string()))
    };
    let config = ModelConfig::from_json(text(config)?)?;
    let chars = read_tokenizer(path, text(tokenizer)?)?;
    let tensors = candle_core::safetensors::load_buffer(weights, &Device::Cpu)?;
    let tensors: BTreeMap<_, _> = tensors.into_iter().collect();
    let (mode, dtype) = (Mode::Frozen, DType::F32);
    let (model, _) = Decoder::load(&config, tensors, mode, dtype, &Device::Cpu)?;
    checked(model, chars, path)
}

/// The pair, if the vocabulary sizes agree.
fn checked(model: Decoder, chars: CharTokenizer, path: &Path) -> Result<CharModel> {
    let (ours, wanted) = (chars.vocab_size(), model.config().vocab_size);
    if ours != wanted {
        let problem = format!("has {ours} characters, expected the model's vocab_size {wanted}");
        return Err(Error::file(path, problem));
    }
    Ok(CharModel { model, chars })
}

/// The text of a `tokenizer.json` that splits into characters.
pub fn tokenizer_json(chars: &CharTokenizer) -> String {
    let ids = chars.chars().iter().zip(0u32..);
    let vocabulary: Map<String, Value> = ids.map(|(c, id)| (c.to_string(), json!(id))).collect();
    let file = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        // `.` would leave new lines out
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated",
            "invert": false},
        "post_processor": null,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": NO_TOKEN},
    });
    format!("{file:#}\n")
}

/// The characters of a `tokenizer.json` that [`tokenizer_json`] wrote; `path` is for messages.
///
/// # Errors
/// JSON of another form, or a vocabulary that is not the sorted list of its characters.
pub fn read_tokenizer(path: &Path, text: &str) -> Result<CharTokenizer> {
    let fault = |problem: &str| Error::file(path, problem);
    let file: Value = serde_json::from_str(text)
        .map_err(|error| Error::file(path, format!("is not JSON: {error}")))?;
    let vocabulary = file["model"]["vocab"].as_object();
    let vocabulary = vocabulary.filter(|_| file["model"]["type"] == "WordLevel");
    let vocabulary = vocabulary.ok_or_else(|| {
        fault("is not a tokenizer of single characters, expected one of mini_gpt_train")
    })?;
    let chars =
        CharTokenizer::from_text(&vocabulary.keys().map(String::as_str).collect::<String>());
    let ids = chars.chars().iter().zip(0u64..);
    let same =
        |(c, id): (&char, u64)| vocabulary.get(&c.to_string()).and_then(Value::as_u64) == Some(id);
    if chars.vocab_size() != vocabulary.len() || !ids.into_iter().all(same) {
        return Err(fault(
            "has other tokens than the sorted list of its characters",
        ));
    }
    Ok(chars)
}
