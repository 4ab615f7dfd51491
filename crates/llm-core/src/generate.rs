//! From a prompt to new tokens: one prefill, then one token a step. [`generate`] continues a prompt,
//! [`generate_group`] several times at once.
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

use candle_core::{DType, Tensor};

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
    let left = room(model, prompt, config)?;
    Ok(Tokens {
        model,
        pass: Pass::eval(Ops::for_device(model.device())),
        cache: cache(model, prompt, left)?,
        sampler: Sampler::new(config.sampler)?,
        all: prompt.to_vec(),
        read: 0,
        left,
        stop_tokens: config.stop_tokens.clone(),
    })
}

/// The new tokens that settings and context leave room for.
fn room(model: &Decoder, prompt: &[u32], config: &GenerateConfig) -> Result<usize> {
    let context = model.context();
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
    Ok(config.max_new_tokens.min(context - prompt.len()))
}

/// An empty cache for one text of the prompt and `left` more tokens.
fn cache(model: &Decoder, prompt: &[u32], left: usize) -> Result<KvCache> {
    let capacity = model.virtual_tokens() + prompt.len() + left;
    KvCache::new(model.config(), 1, capacity, model.dtype(), model.device())
}

/// The scores of the token after each row.
///
/// # Shapes
/// `hidden [B, T, C]` → B times length V.
fn last_logits(model: &Decoder, hidden: &Tensor, pass: &Pass) -> Result<Vec<Vec<f32>>> {
    let (_b, t, _c) = hidden.dims3()?;
    let last = hidden.narrow(1, t - 1, 1)?;
    let logits = model.logits(&last, pass)?.squeeze(1)?;
    Ok(logits.to_dtype(DType::F32)?.to_vec2()?)
}

/// One of several continuations of a prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Continuation {
    /// The new tokens; the stop token that ended them is the last.
    pub tokens: Vec<u32>,
    /// Whether a stop token ended them, and not the end of the allowance.
    pub finished: bool,
}

/// Continues `prompt` once for each of `seeds`, all in one batch: the prompt is read once, and each
/// continuation is the one that [`generate`] would give with the seed in the place of the sampler's.
///
/// # Errors
/// As [`generate`].
pub fn generate_group(
    model: &Decoder,
    prompt: &[u32],
    config: &GenerateConfig,
    seeds: &[u64],
) -> Result<Vec<Continuation>> {
    let left = room(model, prompt, config)?;
    let sampler = |&seed: &u64| {
        Sampler::new(SamplerConfig {
            seed,
            ..config.sampler
        })
    };
    let mut samplers = seeds.iter().map(sampler).collect::<Result<Vec<_>>>()?;
    let mut group = vec![Continuation::default(); seeds.len()];
    if left == 0 || group.is_empty() {
        return Ok(group);
    }
    let pass = Pass::eval(Ops::for_device(model.device()));
    let mut cache = cache(model, prompt, left)?;
    let ids = Tensor::new(prompt, model.device())?.unsqueeze(0)?;
    let hidden = model.hidden(&ids, Some(&mut cache), &pass)?;
    let mut logits = last_logits(model, &hidden, &pass)?;
    logits.resize(group.len(), logits.first().cloned().unwrap_or_default());
    cache = cache.repeated(group.len())?;
    for step in 1..=left {
        let rows = group.iter_mut().zip(&mut samplers).zip(&logits);
        for ((row, sampler), logits) in rows.filter(|((row, _), _)| !row.finished) {
            let seen = [prompt, row.tokens.as_slice()].concat();
            let token = sampler.next(logits, &seen)?;
            row.tokens.push(token);
            row.finished = config.stop_tokens.contains(&token);
        }
        if step == left || group.iter().all(|row| row.finished) {
            break;
        }
        // A row that is done repeats its last token: nobody looks at what it says.
        let last = |row: &Continuation| row.tokens.last().copied().unwrap_or_default();
        let ids: Vec<u32> = group.iter().map(last).collect();
        let ids = Tensor::from_vec(ids, (group.len(), 1), model.device())?;
        let hidden = model.hidden(&ids, Some(&mut cache), &pass)?;
        logits = last_logits(model, &hidden, &pass)?;
    }
    Ok(group)
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
        let rows = last_logits(self.model, &hidden, &self.pass)?;
        Ok(rows.into_iter().next().unwrap_or_default())
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
