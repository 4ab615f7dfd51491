//! A step that trains low-rank adapters on a frozen base: forward, loss, backward, AdamW.

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use llm_core::config::ModelConfig;
use llm_core::lora::{LoraConfig, attach};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::{IGNORE_INDEX, Ops, Products};
use llm_core::params::Mode;
use llm_train::optimizer::AdamWConfig;
use llm_train::step::Stepper;
use serde::Deserialize;

use crate::shape::token;
use crate::train::{SEED, constant_rate, stepper};
use crate::{Error, Result, Size, Workload, flops};

/// Qwen3-0.6B with a vocabulary of 32,768.
pub const QWEN3_CONFIG: &str = include_str!("../peers/qwen3-0.6b-v32k.json");

/// What is trained on what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraShape {
    /// A `config.json`; the model of [`QWEN3_CONFIG`] when it is left out.
    #[serde(default)]
    pub config: Option<PathBuf>,
    /// The number type of the base.
    #[serde(default = "f32_name")]
    pub dtype: String,
    /// B
    pub batch: usize,
    /// T
    pub tokens: usize,
    /// R
    pub r: usize,
    /// α
    pub lora_alpha: u32,
    /// L, C, F and V of a smaller model than the configuration's.
    #[serde(skip)]
    pub sizes: Option<[usize; 4]>,
}

/// R and α of the named shapes.
const RANK: (usize, u32) = (16, 32);

fn f32_name() -> String {
    "f32".into()
}

impl LoraShape {
    /// The shape called `tiny`, `small` or `large`, over a base of this number type.
    pub fn named(name: &str, dtype: &str) -> Option<Self> {
        let ([batch, tokens], sizes) = match name {
            "tiny" => ([1, 8], Some([1, 32, 48, 64])),
            "small" => ([4, 128], Some([6, 256, 768, 4096])),
            "large" => ([2, 256], None),
            _ => return None,
        };
        let (dtype, (r, lora_alpha)) = (dtype.to_owned(), RANK);
        Some(Self {
            config: None,
            dtype,
            batch,
            tokens,
            r,
            lora_alpha,
            sizes,
        })
    }

    /// The sizes by their letters.
    ///
    /// # Errors
    /// As [`LoraShape::model`].
    pub fn label(&self) -> Result<String> {
        let (
            config,
            Self {
                batch,
                tokens,
                r,
                dtype,
                ..
            },
        ) = (self.model()?, self);
        let (l, c) = (config.num_hidden_layers, config.hidden_size);
        Ok(format!("{dtype}/L={l}/C={c}/T={tokens}/B={batch}/R={r}"))
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// A file that cannot be read or is no configuration.
    pub fn model(&self) -> Result<ModelConfig> {
        let Some(path) = &self.config else {
            let mut config = ModelConfig::from_json(QWEN3_CONFIG)?;
            if let Some([layers, channels, inner, vocabulary]) = self.sizes {
                config.num_hidden_layers = layers;
                config.layer_windows.truncate(layers);
                config.hidden_size = channels;
                config.intermediate_size = inner;
                config.vocab_size = vocabulary;
            }
            return Ok(config);
        };
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
            path: path.clone(),
            source,
        })?;
        Ok(ModelConfig::from_json(&text)?)
    }
}

/// A frozen random model with adapters on q, k and v, and one batch.
#[derive(Debug)]
pub struct LoraStep {
    model: Decoder,
    stepper: Stepper,
    /// `[B, T]`
    ids: Tensor,
    /// B · T, the last of each row ignored
    targets: Vec<i64>,
    scale: f64,
    size: Size,
}

impl LoraStep {
    /// A model and adapters of this shape.
    ///
    /// # Errors
    /// A bad configuration, or a number type that is not there.
    pub fn new(shape: &LoraShape) -> Result<Self> {
        let config = shape.model()?;
        let dtype = llm_core::device::dtype(&shape.dtype)?;
        let (mut model, _) = Decoder::init(&config, SEED, Mode::Frozen, dtype)?;
        let adapters = LoraConfig {
            r: shape.r,
            lora_alpha: f64::from(shape.lora_alpha),
            lora_dropout: 0.0,
            target_modules: ["q_proj", "k_proj", "v_proj"].map(String::from).to_vec(),
            use_rslora: false,
            use_dora: false,
        };
        if dtype == DType::BF16 && Products::rounding_is_fast() {
            // What `bf16: true` of a training run does on such a processor.
            model.set_products(Products::Rounded);
        }
        let parameters = attach(&mut model, &adapters, SEED)?;
        let (b, t, v) = (shape.batch, shape.tokens, config.vocab_size);
        let ids = (0..b * t).map(|i| token(i, v)).collect();
        let next = |i: usize| match (i + 1).is_multiple_of(t) {
            true => IGNORE_INDEX,
            false => i64::from(token(i + 1, v)),
        };
        let size = Size {
            tokens: (b * t) as u64,
            flops: flops::lora_step(&config, shape.r, b, t),
            parameters: flops::matrix_scalars(&config),
        };
        Ok(Self {
            model,
            stepper: stepper(parameters, AdamWConfig::default(), constant_rate(), None)?,
            ids: Tensor::from_vec(ids, (b, t), &Device::Cpu)?,
            targets: (0..b * t).map(next).collect(),
            scale: 1.0 / (b * (t - 1)) as f64,
            size,
        })
    }
}

impl Workload for LoraStep {
    fn size(&self) -> Size {
        self.size
    }

    fn run(&mut self) -> Result<()> {
        let Self {
            model,
            ids,
            targets,
            scale,
            ..
        } = self;
        let ops = Ops::Fused;
        self.stepper.step(1, |_| {
            Ok(model.next_token_loss(ids, targets, *scale, &Pass::eval(ops))?)
        })?;
        Ok(())
    }
}
