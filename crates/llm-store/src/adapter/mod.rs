//! LoRA adapters in PEFT's layout: `adapter_config.json` and `adapter_model.safetensors`. Soft prompts
//! have the same files ([`SoftPrompt`]); [`Tuned`] is whichever a folder holds.
//!
//! Tensors are called `base_model.model.<module>.lora_A.weight` `[R, I]` and
//! `….lora_B.weight` `[O, R]`, where `<module>` is the projection's path in the base model, and
//! the update is `(lora_alpha / r) · B A`. What PEFT writes loads here and the other way round.

mod config;
mod soft_prompt;
mod tuned;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};

pub use config::AdapterConfig;
pub use soft_prompt::SoftPrompt;
pub use tuned::Tuned;

use crate::atomic::FolderWriter;
use crate::files::{inside, read_text};
use crate::safetensors::{SafetensorsFile, write as write_safetensors};
use crate::{Error, Result};

/// The configuration's file name.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// The weights' file name.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";

/// PEFT wraps the base model twice.
const PREFIX: &str = "base_model.model.";
const A_SUFFIX: &str = ".lora_A.weight";
const B_SUFFIX: &str = ".lora_B.weight";

/// An adapter as it stands on the disk.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The configuration.
    pub config: AdapterConfig,
    /// The tensors by PEFT's names, in their stored type.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Adapter {
    /// The paths of the adapted projections in the base model, e.g.
    /// `model.layers.0.self_attn.q_proj`.
    pub fn modules(&self) -> BTreeSet<&str> {
        self.tensors
            .keys()
            .filter_map(|name| module_of(name).map(|(module, _)| module))
            .collect()
    }

    /// The matrices `A [R, I]` and `B [O, R]` of a projection, as far as they are there.
    pub fn pair(&self, module: &str) -> (Option<&Tensor>, Option<&Tensor>) {
        let get = |end: &str| self.tensors.get(&format!("{PREFIX}{module}{end}"));
        (get(A_SUFFIX), get(B_SUFFIX))
    }
}

/// Reads an adapter folder.
///
/// # Errors
/// A file is missing or malformed, a feature of PEFT that this code lacks (by its key), tensors
/// that do not belong to the configuration, NaN or infinity.
pub fn read(folder: &Path) -> Result<Adapter> {
    let (config_path, text) = config_text(folder)?;
    let config = AdapterConfig::parse(&config_path, &text)?;
    let path = weights(folder)?;
    let file = SafetensorsFile::open(&path)?;
    let mut tensors = BTreeMap::new();
    for name in file.header().tensors.keys() {
        tensors.insert(name.clone(), file.tensor(name, true)?);
    }
    let mut adapter = Adapter { config, tensors };
    if adapter.config.lora.target_modules.is_empty() {
        adapter.config.lora.target_modules =
            adapter.modules().into_iter().map(String::from).collect();
    }
    check(&path, &adapter.config, &adapter.tensors)?;
    Ok(adapter)
}

/// The configuration of an adapter's folder: where it is and what it says.
fn config_text(folder: &Path) -> Result<(PathBuf, String)> {
    let path = existing(folder, CONFIG_FILE, "an adapter's configuration")?;
    let text = read_text(&path, "an adapter's configuration")?;
    Ok((path, text))
}

/// Where the weights of an adapter's folder are; an older format is refused with what to do.
fn weights(folder: &Path) -> Result<PathBuf> {
    if !folder.join(WEIGHTS_FILE).exists() && folder.join("adapter_model.bin").exists() {
        let path = folder.join("adapter_model.bin");
        let hint = "load it with PEFT and save it again: model.save_pretrained('NEW')".into();
        return Err(Error::Format {
            path,
            format: "pickle",
            hint,
        });
    }
    existing(folder, WEIGHTS_FILE, "an adapter's weights")
}

/// Writes an adapter folder, whole or not at all.
///
/// # Errors
/// Tensors that do not belong to the configuration, a folder that exists and is not to be
/// replaced, or the disk refuses.
pub fn write(
    folder: &Path,
    config: &AdapterConfig,
    tensors: &BTreeMap<String, Tensor>,
    overwrite: bool,
) -> Result<()> {
    check(&folder.join(WEIGHTS_FILE), config, tensors)?;
    write_files(folder, &config.to_json(), tensors, overwrite)
}

/// Writes the two files of a folder in PEFT's layout, whole or not at all.
fn write_files(
    folder: &Path,
    config: &str,
    tensors: &BTreeMap<String, Tensor>,
    overwrite: bool,
) -> Result<()> {
    let path = folder.join(WEIGHTS_FILE);
    let writer = FolderWriter::create(folder, overwrite)?;
    writer.write(CONFIG_FILE, config.as_bytes())?;
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    writer.write_with(WEIGHTS_FILE, |file| {
        write_safetensors(&path, file, tensors, &metadata)
    })?;
    writer.commit()
}

fn existing(folder: &Path, name: &str, expected: &str) -> Result<PathBuf> {
    if folder.join(name).exists() {
        return inside(folder, name, expected);
    }
    let hint = "an adapter folder holds adapter_config.json and adapter_model.safetensors";
    let (path, expected) = (folder.join(name), expected.into());
    Err(Error::Missing {
        path,
        expected,
        hint: Some(hint.into()),
    })
}

/// The module and whether it is its A matrix, from a tensor's name.
fn module_of(name: &str) -> Option<(&str, bool)> {
    let inner = name.strip_prefix(PREFIX)?;
    let a = inner.strip_suffix(A_SUFFIX).map(|module| (module, true));
    a.or_else(|| inner.strip_suffix(B_SUFFIX).map(|module| (module, false)))
}

/// Every tensor has a name, type and shape of this adapter, and every A has its B.
fn check(path: &Path, config: &AdapterConfig, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    if tensors.is_empty() {
        return Err(Error::malformed(
            path,
            "holds no tensors, expected lora_A and lora_B pairs",
        ));
    }
    for (name, tensor) in tensors {
        let bad = |problem: String| Error::tensor(path, name, problem);
        let Some((module, is_a)) = module_of(name) else {
            return Err(bad(format!(
                "expected {PREFIX}<module>{A_SUFFIX} or {B_SUFFIX}"
            )));
        };
        let float = [DType::F64, DType::F32, DType::F16, DType::BF16].contains(&tensor.dtype());
        if !float {
            return Err(bad(format!(
                "has dtype {:?}, expected a float type",
                tensor.dtype()
            )));
        }
        let rank_axis = usize::from(!is_a);
        match tensor.dims() {
            dims @ [_, _] if dims[rank_axis] == config.lora.r => {}
            dims => {
                let expected = if is_a { "[r, in]" } else { "[out, r]" };
                return Err(bad(format!(
                    "has shape {dims:?}, expected {expected} with r = {}",
                    config.lora.r
                )));
            }
        }
        let other = format!("{PREFIX}{module}{}", if is_a { B_SUFFIX } else { A_SUFFIX });
        if !tensors.contains_key(&other) {
            return Err(bad(format!("has no partner `{other}`")));
        }
        if !config.covers(module) {
            return Err(bad(
                "is not among the target_modules of the configuration".into()
            ));
        }
    }
    Ok(())
}
