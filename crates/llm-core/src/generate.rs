//! From a prompt to new tokens: one prefill, then one token a step.
//!
//! ```
//! use candle_core::DType;
//! use llm_core::config::ModelConfig;
//! use llm_core::generate::{GenerateConfig, generate};
//! use llm_core::model::Decoder;
//! use llm_core::params::Mode;
//!
//! let config = ModelConfig::from_json(
//!     r#"{"model_type": "llama", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 32,
//!         "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64}"#,
//! )?;
//! let (model, _) = Decoder::init(&config, 7, Mode::Frozen, DType::F32)?;
//! let settings = GenerateConfig { max_new_tokens: 5, ..GenerateConfig::default() };
//! let tokens = generate(&model, &[1, 2, 3], &settings)?.collect::<Result<Vec<u32>, _>>()?;
//! assert_eq!(tokens.len(), 5);
//! # Ok::<(), llm_core::Error>(())
//! ```

use candle_core::{DType, IndexOp, Tensor};

use crate::cache::KvCache;
use crate::model::Decoder;
use crate::nn::Pass;
use crate::ops::Ops;
use crate::sample::{Sampler, SamplerConfig};
use crate::{Error, Result};

/// How much to generate and how to choose.
#[derive(Clone, Debug)]
pub struct GenerateConfig {
    /// Stop after this many tokens.
    pub max_new_tokens: usize,
    /// Stop before emitting one of these.
    pub stop_tokens: Vec<u32>,
    /// How tokens are chosen.
    pub sampler: SamplerConfig,
}

impl Default for GenerateConfig {
    fn default() -> Self {
        let sampler = SamplerConfig::default();
        Self {
            max_new_tokens: 128,
            stop_tokens: Vec::new(),
            sampler,
        }
    }
}

/// An iterator over new tokens; see [`generate`].
#[derive(Debug)]
pub struct Tokens<'a> {
    model: &'a Decoder,
    pass: Pass,
    cache: KvCache,
    sampler: Sampler,
    /// Prompt and new tokens.
    all: Vec<u32>,
    /// How many of `all` the cache has.
    read: usize,
    left: usize,
    stop_tokens: Vec<u32>,
}

/// Continues `prompt`; stops at a stop token, after `max_new_tokens` or at the end of the context.
///
/// # Errors
/// An empty prompt, one that fills the context, a token id outside the vocabulary, or sampling
/// settings out of range.
pub fn generate<'a>(
    model: &'a Decoder,
    prompt: &[u32],
    config: &GenerateConfig,
) -> Result<Tokens<'a>> {
    let context = model.config().max_position_embeddings;
    let vocab_size = model.config().vocab_size;
    if prompt.is_empty() {
        return Err(Error::input(
            "prompt",
            "has no tokens, expected at least one",
        ));
    }
    if let Some(id) = prompt.iter().find(|&&id| id as usize >= vocab_size) {
        return Err(Error::input(
            "token id",
            format!("{id} is not in 0..{vocab_size}"),
        ));
    }
    if prompt.len() >= context {
        let problem = format!(
            "has {} tokens, expected fewer than the context of {context}",
            prompt.len()
        );
        return Err(Error::input("prompt", problem));
    }
    let left = config.max_new_tokens.min(context - prompt.len());
    let capacity = prompt.len() + left;
    let cache = KvCache::new(model.config(), 1, capacity, model.dtype(), model.device())?;
    Ok(Tokens {
        model,
        pass: Pass::eval(Ops::for_device(model.device())),
        cache,
        sampler: Sampler::new(config.sampler)?,
        all: prompt.to_vec(),
        read: 0,
        left,
        stop_tokens: config.stop_tokens.clone(),
    })
}

impl Tokens<'_> {
    /// The scores of the next token, after reading what the cache does not have yet.
    ///
    /// # Shapes
    /// Length V.
    fn logits(&mut self) -> Result<Vec<f32>> {
        let ids = Tensor::new(&self.all[self.read..], self.model.device())?.unsqueeze(0)?;
        let hidden = self.model.hidden(&ids, Some(&mut self.cache), &self.pass)?;
        self.read = self.all.len();
        let (_b, t, _c) = hidden.dims3()?;
        let last = hidden.narrow(1, t - 1, 1)?;
        let logits = self.model.logits(&last, &self.pass)?;
        Ok(logits.i((0, 0))?.to_dtype(DType::F32)?.to_vec1()?)
    }

    fn step(&mut self) -> Result<u32> {
        let logits = self.logits()?;
        self.sampler.next(&logits, &self.all)
    }
}

impl Iterator for Tokens<'_> {
    type Item = Result<u32>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        match self.step() {
            Ok(token) if self.stop_tokens.contains(&token) => {
                self.left = 0;
                None
            }
            Ok(token) => {
                self.left -= 1;
                self.all.push(token);
                Some(Ok(token))
            }
            Err(error) => {
                self.left = 0;
                Some(Err(error))
            }
        }
    }
}
