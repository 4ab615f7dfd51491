//! The model that is asked: a model folder, or a base model with an adapter on it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use llm_core::device;
use llm_core::generate::{GenerateConfig, generate};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::Mode;
use llm_core::sample::SamplerConfig;
use llm_core::text::stream::Utf8Stream;
use llm_store::ModelFolder;
use llm_store::adapter::Tuned;

use super::config::EvalConfig;
use crate::batch::collate;
use crate::labels::Example;
use crate::model::LanguageModel;
use crate::prompt::Codec;
use crate::step::scalar;
use crate::{Error, Result};

/// What `model_path` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The model, a folder or a hub id; an adapter's base if there is an adapter.
    pub model: String,
    /// The adapter's folder.
    pub adapter: Option<PathBuf>,
}

impl Named {
    /// Reads `model_path`: a folder with `adapter_config.json` is an adapter on `base_model` or
    /// else on the model that it names itself; everything else is a model.
    ///
    /// # Errors
    /// No `model_path`, an adapter that cannot be read, or one that names no base.
    pub fn of(config: &EvalConfig) -> Result<Self> {
        let missing = || Error::input("`model_path`", "is not set, expected a folder or hub id");
        let path = config.model_path.as_deref().ok_or_else(missing)?;
        let folder = Path::new(path);
        if !folder.join("adapter_config.json").is_file() {
            if config.base_model.is_some() {
                let problem = format!("is set, but {path} is not an adapter's folder");
                return Err(Error::input("`base_model`", problem));
            }
            return Ok(Self {
                model: path.to_owned(),
                adapter: None,
            });
        }
        let named = match &config.base_model {
            Some(base) => Some(base.clone()),
            None => Tuned::read(folder)?.base().map(str::to_owned),
        };
        let model = named.filter(|name| !name.is_empty()).ok_or_else(|| {
            Error::file(
                folder,
                "names no base model, expected `base_model` in the settings",
            )
        })?;
        Ok(Self {
            model,
            adapter: Some(folder.to_path_buf()),
        })
    }
}

/// A loaded model with its tokenizer.
#[derive(Debug)]
pub struct Subject {
    /// The model, adapter attached.
    pub model: Decoder,
    /// The tokenizer and prompt format.
    pub codec: Codec,
    /// Why this device, for people to read.
    pub device_reason: String,
    /// SHA-256 over the model's files and the adapter's.
    pub digest: String,
    /// The tokens that end an answer.
    stop_tokens: Vec<u32>,
    device: Device,
}

/// What a model said after a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The new text alone: the prompt is no part of it.
    pub text: String,
    /// New tokens.
    pub tokens: usize,
    /// Whether it came to its own end, and not to the end of its allowance.
    pub finished: bool,
}

impl Subject {
    /// Loads the model in the folder `base` and puts `adapter` on it.
    ///
    /// # Errors
    /// Whatever is wrong with the files, the device or their combination.
    pub fn open(config: &EvalConfig, base: &Path, adapter: Option<&Path>) -> Result<Self> {
        let chosen = device::choose(&config.device)?;
        let dtype = device::dtype(&config.dtype)?;
        let folder = ModelFolder::open(base)?;
        let (mut model, _) = Decoder::load(
            &folder.config,
            folder.tensors()?,
            Mode::Frozen,
            dtype,
            &chosen.device,
        )?;
        let codec = Codec::open(base, config.prompt_format)?;
        codec.tokenizer.check_vocab(folder.config.vocab_size)?;
        let mut digest = llm_store::hash::folder_digest(base)?;
        if let Some(path) = adapter {
            Tuned::read(path)?.put_on(&mut model)?;
            digest = format!("{digest}+{}", llm_store::hash::folder_digest(path)?);
        }
        let mut stop_tokens = codec.stop_tokens().to_vec();
        stop_tokens.extend(&folder.config.eos_token_ids);
        stop_tokens.sort_unstable();
        stop_tokens.dedup();
        Ok(Self {
            model,
            codec,
            device_reason: chosen.reason,
            digest,
            stop_tokens,
            device: chosen.device,
        })
    }

    /// Where tensors are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The most tokens that the model reads.
    pub fn context(&self) -> usize {
        self.model.context()
    }

    /// `Σ −log p` over the supervised tokens of one example, in nats.
    ///
    /// # Errors
    /// What the model reports, or a loss that is not finite.
    pub fn nats(&self, example: &Example) -> Result<f64> {
        let batch = collate(&[example], self.codec.pad(), &self.device)?;
        let pass = Pass::eval(Ops::for_device(&self.device));
        let nats = scalar(&LanguageModel::loss(&self.model, &batch, &pass, 1.0)?)?;
        if nats.is_finite() {
            return Ok(nats);
        }
        Err(Error::Core(llm_core::Error::NotFinite {
            what: "the loss".into(),
            detail: format!("of a row of {} tokens it is {nats}", example.ids.len()),
        }))
    }

    /// Continues `prompt`, up to a stop token, `max_new_tokens`, the end of the context or the
    /// first of the strings `until`, which is cut off. `None` when the prompt fills the context.
    ///
    /// # Errors
    /// What the model or the tokenizer reports.
    pub fn reply(
        &self,
        prompt: &[u32],
        sampler: SamplerConfig,
        max_new_tokens: usize,
        until: &[&str],
    ) -> Result<Option<Reply>> {
        if prompt.len() >= self.context() {
            return Ok(None);
        }
        let config = GenerateConfig {
            max_new_tokens,
            stop_tokens: self.stop_tokens.clone(),
            sampler,
        };
        let room = max_new_tokens.min(self.context() - prompt.len());
        let mut stream = Utf8Stream::new(&self.codec.tokenizer, true);
        let (mut text, mut tokens, mut cut) = (String::new(), 0, false);
        for token in generate(&self.model, prompt, &config)? {
            text.push_str(&stream.push(token?)?);
            tokens += 1;
            if let Some(end) = until.iter().filter_map(|stop| text.find(stop)).min() {
                text.truncate(end);
                cut = true;
                break;
            }
        }
        if !cut {
            text.push_str(&stream.finish()?);
        }
        Ok(Some(Reply {
            text,
            tokens,
            finished: cut || tokens < room,
        }))
    }

    /// The bytes of text that each token of `ids` completes; special tokens have none.
    ///
    /// # Errors
    /// An id that no token has.
    pub fn bytes_of(&self, ids: &[u32]) -> Result<Vec<usize>> {
        let mut stream = Utf8Stream::new(&self.codec.tokenizer, true);
        ids.iter().map(|&id| Ok(stream.push(id)?.len())).collect()
    }
}

/// Whether someone asked the evaluation to end.
pub(super) fn stopped(stop: Option<&AtomicBool>) -> bool {
    stop.is_some_and(|stop| stop.load(Ordering::SeqCst))
}
