//! Planted faults: what goes wrong in practice, on purpose.
//!
//! Each fault is one that trains without a crash and gives a worse model, or one of the ordinary
//! troubles of training. `deeper train --sabotage FAULT` plants it; a check, a warning or the
//! diagnosis has to call it by its name. Tests plant them all.

use std::str::FromStr;

use candle_core::{Tensor, Var};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::{IGNORE_INDEX, OfLogProbs, Ops};
use llm_core::params::Parameters;
use llm_core::rng::{Purpose, stream};
use rand::Rng;

use crate::batch::Batch;
use crate::batching::Plan;
use crate::config::Method;
use crate::dataset::Dataset;
use crate::labels::Example;
use crate::model::LanguageModel;
use crate::optimizer::decays;
use crate::prompt::PromptFormat;
use crate::session::Session;
use crate::{Error, Result};

/// Rows that a planted overfit keeps.
const FEW_ROWS: usize = 4;
/// One row in so many is spoilt by [`Fault::BadRows`].
const BAD_EVERY: usize = 256;
/// Pad tokens that are planted behind each row.
const PADS: usize = 2;

/// A fault that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A key that no setting has.
    UnknownKey,
    /// The optimizer holds a copy of a tensor that the model does not use.
    DetachedParameter,
    /// A tied weight gets a part of its gradient.
    PartialGradient,
    /// A tensor that should train is left out.
    FrozenWeight,
    /// Both halves of an adapter start at zero.
    ZeroAdapter,
    /// The prompt counts in the loss.
    PromptSupervised,
    /// The token that ends an answer does not count.
    EosUnsupervised,
    /// Padding counts in the loss.
    PadSupervised,
    /// Labels stand one position too early.
    LabelsShifted,
    /// Every batch is the same.
    ConstantBatches,
    /// Held-out rows are also trained on.
    LeakingSplit,
    /// Training writes prompts in another form than the model folder's.
    TemplateDiffers,
    /// Accumulated losses are not divided by the whole window.
    LossNotNormalised,
    /// Dropout is on while the model is measured.
    DropoutInEvaluation,
    /// Norms and biases decay too.
    DecayEverything,
    /// A learning rate that throws the weights about.
    LrTooHigh,
    /// A learning rate that changes nothing.
    LrTooLow,
    /// A few rows of noise.
    BadRows,
    /// A few rows, many epochs.
    Overfit,
    /// Input that keeps the run waiting.
    SlowInput,
    /// A limit on memory that the run has reached already.
    OutOfMemory,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::UnknownKey,
        Self::DetachedParameter,
        Self::PartialGradient,
        Self::FrozenWeight,
        Self::ZeroAdapter,
        Self::PromptSupervised,
        Self::EosUnsupervised,
        Self::PadSupervised,
        Self::LabelsShifted,
        Self::ConstantBatches,
        Self::LeakingSplit,
        Self::TemplateDiffers,
        Self::LossNotNormalised,
        Self::DropoutInEvaluation,
        Self::DecayEverything,
        Self::LrTooHigh,
        Self::LrTooLow,
        Self::BadRows,
        Self::Overfit,
        Self::SlowInput,
        Self::OutOfMemory,
    ];

    /// Its name, in checks and diagnoses too.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown-key",
            Self::DetachedParameter => "detached-parameter",
            Self::PartialGradient => "partial-gradient",
            Self::FrozenWeight => "frozen-weight",
            Self::ZeroAdapter => "zero-adapter",
            Self::PromptSupervised => "prompt-supervised",
            Self::EosUnsupervised => "eos-unsupervised",
            Self::PadSupervised => "pad-supervised",
            Self::LabelsShifted => "labels-shifted",
            Self::ConstantBatches => "constant-batches",
            Self::LeakingSplit => "leaking-split",
            Self::TemplateDiffers => super::template::CHECK,
            Self::LossNotNormalised => "loss-not-normalised",
            Self::DropoutInEvaluation => "dropout-in-evaluation",
            Self::DecayEverything => "decay-everything",
            Self::LrTooHigh => "lr-too-high",
            Self::LrTooLow => "lr-too-low",
            Self::BadRows => "bad-rows",
            Self::Overfit => "overfit",
            Self::SlowInput => "slow-input",
            Self::OutOfMemory => "out-of-memory",
        }
    }

    /// Settings that belong to the fault, as `key=value`, to be applied after all others.
    pub fn overrides(self) -> &'static [&'static str] {
        match self {
            Self::UnknownKey => &["learning_rte=1e-4"],
            Self::LossNotNormalised => &["gradient_accumulation_steps=2"],
            Self::DropoutInEvaluation => &["method=lora", "lora_dropout=0.1"],
            Self::DecayEverything => &["method=full", "weight_decay=0.1"],
            Self::LrTooHigh => &["lr=1000", "max_grad_norm=0", "warmup_ratio=0"],
            Self::LrTooLow => &["lr=1e-12"],
            Self::Overfit => &[
                "epochs=60",
                "eval_steps=5",
                "weight_decay=0",
                "lora_dropout=0",
            ],
            Self::ZeroAdapter => &["method=lora"],
            _ => &[],
        }
    }
}

