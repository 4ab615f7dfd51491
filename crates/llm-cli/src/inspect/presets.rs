//! `--config C`: a file, a folder, or the name of a published model.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use llm_core::config::{ModelConfig, published};
use llm_show::Complaint;

use crate::course::unknown;

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
    // The name on the hub is the name of a maker, a slash and the model's.
    let name = named.rsplit('/').next().unwrap_or(named).to_lowercase();
    match published::find(&name)? {
        Some(config) => Ok((name, config)),
        None => Err(no_config(named, path, &published::names()?).into()),
    }
}

fn no_config(named: &str, path: &Path, names: &[String]) -> Complaint {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
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
    fn a_model_is_known_by_its_hub_id_and_a_slip_is_answered() {
        let (name, config) = config("Qwen/Qwen3-0.6B").unwrap();
        assert_eq!(
            (name.as_str(), count::total(&config)),
            ("qwen3-0.6b", 596_049_920)
        );
        let error = super::config("lama-7b").unwrap_err().to_string();
        assert!(error.contains("did you mean `llama-7b`?"), "{error}");
    }
}
