//! LoRA adapters in PEFT's layout: `adapter_config.json` and `adapter_model.safetensors`. Soft prompts
//! have the same files ([`SoftPrompt`]); [`Tuned`] is whichever a folder holds.
//!
//! Tensors are called `base_model.model.<module>.lora_A.weight` `[R, I]` and
//! `….lora_B.weight` `[O, R]`, where `<module>` is the projection's path in the base model, and
//! the update is `(lora_alpha / r) · B A`. With `use_dora` there is also `….lora_magnitude_vector`
//! `[O]`. What PEFT writes loads here and the other way round.

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
const MAGNITUDE_SUFFIX: &str = ".lora_magnitude_vector";

/// What a tensor of an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    A,
    B,
    Magnitude,
}

impl Role {
    const ALL: [Self; 3] = [Self::A, Self::B, Self::Magnitude];

    fn suffix(self) -> &'static str {
        match self {
            Self::A => A_SUFFIX,
            Self::B => B_SUFFIX,
            Self::Magnitude => MAGNITUDE_SUFFIX,
        }
    }

    /// The shape, in words, and whether `dims` are of it.
    fn shape(self, dims: &[usize], r: usize) -> (&'static str, bool) {
        match self {
            Self::A => ("[r, in]", matches!(dims, [rank, _] if *rank == r)),
            Self::B => ("[out, r]", matches!(dims, [_, rank] if *rank == r)),
            Self::Magnitude => ("[out]", dims.len() == 1),
        }
    }
}

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
        (self.get(module, Role::A), self.get(module, Role::B))
    }

    /// The lengths `[O]` that DoRA gives the rows of a projection's weight, if there are any.
    pub fn magnitude(&self, module: &str) -> Option<&Tensor> {
        self.get(module, Role::Magnitude)
    }

    fn get(&self, module: &str, role: Role) -> Option<&Tensor> {
        self.tensors.get(&name_of(module, role))
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

/// A tensor's name from its module and role.
fn name_of(module: &str, role: Role) -> String {
    format!("{PREFIX}{module}{}", role.suffix())
}

/// The module and the role, from a tensor's name.
fn module_of(name: &str) -> Option<(&str, Role)> {
    let inner = name.strip_prefix(PREFIX)?;
    let with = |role: Role| Some((inner.strip_suffix(role.suffix())?, role));
    Role::ALL.into_iter().find_map(with)
}

/// Every tensor has a name, type and shape of this adapter, and every A has its B, with DoRA both
/// their magnitudes.
fn check(path: &Path, config: &AdapterConfig, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    if tensors.is_empty() {
        return Err(Error::malformed(
            path,
            "holds no tensors, expected lora_A and lora_B pairs",
        ));
    }
    let expected = expected_names(config);
    for (name, tensor) in tensors {
        let bad = |problem: String| Error::tensor(path, name, problem);
        let known = module_of(name);
        let Some((module, role)) = known.filter(|(_, role)| {
            // Lengths without `use_dora` would be ignored silently.
            *role != Role::Magnitude || config.lora.use_dora
        }) else {
            return Err(bad(format!("expected {expected}")));
        };
        let float = [DType::F64, DType::F32, DType::F16, DType::BF16].contains(&tensor.dtype());
        if !float {
            return Err(bad(format!(
                "has dtype {:?}, expected a float type",
                tensor.dtype()
            )));
        }
        let (dims, r) = (tensor.dims(), config.lora.r);
        let (shape, fits) = role.shape(dims, r);
        if !fits {
            return Err(bad(format!(
                "has shape {dims:?}, expected {shape} with r = {r}"
            )));
        }
        check_partners(path, config, tensors, (name.as_str(), module, role))?;
        if !config.covers(module) {
            return Err(bad(
                "is not among the target_modules of the configuration".into()
            ));
        }
    }
    Ok(())
}

/// The tensors that belong with `name` are there, and its lengths are as many as B has rows.
fn check_partners(
    path: &Path,
    config: &AdapterConfig,
    tensors: &BTreeMap<String, Tensor>,
    (name, module, role): (&str, &str, Role),
) -> Result<()> {
    let plain = |role: &Role| *role != Role::Magnitude || config.lora.use_dora;
    for role in Role::ALL.into_iter().filter(plain) {
        let other = name_of(module, role);
        if !tensors.contains_key(&other) {
            let problem = format!("has no partner `{other}`");
            return Err(Error::tensor(path, name, problem));
        }
    }
    let rows = tensors.get(&name_of(module, Role::B)).map(Tensor::dims);
    if let (Role::Magnitude, Some([rows, _])) = (role, rows)
        && tensors.get(name).is_some_and(|m| m.dims() != [*rows])
    {
        let problem = format!("expected [{rows}], a length for each row of lora_B");
        return Err(Error::tensor(path, name, problem));
    }
    Ok(())
}

fn expected_names(config: &AdapterConfig) -> String {
    let either = format!("{PREFIX}<module>{A_SUFFIX} or {B_SUFFIX}");
    match config.lora.use_dora {
        true => format!("{either} or {MAGNITUDE_SUFFIX}"),
        false => either,
    }
}
