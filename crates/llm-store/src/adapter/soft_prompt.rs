//! Soft prompts in PEFT's layout: an `adapter_config.json` of the type `PROMPT_TUNING` and one tensor,
//! `prompt_embeddings` `[P, C]`.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Tensor};
use llm_core::config::ModelConfig;
use llm_core::soft_prompt::NAME;
use serde_json::{Value, json};

use super::config::Keys;
use super::{config_text, weights, write_files};
use crate::safetensors::SafetensorsFile;
use crate::{Error, Result};

/// PEFT's name of the kind.
pub(super) const PEFT_TYPE: &str = "PROMPT_TUNING";
/// More vectors than any prompt has are a mistake.
const MOST_TOKENS: u64 = 1 << 20;

/// A soft prompt as it stands on the disk.
#[derive(Clone, Debug)]
pub struct SoftPrompt {
    /// The model that it was learnt on: a hub id or folder.
    pub base_model_name_or_path: Option<String>,
    /// `[P, C]`
    pub embeddings: Tensor,
}

impl SoftPrompt {
    /// Reads a folder.
    ///
    /// # Errors
    /// A file is missing or malformed, another kind of adapter, a tensor that is not what the
    /// configuration says, NaN or infinity.
    pub fn read(folder: &Path) -> Result<Self> {
        let (config_path, text) = config_text(folder)?;
        let keys = Keys::parse(&config_path, &text)?;
        if keys.get("peft_type") != PEFT_TYPE {
            return Err(keys.unsupported("peft_type"));
        }
        // Two halves of a prompt are for models with an encoder.
        let modules = keys.get("num_transformer_submodules");
        if !modules.is_null() && modules.as_u64() != Some(1) {
            return Err(keys.unsupported("num_transformer_submodules"));
        }
        let size = |key: &str| {
            let known = keys.get(key).as_u64();
            let found = known.filter(|size| (1..=MOST_TOKENS).contains(size));
            found.ok_or_else(|| keys.bad(key, "a number of at least 1"))
        };
        let shape = [size("num_virtual_tokens")?, size("token_dim")?].map(|size| size as usize);
        let path = weights(folder)?;
        let file = SafetensorsFile::open(&path)?;
        let names: Vec<&String> = file.header().tensors.keys().collect();
        if names != [NAME] {
            let problem = format!("holds {} tensors, expected `{NAME}` alone", names.len());
            return Err(Error::malformed(&path, problem));
        }
        let embeddings = file.tensor(NAME, true)?;
        let float = [DType::F64, DType::F32, DType::F16, DType::BF16].contains(&embeddings.dtype());
        if embeddings.dims() != shape || !float {
            let (dims, dtype) = (embeddings.dims(), embeddings.dtype().as_str());
            let problem = format!("has shape {dims:?} of {dtype}, expected {shape:?} of floats");
            return Err(Error::tensor(&path, NAME, problem));
        }
        Ok(Self {
            base_model_name_or_path: keys.text("base_model_name_or_path")?,
            embeddings,
        })
    }

    /// Writes a folder for a prompt of `model`, whole or not at all.
    ///
    /// # Errors
    /// Vectors of another size than the model's, a folder that exists and is not to be replaced, or
    /// the disk refuses.
    pub fn write(&self, folder: &Path, model: &ModelConfig, overwrite: bool) -> Result<()> {
        let &[count, size] = self.embeddings.dims() else {
            let problem = format!("has shape {:?}, expected [P, C]", self.embeddings.dims());
            return Err(Error::tensor(folder, NAME, problem));
        };
        if size != model.hidden_size {
            let problem = format!("has rows of {size}, the model's are {}", model.hidden_size);
            return Err(Error::tensor(folder, NAME, problem));
        }
        let config = self.config(model, (count, size));
        let tensors = BTreeMap::from([(NAME.to_owned(), self.embeddings.clone())]);
        write_files(folder, &format!("{config:#}\n"), &tensors, overwrite)
    }

    /// The configuration, with the keys that PEFT itself writes.
    fn config(&self, model: &ModelConfig, (count, size): (usize, usize)) -> Value {
        json!({
            "auto_mapping": null,
            "base_model_name_or_path": self.base_model_name_or_path,
            "inference_mode": true,
            "num_attention_heads": model.num_attention_heads,
            "num_layers": model.num_hidden_layers,
            "num_transformer_submodules": 1,
            "num_virtual_tokens": count,
            "peft_type": PEFT_TYPE,
            "prompt_tuning_init": "RANDOM",
            "prompt_tuning_init_text": null,
            "revision": null,
            "task_type": "CAUSAL_LM",
            "token_dim": size,
            "tokenizer_kwargs": null,
            "tokenizer_name_or_path": null,
        })
    }
}
