//! The model that a run starts from, and the number type that it trains in.

use std::path::Path;

use candle_core::{DType, Device};
use llm_core::config::ModelConfig;
use llm_core::device;
use llm_core::model::Decoder;
use llm_core::params::{Mode, Parameters};
use llm_store::ModelFolder;

use crate::config::TrainConfig;
use crate::{Error, Result};

/// The base model with its trainable tensors: from the folder `base`, or new from the settings'
/// `model_config`.
///
/// # Errors
/// No folder where one is needed, or whatever is wrong with its files.
pub fn load_model(
    config: &TrainConfig,
    base: Option<&Path>,
    dtype: DType,
    device: &Device,
) -> Result<(Decoder, Parameters)> {
    let mode = if config.trains_adapter() {
        Mode::Frozen
    } else {
        Mode::Trainable
    };
    if let Some(path) = &config.model_config {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let shape =
            ModelConfig::from_json(&text).map_err(|error| Error::file(path, error.to_string()))?;
        let (model, _) = Decoder::init(&shape, config.seed, mode, dtype)?;
        return Ok(Decoder::load(
            &shape,
            model.named_tensors()?,
            mode,
            dtype,
            device,
        )?);
    }
    let missing = || Error::input("model_name", "has no folder, expected a base model");
    let folder = ModelFolder::open(base.ok_or_else(missing)?)?;
    Ok(Decoder::load(
        &folder.config,
        folder.tensors()?,
        mode,
        dtype,
        device,
    )?)
}

/// The number type of a run; `warnings` says so when the settings ask for one that the device
/// cannot train in.
///
/// # Errors
/// An unknown name.
pub fn dtype(config: &TrainConfig, device: &Device, warnings: &mut Vec<String>) -> Result<DType> {
    let half = match (config.bf16, config.fp16) {
        (true, _) => Some(("bf16", DType::BF16)),
        (_, true) => Some(("fp16", DType::F16)),
        _ => None,
    };
    match half {
        Some((key, _)) if device.is_cpu() => {
            warnings.push(format!("{key} is for GPUs: this run trains in f32"));
            Ok(DType::F32)
        }
        Some((_, dtype)) => Ok(dtype),
        None => Ok(device::dtype(&config.dtype)?),
    }
}
