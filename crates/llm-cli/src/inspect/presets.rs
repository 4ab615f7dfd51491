//! `--config C`: a file, a folder, or the name of a published model.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use llm_core::config::ModelConfig;
use llm_show::Complaint;
use serde_json::{Map, Value};

use crate::course::unknown;

/// The shapes of published models: the keys of their `config.json` that say how large they are.
const PRESETS: &str = include_str!("presets.json");

/// The config that `named` stands for, and what to call it.
pub(crate) fn config(named: &str) -> Result<(String, ModelConfig)> {
    let path = Path::new(named);
    let file = if path.is_dir() {
        path.join("config.json")
    } else {
        PathBuf::from(path)
    };
    if file.is_file() {
        let text = std::fs::read_to_string(&file).map_err(|source| llm_core::Error::Io {
            path: file.clone(),
            source,
        })?;
        let config = ModelConfig::from_json(&text).with_context(|| file.display().to_string())?;
        return Ok((named.to_owned(), config));
    }
    let presets: Map<String, Value> = serde_json::from_str(PRESETS)?;
    // The name on the hub is the name of a maker, a slash and the model's.
    let name = named.rsplit('/').next().unwrap_or(named).to_lowercase();
    match presets.get(&name) {
        Some(keys) => Ok((name, ModelConfig::from_json(&keys.to_string())?)),
        None => Err(no_config(named, path, &presets).into()),
    }
}

fn no_config(named: &str, path: &Path, presets: &Map<String, Value>) -> Complaint {
    let names: Vec<&str> = presets.keys().map(String::as_str).collect();
    let list = format!(
        "--config FILE, a model's folder, or one of {}",
        names.join(", ")
    );
    if path.exists() {
        return Complaint::new(format!("{named} holds no config.json")).hint(list);
    }
    let complaint = unknown("config", named, names.iter().copied(), &list);
    match path.extension().is_some_and(|end| end == "json") {
        true => Complaint::new(format!("{named}: no such file")).hint(list),
        false => complaint,
    }
}

#[cfg(test)]
mod tests {
    use llm_core::model::count;

    use super::*;

    #[test]
    fn every_preset_is_a_model_of_its_published_size() {
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
        let presets: Map<String, Value> = serde_json::from_str(PRESETS).unwrap();
        assert_eq!(presets.len(), sizes.len());
        for (name, expected) in sizes {
            assert_eq!(count::total(&config(name).unwrap().1), expected, "{name}");
        }
        assert_eq!(config("Qwen/Qwen3-0.6B").unwrap().0, "qwen3-0.6b");
        let error = config("lama-7b").unwrap_err().to_string();
        assert!(error.contains("did you mean `llama-7b`?"), "{error}");
    }
}
