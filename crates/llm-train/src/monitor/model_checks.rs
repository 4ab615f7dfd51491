//! Checks of what is trained and how losses add up.

use std::collections::BTreeSet;

use candle_core::DType;
use llm_core::nn::Pass;
use llm_core::ops::{Ops, Products};

use super::checks::{Found, fault};
use super::sabotage::Fault;
use super::template::Form;
use crate::Result;
use crate::audit::with_stand_ins;
use crate::batch::{Batch, collate};
use crate::config::Trained;
use crate::evaluate::{example_losses, mean_loss};
use crate::labels::Example;
use crate::model::LanguageModel;
use crate::prompt::Codec;
use crate::session::Session;
use crate::step::scalar;

/// Largest relative difference of two means of the same losses, f32 on a CPU, where a row's bits do
/// not depend on its neighbours: another order of a few terms.
const SAME_SUM: f64 = 2e-5;
/// As [`SAME_SUM`] on other devices and where products round to 16 bits.
const SAME_SUM_HALF: f64 = 2e-2;

/// Everything that the settings train is among the parameters.
pub(super) fn all_is_trained(session: &Session) -> Result<Found> {
    let missing = match session.config.trained() {
        Trained::Adapter => missing_adapters(session),
        Trained::Prompt => {
            let name = llm_core::soft_prompt::NAME;
            let found = session.parameters.get(name).is_some();
            (!found).then(|| name.to_owned())
        }
        Trained::All => {
            let all = session.model.named_tensors()?;
            let missing = all
                .keys()
                .find(|name| session.parameters.get(name).is_none());
            missing.cloned()
        }
    };
    Ok(match missing {
        None => Found::Sound,
        Some(name) => fault(
            Fault::FrozenWeight,
            format!("`{name}` is not among what is trained"),
        ),
    })
}

/// The first half of an adapter that is missing. Each layer has the same targets, so a name of one
/// layer has to stand in all.
fn missing_adapters(session: &Session) -> Option<String> {
    let names: BTreeSet<&str> = session.parameters.iter().map(|(name, _)| name).collect();
    let layers = session.model.config().num_hidden_layers;
    for name in &names {
        let other = if name.contains(".lora_A.") {
            name.replace(".lora_A.", ".lora_B.")
        } else {
            name.replace(".lora_B.", ".lora_A.")
        };
        if !names.contains(other.as_str()) {
            return Some(other);
        }
        let mut parts = (0..layers).map(|layer| format!(".{layer}."));
        let Some(own) = parts.find(|part| name.contains(part.as_str())) else {
            continue;
        };
        let mut others = (0..layers).map(|layer| name.replace(&own, &format!(".{layer}.")));
        if let Some(missing) = others.find(|other| !names.contains(other.as_str())) {
            return Some(missing);
        }
    }
    let target = |target: &&String| !names.iter().any(|name| name.contains(target.as_str()));
    session
        .config
        .lora_target_modules
        .iter()
        .find(target)
        .cloned()
}

/// One half of each adapter is not zero, or neither would ever get a gradient.
pub(super) fn adapters_can_start(session: &Session) -> Result<Found> {
    if !session.config.trains_adapter() {
        return Ok(Found::NotHere("no adapter"));
    }
    for (name, a) in session
        .parameters
        .iter()
        .filter(|(name, _)| name.contains(".lora_A."))
    {
        let b = session
            .parameters
            .get(&name.replace(".lora_A.", ".lora_B."));
        let zero = |var: &candle_core::Var| -> Result<bool> {
            Ok(scalar(&var.as_tensor().to_dtype(DType::F64)?.abs()?.sum_all()?)? == 0.0)
        };
        if zero(a)? && b.map_or(Ok(true), zero)? {
            let problem = format!("`{name}` and its partner are both zero, and stay it");
            return Ok(fault(Fault::ZeroAdapter, problem));
        }
    }
    Ok(Found::Sound)
}

