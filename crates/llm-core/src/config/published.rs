//! The shapes of published models: the keys of their `config.json` that say how large they are.
//!
//! ```
//! use llm_core::config::published;
//! let config = published::find("Qwen/Qwen3-0.6B")?.ok_or("known")?;
//! assert_eq!((config.num_hidden_layers, config.hidden_size), (28, 1024));
//! assert!(published::find("qwen3-7t")?.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use serde_json::{Map, Value};

use super::ModelConfig;
use crate::{Error, Result};

/// Names with keys, written by hand from the models' public files.
const PUBLISHED: &str = include_str!("published.json");

/// The names of all, lower case, in a fixed order.
///
/// # Errors
/// None in practice: the list is part of the program, and a test reads it.
pub fn names() -> Result<Vec<String>> {
    Ok(all()?.keys().cloned().collect())
}

/// The configuration of the model called `name`, in any case, with or without its maker in front;
/// `None` for one that is not listed.
///
/// # Errors
/// None in practice, as [`names`].
pub fn find(name: &str) -> Result<Option<ModelConfig>> {
    let name = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let keys = all()?.remove(&name);
    keys.map(|keys| ModelConfig::from_json(&keys.to_string()))
        .transpose()
}

fn all() -> Result<Map<String, Value>> {
    serde_json::from_str(PUBLISHED)
        .map_err(|error| Error::text("published.json", format!("is not JSON ({error})")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::count;

    #[test]
    fn every_model_has_its_published_size() {
        let sizes = [
            ("gpt2", 124_439_808),
            ("gpt2-medium", 354_823_168),
            ("gpt2-large", 774_030_080),
            ("gpt2-xl", 1_557_611_200),
            ("llama-7b", 6_738_415_616),
            ("llama-2-7b", 6_738_415_616),
            ("llama-2-70b", 68_976_648_192),
            ("llama-3.1-8b", 8_030_261_248),
            ("tinyllama-1.1b", 1_100_048_384),
            ("mistral-7b-v0.1", 7_241_732_096),
            ("qwen2.5-0.5b", 494_032_768),
            ("qwen3-0.6b", 596_049_920),
        ];
        assert_eq!(names().unwrap(), sizes.map(|(name, _)| name));
        for (name, expected) in sizes {
            let config = find(name).unwrap().unwrap();
            assert_eq!(count::total(&config), expected, "{name}");
        }
    }
}