impl FromStr for Fault {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::input(
                format!("fault `{name}`"),
                format!("expected one of {names}"),
            )
        })
    }
}

/// Plants `fault` in a session that is open and has not trained.
///
/// # Errors
/// A session that the fault does not fit, with what it needs.
pub fn plant(session: &mut Session, fault: Fault) -> Result<()> {
    let known = matches!(session.config.method, Method::Lora | Method::Full);
    if !known && fault != Fault::UnknownKey {
        let problem = "is not lora or full, whose runs faults are planted in";
        return Err(Error::input("sabotage: `method`", problem));
    }
    session.monitor.fault = Some(fault);
    match fault {
        Fault::DetachedParameter => detach(session)?,
        Fault::FrozenWeight => {
            let all: Vec<(String, Var)> = session
                .parameters
                .iter()
                .map(|(name, var)| (name.to_owned(), var.clone()))
                .collect();
            let mut kept = Parameters::default();
            for (name, var) in all.into_iter().skip(1) {
                kept.insert(name, var);
            }
            session.parameters = kept;
        }
        Fault::ZeroAdapter => {
            for (name, var) in session.parameters.iter() {
                if name.contains("lora_A") {
                    var.set(&var.as_tensor().zeros_like()?.detach())?;
                }
            }
        }
        Fault::ConstantBatches => {
            let train = &mut session.dataset.train;
            let first = train.first().cloned();
            train
                .iter_mut()
                .zip(first.iter().cycle())
                .for_each(|(row, first)| row.clone_from(first));
        }
        Fault::LeakingSplit => {
            let leaked: Vec<Example> = session.dataset.train.iter().take(3).cloned().collect();
            session.dataset.validation.extend(leaked);
        }
        Fault::TemplateDiffers => {
            if matches!(session.codec.format, PromptFormat::Plain) {
                let problem = "has no chat template, expected one to train beside";
                return Err(Error::input(
                    "sabotage `template-differs`: the model",
                    problem,
                ));
            }
            session.codec.format = PromptFormat::Plain;
            session.dataset = Dataset::read(&session.config, &session.codec)?;
        }
        Fault::BadRows => spoil(session),
        Fault::Overfit => session.dataset.train.truncate(FEW_ROWS),
        _ => relabel(session, fault),
    }
    let batches = session.config.batches();
    session.dataset.plan = Plan::new(batches, &session.dataset.train);
    Ok(())
}

fn detach(session: &mut Session) -> Result<()> {
    let first = session.parameters.iter().next();
    if let Some((name, var)) = first.map(|(name, var)| (name.to_owned(), var.clone())) {
        let copy = Var::from_tensor(&var.as_tensor().copy()?.detach())?;
        session.parameters.insert(name, copy);
    }
    Ok(())
}

/// Gives some rows random tokens, all of which count.
fn spoil(session: &mut Session) {
    let mut rng = stream(session.config.seed, Purpose::Demo);
    let most = session.model.config().vocab_size.max(1) as u32;
    for example in session.dataset.train.iter_mut().skip(1).step_by(BAD_EVERY) {
        for id in &mut example.ids {
            *id = rng.random_range(0..most);
        }
        example.labels = example.ids.iter().map(|&id| i64::from(id)).collect();
    }
}

