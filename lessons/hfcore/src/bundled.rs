//! The embedded model and the question set, from wherever a program starts.

use std::path::{Path, PathBuf};

use anyhow::Result;
use candle_core::{DType, Tensor};
use llm_core::config::ModelConfig;
use llm_core::model::Decoder;
use llm_core::params::Mode;
use llm_store::{SaveOptions, save_model};

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

/// Writes a model folder of random bfloat16 weights in the shape of `config`, with the bundled model's
/// tokenizer and template.
///
/// # Errors
/// A vocabulary that is smaller than the tokenizer's is found when the folder is used; here the folder
/// exists already or cannot be written.
pub fn write_random(config: &ModelConfig, seed: u64, out: &Path) -> Result<()> {
    let tokenizer = here(MODEL);
    let copy = ["tokenizer.json", "tokenizer_config.json"].map(|name| tokenizer.join(name));
    let (model, _) = Decoder::init(config, seed, Mode::Frozen, DType::BF16)?;
    let narrow = |(name, tensor): (String, Tensor)| Ok((name, tensor.to_dtype(DType::BF16)?));
    let tensors = model.named_tensors()?.into_iter().map(narrow).collect::<Result<_>>()?;
    let options = SaveOptions { copy: copy.to_vec(), ..SaveOptions::default() };
    Ok(save_model(out, &config.to_json(), &tensors, &options)?)
}

#[cfg(test)]
mod tests {
    use llm_store::ModelFolder;

    use super::*;

    #[test]
    fn a_random_folder_is_a_model() {
        let root = tempfile::tempdir().unwrap();
        let config = ModelConfig::from_json(
            r#"{"model_type": "qwen3", "vocab_size": 4100, "hidden_size": 8, "intermediate_size": 16,
                "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
                "max_position_embeddings": 32, "tie_word_embeddings": true}"#,
        )
        .unwrap();
        let out = root.path().join("random");
        write_random(&config, 7, &out).unwrap();
        let open = ModelFolder::open(&out).unwrap();
        assert_eq!(open.config, config);
        assert!(open.infos().all(|(_, info)| info.dtype.name() == "BF16"));
        let codec = llm_train::prompt::Codec::open(&out, Default::default()).unwrap();
        assert_eq!(codec.format_name(), "chat");
        assert!(write_random(&config, 7, &out).is_err(), "an existing folder stays");
    }

    #[test]
    fn only_what_comes_along_is_looked_for() {
        assert!(here(HELD_OUT).is_file());
        assert_eq!(here("data/no/such/file"), Path::new("data/no/such/file"));
        assert_eq!(here("Qwen/Qwen3-0.6B"), Path::new("Qwen/Qwen3-0.6B"));
    }
}
