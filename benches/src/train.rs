//! A training step of a GPT: forward, cross-entropy, backward, clipping, AdamW, in f32.

use candle_core::{DType, Device, Tensor};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::{Mode, Parameters};
use llm_train::optimizer::{AdamW, AdamWConfig, decays};
use llm_train::schedule::{Schedule, ScheduleKind};
use llm_train::step::Stepper;

use crate::{GptShape, Result, Size, Workload, flops};

/// The seed of random weights.
pub(crate) const SEED: u64 = 7;
const LEARNING_RATE: f64 = 1e-4;
const MAX_GRAD_NORM: f64 = 1.0;

/// A rate that does not change.
pub(crate) fn constant_rate() -> Schedule {
    Schedule {
        kind: ScheduleKind::Constant,
        max_lr: LEARNING_RATE,
        min_lr: LEARNING_RATE,
        warmup_steps: 0,
        total_steps: u64::MAX,
    }
}

/// Parameters with their optimizer.
pub(crate) fn stepper(
    parameters: Parameters,
    config: AdamWConfig,
    schedule: Schedule,
    max_grad_norm: Option<f64>,
) -> Result<Stepper> {
    let optimizer = AdamW::new(&parameters, config, |name, shape| decays(name, shape, true))?;
    Ok(Stepper {
        parameters,
        optimizer,
        schedule,
        max_grad_norm,
        scaler: None,
    })
}

/// A model, its optimizer and one batch that is learned again and again.
#[derive(Debug)]
pub struct TrainStep {
    model: Decoder,
    stepper: Stepper,
    ops: Ops,
    /// `[B, T]`
    ids: Tensor,
    /// B · T
    targets: Vec<i64>,
    size: Size,
}

impl TrainStep {
    /// A new model of this shape.
    ///
    /// # Errors
    /// Sizes that do not fit together.
    pub fn new(shape: &GptShape, ops: Ops) -> Result<Self> {
        let config = shape.config()?;
        let (model, parameters) = Decoder::init(&config, SEED, Mode::Trainable, DType::F32)?;
        let (ids, targets) = shape.batch();
        let size = Size {
            tokens: targets.len() as u64,
            flops: flops::train_step(&config, shape.batch, shape.tokens),
            parameters: parameters.count() as u64,
        };
        let adamw = AdamWConfig::default();
        Ok(Self {
            model,
            stepper: stepper(parameters, adamw, constant_rate(), Some(MAX_GRAD_NORM))?,
            ops,
            ids: Tensor::from_vec(ids, (shape.batch, shape.tokens), &Device::Cpu)?,
            targets,
            size,
        })
    }
}

impl Workload for TrainStep {
    fn size(&self) -> Size {
        self.size
    }

    fn run(&mut self) -> Result<()> {
        let Self {
            model,
            ops,
            ids,
            targets,
            ..
        } = self;
        let scale = 1.0 / targets.len() as f64;
        self.stepper.step(1, |_| {
            Ok(model.next_token_loss(ids, targets, scale, &Pass::eval(*ops))?)
        })?;
        Ok(())
    }
}
