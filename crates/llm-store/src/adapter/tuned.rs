//! Whatever a folder in PEFT's layout adds to a model.

use std::path::Path;

use llm_core::model::Decoder;
use llm_core::{lora, soft_prompt};

use super::config::Keys;
use super::soft_prompt::PEFT_TYPE;
use super::{Adapter, SoftPrompt, config_text, read};
use crate::Result;

/// A LoRA adapter or a soft prompt.
#[derive(Clone, Debug)]
pub enum Tuned {
    /// Low-rank updates of projections.
    Adapter(Box<Adapter>),
    /// Vectors before every text.
    Prompt(SoftPrompt),
}

impl Tuned {
    /// Reads a folder of either kind.
    ///
    /// # Errors
    /// As [`read`] and [`SoftPrompt::read`].
    pub fn read(folder: &Path) -> Result<Self> {
        let (path, text) = config_text(folder)?;
        if Keys::parse(&path, &text)?.get("peft_type") == PEFT_TYPE {
            return Ok(Self::Prompt(SoftPrompt::read(folder)?));
        }
        Ok(Self::Adapter(Box::new(read(folder)?)))
    }

    /// The model that it was trained on, as its configuration names it.
    pub fn base(&self) -> Option<&str> {
        match self {
            Self::Adapter(adapter) => adapter.config.base_model_name_or_path.as_deref(),
            Self::Prompt(prompt) => prompt.base_model_name_or_path.as_deref(),
        }
    }

    /// Puts it on `model`.
    ///
    /// # Errors
    /// A model of other names or sizes.
    pub fn put_on(&self, model: &mut Decoder) -> llm_core::Result<()> {
        match self {
            Self::Adapter(adapter) => {
                lora::attach(model, &adapter.config.lora, 0)?.assign(&adapter.tensors)
            }
            Self::Prompt(prompt) => soft_prompt::put(model, &prompt.embeddings),
        }
    }
}