/// Only matrices decay.
pub(super) fn vectors_do_not_decay(session: &Session) -> Found {
    let decays = |(name, var): &(&str, &candle_core::Var)| {
        var.dims().len() < 2 && session.decays(name, var.dims())
    };
    match session.parameters.iter().find(decays) {
        Some((name, _)) if session.config.weight_decay > 0.0 => {
            let problem = format!("`{name}` decays, expected matrices only");
            fault(Fault::DecayEverything, problem)
        }
        _ => Found::Sound,
    }
}

/// Prompts are written as the tokenizer's folder says.
pub(super) fn form_is_the_folders(session: &Session) -> Result<Found> {
    let style = session.config.prompt_format;
    let folder = Codec::open(&session.tokenizer_folder, style)?;
    let difference = Form::of(&session.codec)?.difference(&Form::of(&folder)?);
    Ok(match difference {
        None => Found::Sound,
        Some(difference) => {
            let problem = format!("training and the tokenizer's folder write {difference}");
            fault(Fault::TemplateDiffers, problem)
        }
    })
}

/// The loss of a few rows, each way in which it is computed.
struct Losses {
    /// In training without dropout, as one batch.
    together: f64,
    /// The same in micro-batches of one row.
    apart: f64,
    /// When measuring, row by row.
    alone: f64,
    /// When measuring, in one batch.
    beside: f64,
}

/// The loss of a few rows is the same in one batch, in micro-batches and by row, without dropout.
/// Adapters start with B = 0, behind which dropout would hide, so zeros get stand-ins meanwhile.
pub(super) fn losses_add_up(session: &Session) -> Result<[Found; 2]> {
    let seed = session.config.seed;
    let losses = with_stand_ins(&session.parameters, seed, || few_losses(session))?;
    let Losses {
        together,
        apart,
        alone,
        beside,
    } = losses;
    let exact = matches!(session.model.dtype(), DType::F32 | DType::F64)
        && session.model.products() == Products::Exact
        && session.device().is_cpu();
    let tolerance = if exact { SAME_SUM } else { SAME_SUM_HALF };
    let near = |a: f64, b: f64| (a - b).abs() <= tolerance * a.abs().max(1.0);
    let adds_up = near(together, apart);
    let sums = if adds_up {
        Found::Sound
    } else {
        let problem = format!(
            "the same rows have the loss {together:.6} as one batch and {apart:.6} as micro-batches"
        );
        fault(Fault::LossNotNormalised, problem)
    };
    let dropout = if near(alone, beside) && (near(alone, together) || !adds_up) {
        Found::Sound
    } else {
        let problem = format!(
            "the same rows have the loss {alone:.6} one by one and {beside:.6} in a batch, and \
             {together:.6} in training without dropout"
        );
        fault(Fault::DropoutInEvaluation, problem)
    };
    Ok([sums, dropout])
}

fn few_losses(session: &Session) -> Result<Losses> {
    let model = session.planted();
    let rows = session.audit_rows();
    let (pad, device) = (session.codec.pad(), session.device());
    let all: Vec<&Example> = rows.iter().collect();
    let whole = collate(&all, pad, device)?;
    let scale = 1.0 / whole.supervised.max(1) as f64;
    let loss = |batch: &Batch| -> Result<f64> {
        let pass = Pass::eval(Ops::for_device(device));
        scalar(&model.loss(batch, &pass, scale)?)
    };
    let mut apart = 0.0;
    for row in &all {
        let alone = collate(&[row], pad, device)?;
        apart += loss(&alone)?;
    }
    let measured = |batch_size| -> Result<f64> {
        let parts = example_losses(&model, &rows, batch_size, pad, device)?;
        Ok(mean_loss(&parts))
    };
    Ok(Losses {
        together: loss(&whole)?,
        apart,
        alone: measured(1)?,
        beside: measured(rows.len())?,
    })
}
