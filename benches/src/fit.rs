//! A whole training run over a text of characters, in pieces that can take turns with another
//! program, and its loss over all of the held-out text.
//!
//! The recipe is nanoGPT's for a laptop: AdamW with β 0.9 and 0.99 and decay 0.1 on matrices, linear
//! warmup, a cosine to a tenth, clipping at 1. Which characters a batch starts at comes from a
//! file, so that two programs can see the same batches.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use llm_core::config::ModelConfig;
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::Mode;
use llm_train::optimizer::AdamWConfig;
use llm_train::schedule::{Schedule, ScheduleKind};
use llm_train::step::Stepper;
use serde::Deserialize;

use crate::train::stepper;
use crate::{Error, GptShape, Result, Size, Workload, flops};

const OPS: Ops = Ops::Fused;
const MAX_GRAD_NORM: f64 = 1.0;
/// Blocks of held-out text that are scored at once; the loss does not depend on it.
const BLOCKS_AT_ONCE: usize = 64;

/// A run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitShape {
    /// The model and its batch.
    pub shape: GptShape,
    /// A file of token ids, one byte each.
    pub ids: PathBuf,
    /// How many of them are learned from; the rest is held out.
    pub train: usize,
    /// A file of batch starts, B little-endian u32 for each step.
    pub starts: PathBuf,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Steps of linear warmup.
    pub warmup_steps: u64,
    /// The largest learning rate; the last is a tenth of it.
    pub max_lr: f64,
    /// The seed of the initial weights.
    pub seed: u64,
}

/// A run that goes on with each [`Workload::run`].
#[derive(Debug)]
pub struct Fit {
    shape: GptShape,
    model: Decoder,
    stepper: Stepper,
    /// The learned and the held-out ids.
    text: [Vec<u32>; 2],
    /// B for each step.
    starts: Vec<usize>,
    done: usize,
    size: Size,
}

impl Fit {
    /// A new model before its first step.
    ///
    /// # Errors
    /// Files that cannot be read, or ids and starts that do not fit.
    pub fn new(fit: &FitShape) -> Result<Self> {
        let shape = fit.shape;
        let config = ModelConfig {
            mlp: llm_core::config::MlpKind::Gelu(llm_core::ops::GeluKind::Erf), // nanoGPT's
            ..shape.config()?
        };
        let ids: Vec<u32> = read(&fit.ids)?.into_iter().map(u32::from).collect();
        let starts: Vec<usize> = read(&fit.starts)?
            .chunks_exact(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
            .collect();
        check(fit, &ids, &starts)?;
        let (model, parameters) = Decoder::init(&config, fit.seed, Mode::Trainable, DType::F32)?;
        let schedule = Schedule {
            kind: ScheduleKind::Cosine,
            max_lr: fit.max_lr,
            min_lr: fit.max_lr / 10.0,
            warmup_steps: fit.warmup_steps,
            total_steps: fit.total_steps,
        };
        let adamw = AdamWConfig {
            beta2: 0.99,
            weight_decay: 0.1,
            ..AdamWConfig::default()
        };
        let size = Size {
            tokens: (shape.batch * shape.tokens) as u64,
            flops: flops::train_step(&config, shape.batch, shape.tokens),
            parameters: parameters.count() as u64,
        };
        Ok(Self {
            shape,
            model,
            stepper: stepper(parameters, adamw, schedule, Some(MAX_GRAD_NORM))?,
            text: [ids[..fit.train].to_vec(), ids[fit.train..].to_vec()],
            starts,
            done: 0,
            size,
        })
    }

    /// Mean loss over blocks of `text` that start at `starts`, its graph included.
    fn loss(model: &Decoder, text: &[u32], starts: &[usize], t: usize) -> Result<Tensor> {
        let block = |&start: &usize| &text[start..start + t + 1];
        let ids: Vec<u32> = starts
            .iter()
            .flat_map(|s| &block(s)[..t])
            .copied()
            .collect();
        let targets = starts.iter().flat_map(|s| &block(s)[1..]);
        let targets: Vec<i64> = targets.map(|&id| i64::from(id)).collect();
        let ids = Tensor::from_vec(ids, (starts.len(), t), &Device::Cpu)?;
        let scale = 1.0 / targets.len() as f64;
        Ok(model.next_token_loss(&ids, &targets, scale, &Pass::eval(OPS))?)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::Io {
        path: path.into(),
        source,
    })
}

fn check(fit: &FitShape, ids: &[u32], starts: &[usize]) -> Result<()> {
    let GptShape {
        tokens,
        batch,
        vocabulary,
        ..
    } = fit.shape;
    let problem = if ids.iter().any(|&id| id as usize >= vocabulary) {
        "ids: a token id is not in the vocabulary"
    } else if fit.train > ids.len() {
        "train: is more than there are ids"
    } else if starts.len() as u64 != fit.total_steps * batch as u64 {
        "starts: expected B numbers for each step"
    } else if starts.iter().any(|start| start + tokens >= fit.train) {
        "starts: a block ends after the text that is learned from"
    } else {
        return Ok(());
    };
    let (what, problem) = problem.split_once(": ").unwrap_or(("fit", problem));
    Err(llm_core::Error::input(what, problem).into())
}

impl Workload for Fit {
    fn size(&self) -> Size {
        self.size
    }

    fn run(&mut self) -> Result<()> {
        let (b, t) = (self.shape.batch, self.shape.tokens);
        let Some(starts) = self.starts.get(self.done * b..(self.done + 1) * b) else {
            return Err(llm_core::Error::input("steps", "the run is over").into());
        };
        let (model, text) = (&self.model, &self.text[0]);
        self.stepper
            .step(1, |_| Self::loss(model, text, starts, t))?;
        self.done += 1;
        Ok(())
    }

    fn score(&mut self) -> Result<Option<f64>> {
        let t = self.shape.tokens;
        let blocks = self.text[1].len().saturating_sub(1) / t;
        let starts: Vec<usize> = (0..blocks).map(|block| block * t).collect();
        let mut sum = 0.0;
        for starts in starts.chunks(BLOCKS_AT_ONCE) {
            let loss = Self::loss(&self.model, &self.text[1], starts, t)?;
            sum += f64::from(loss.to_scalar::<f32>()?) * starts.len() as f64;
        }
        Ok((blocks > 0).then(|| sum / blocks as f64))
    }
}