/// Plants a fault of labels in every row.
fn relabel(session: &mut Session, fault: Fault) {
    let (pad, most) = (session.codec.pad(), session.config.max_length);
    let dataset = &mut session.dataset;
    for example in dataset.train.iter_mut().chain(&mut dataset.validation) {
        let Example { ids, labels, .. } = example;
        match fault {
            Fault::PromptSupervised => {
                let prompt = labels
                    .iter_mut()
                    .zip(ids)
                    .take_while(|(l, _)| **l == IGNORE_INDEX);
                prompt.for_each(|(label, id)| *label = i64::from(*id));
            }
            Fault::EosUnsupervised => {
                let last = labels
                    .iter_mut()
                    .rev()
                    .find(|label| **label != IGNORE_INDEX);
                last.into_iter().for_each(|label| *label = IGNORE_INDEX);
            }
            Fault::PadSupervised if ids.len() + PADS <= most => {
                ids.extend([pad; PADS]);
                labels.extend([i64::from(pad); PADS]);
            }
            Fault::LabelsShifted => {
                labels.rotate_left(1);
                labels.pop();
                labels.push(IGNORE_INDEX);
            }
            _ => {}
        }
    }
}

/// A session's model with the faults of its arithmetic, if any are planted.
#[derive(Clone, Debug)]
pub struct Planted<'a> {
    model: &'a Decoder,
    fault: Option<Fault>,
    seed: u64,
    /// The tensor that loses a part of its gradient.
    partial: Option<&'a Var>,
}

impl Session {
    /// The model as this session trains it: sound, unless a fault is planted.
    pub fn planted(&self) -> Planted<'_> {
        let tied =
            |name: &str| name.ends_with("embed_tokens.weight") || name.ends_with("wte.weight");
        let found = self.parameters.iter().find(|(name, _)| tied(name));
        Planted {
            model: &self.model,
            fault: self.monitor.fault,
            seed: self.config.seed,
            partial: found
                .or_else(|| self.parameters.iter().next())
                .map(|(_, var)| var),
        }
    }

    /// Whether a tensor decays in this session: as [`decays`] says, unless a fault is planted.
    pub(crate) fn decays(&self, name: &str, shape: &[usize]) -> bool {
        self.monitor.fault == Some(Fault::DecayEverything)
            || decays(name, shape, self.config.decay_embeddings)
    }
}

impl LanguageModel for Planted<'_> {
    fn next_token_logits(&self, ids: &Tensor, pass: &Pass) -> llm_core::Result<Tensor> {
        match self.fault {
            Some(Fault::DropoutInEvaluation) => {
                // Another mask for each size of a batch.
                let size = ids.elem_count() as u64;
                let pass = Pass::train(pass.ops, self.seed.wrapping_add(size));
                self.model.next_token_logits(ids, &pass)
            }
            _ => self.model.next_token_logits(ids, pass),
        }
    }

    fn loss(&self, batch: &Batch, pass: &Pass, scale: f64) -> llm_core::Result<Tensor> {
        match self.fault {
            Some(Fault::LossNotNormalised) => {
                self.model
                    .loss(batch, pass, 1.0 / batch.supervised.max(1) as f64)
            }
            Some(Fault::PartialGradient) if pass.ops != Ops::Composed => {
                let loss = self.model.loss(batch, pass, scale)?;
                self.partial
                    .map_or(Ok(loss.clone()), |var| halved(&loss, var))
            }
            _ => self.model.loss(batch, pass, scale),
        }
    }

    fn log_probs(
        &self,
        batch: &Batch,
        temperature: f64,
        pass: &Pass,
    ) -> llm_core::Result<Vec<f64>> {
        LanguageModel::log_probs(self.model, batch, temperature, pass)
    }

    fn log_prob_loss(
        &self,
        batch: &Batch,
        temperature: f64,
        pass: &Pass,
        loss: &mut OfLogProbs,
    ) -> llm_core::Result<Tensor> {
        LanguageModel::log_prob_loss(self.model, batch, temperature, pass, loss)
    }
}

/// `loss` with its value and half of its gradient with respect to `var`.
fn halved(loss: &Tensor, var: &Var) -> llm_core::Result<Tensor> {
    let Some(gradient) = loss.backward()?.remove(var) else {
        return Ok(loss.clone());
    };
    let part = (var.as_tensor() * gradient.detach())?.sum_all()?;
    let part = (part * 0.5)?;
    Ok((loss - (&part - part.detach())?)?)
}
