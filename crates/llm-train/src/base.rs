//! The model that a run starts from, and the number type that it trains in.

use std::path::Path;

use candle_core::{DType, Device};
use llm_core::config::ModelConfig;
use llm_core::device;
use llm_core::model::Decoder;
use llm_core::ops::Products;
use llm_core::params::{Mode, Parameters};
use llm_store::ModelFolder;

use crate::config::{TrainConfig, Trained};
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
    let mode = match config.trained() {
        Trained::All => Mode::Trainable,
        Trained::Adapter | Trained::Prompt => Mode::Frozen,
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

/// The number type of a run and how it multiplies by bf16 weights; `warnings` says so when the
/// settings ask for what the device cannot do.
///
/// # Errors
/// An unknown name, or bf16 weights that would have to be trained on a CPU.
pub fn precision(
    config: &TrainConfig,
    device: &Device,
    warnings: &mut Vec<String>,
) -> Result<(DType, Products)> {
    let adapter = config.trained() != Trained::All;
    let mut warn = |text: &str| warnings.push(text.to_owned());
    let dtype = match (config.bf16, config.fp16) {
        (true, _) if device.is_cpu() && adapter => {
            if Products::rounding_is_fast() {
                return Ok((DType::BF16, Products::Rounded));
            }
            warn("this CPU has no AVX512-BF16: the base is kept in bf16, products are in f32");
            DType::BF16
        }
        (true, _) if device.is_cpu() => {
            if Products::rounding_is_fast() {
                return Ok((DType::F32, Products::Rounded));
            }
            warn("this CPU has neither AVX512-BF16 nor AMX: this run trains in f32");
            DType::F32
        }
        (_, true) if device.is_cpu() => {
            warn("fp16 is for GPUs: this run trains in f32");
            DType::F32
        }
        (true, _) => DType::BF16,
        (_, true) => DType::F16,
        _ => device::dtype(&config.dtype)?,
    };
    if device.is_cpu() && dtype == DType::BF16 && !adapter {
        let problem = "is bf16, which a CPU does not train all weights in; set it to f32";
        return Err(Error::input("`dtype`", problem));
    }
    Ok((dtype, Products::Exact))
}
