//! Low-rank adapters (Hu et al. 2021): `W' = W + (α / R) · B A`.
//!
//! [`attach`] wraps the projections whose last name is a target; the base stays frozen and B
//! starts at zero, so that an untrained adapter changes nothing. Names are PEFT's. Two options change
//! the arithmetic: `use_rslora` the scale, `use_dora` what is trained beside A and B, see [`Dora`].

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};

use crate::model::Decoder;
use crate::nn::{Dora, LoraLinear, Proj, lengths};
use crate::params::Parameters;
use crate::rng::{Purpose, stream, uniform};
use crate::{Error, Result};

/// The settings of an adapter, in PEFT's words.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// R
    pub r: usize,
    /// α: the update is scaled by α / R, or α / √R with rank-stabilized scaling.
    pub lora_alpha: f64,
    /// Dropout on the adapter's input.
    pub lora_dropout: f64,
    /// Last names of the projections that get an adapter, or full names.
    pub target_modules: Vec<String>,
    /// Scale by α / √R (Kalajdzievski 2023).
    pub use_rslora: bool,
    /// Train the lengths of the weights' rows apart from their directions (Liu et al. 2024).
    pub use_dora: bool,
}

impl LoraConfig {
    /// The factor on `B A`.
    pub fn scale(&self) -> f64 {
        let r = self.r as f64;
        self.lora_alpha / if self.use_rslora { r.sqrt() } else { r }
    }

    /// Fails on settings that cannot be.
    ///
    /// # Errors
    /// The first key that is out of range.
    pub fn validate(&self) -> Result<()> {
        if self.r == 0 || self.r > 1 << 16 {
            return Err(Error::config(
                "r",
                format!("is {}, expected 1..=65536", self.r),
            ));
        }
        if !self.lora_alpha.is_finite() {
            return Err(Error::config("lora_alpha", "is not a finite number"));
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            let problem = format!("is {}, expected 0 <= p < 1", self.lora_dropout);
            return Err(Error::config("lora_dropout", problem));
        }
        if self.target_modules.is_empty() {
            return Err(Error::config(
                "target_modules",
                "is empty, expected a projection's name",
            ));
        }
        Ok(())
    }

    fn targets(&self, module: &str) -> bool {
        let named = |target: &String| {
            module == target
                || module
                    .strip_suffix(target.as_str())
                    .is_some_and(|p| p.ends_with('.'))
        };
        self.target_modules.iter().any(named)
    }
}

/// PEFT's name for a matrix of the adapter on `module`; `which` is `A` or `B`.
fn peft_name(module: &str, which: char) -> String {
    format!("base_model.model.{module}.lora_{which}.weight")
}

/// PEFT's name for the lengths of DoRA on `module`.
fn magnitude_name(module: &str) -> String {
    format!("base_model.model.{module}.lora_magnitude_vector")
}

/// Gives every target projection a fresh adapter and returns its tensors, `A [R, I]` drawn from
/// `seed` as PEFT draws it (Kaiming uniform with a = √5: U(±1/√I)), `B [O, R]` zero, and with DoRA
/// the magnitudes `[O]`, the lengths of the weight's rows.
///
/// # Errors
/// Invalid settings, a target that no projection has, or an adapter that is already there.
pub fn attach(model: &mut Decoder, config: &LoraConfig, seed: u64) -> Result<Parameters> {
    config.validate()?;
    let mut known: Vec<String> = model.projections_mut().map(|(name, _)| name).collect();
    for target in &config.target_modules {
        let one = LoraConfig {
            target_modules: vec![target.clone()],
            ..config.clone()
        };
        if !known.iter().any(|module| one.targets(module)) {
            known = known
                .iter()
                .filter_map(|m| m.rsplit('.').next())
                .map(String::from)
                .collect();
            known.sort();
            known.dedup();
            let problem = format!("names `{target}`, expected one of {}", known.join(", "));
            return Err(Error::config("target_modules", problem));
        }
    }
    let (dtype, device) = (model.dtype(), model.device().clone());
    let mut rng = stream(seed, Purpose::Lora);
    let mut parameters = Parameters::default();
    for (module, projection) in model.projections_mut() {
        if !config.targets(&module) {
            continue;
        }
        let Proj::Dense(base) = projection else {
            return Err(Error::tensor(module, "already has an adapter"));
        };
        let (outputs, inputs) = base.weight().dims2()?;
        let bound = 1.0 / (inputs as f64).sqrt();
        let a = uniform(&mut rng, bound, &[config.r, inputs], dtype)?.to_device(&device)?;
        let a = Var::from_tensor(&a)?;
        let b = Var::zeros((outputs, config.r), dtype, &device)?;
        let dora = match config.use_dora {
            true => {
                let magnitude = Var::from_tensor(&lengths(base, dtype)?)?;
                let dora = Dora::new(base, magnitude.as_tensor().clone())?;
                parameters.insert(magnitude_name(&module), magnitude);
                Some(dora)
            }
            false => None,
        };
        *projection = Proj::Lora(LoraLinear {
            base: base.clone(),
            a: a.as_tensor().clone(),
            b: b.as_tensor().clone(),
            scale: config.scale(),
            dropout: config.lora_dropout,
            dora,
        });
        parameters.insert(peft_name(&module, 'A'), a);
        parameters.insert(peft_name(&module, 'B'), b);
    }
    Ok(parameters)
}

/// Removes all adapters; the base weights are as they were.
pub fn detach(model: &mut Decoder) {
    for (_module, projection) in model.projections_mut() {
        if let Proj::Lora(lora) = projection {
            *projection = Proj::Dense(lora.base.clone());
        }
    }
}

/// What a merge added to each weight, to take it away again.
#[derive(Debug)]
pub struct Merged {
    adapters: BTreeMap<String, LoraLinear>,
}

/// Adds every adapter into its base weight and removes it, so that the model runs at the base's
/// speed and saves as a plain checkpoint. A weight in bf16 stays bf16: the sum is rounded, and
/// with it what the adapter learnt below three digits of the weight.
///
/// # Errors
/// A tensor error; the model is unchanged then.
pub fn merge(model: &mut Decoder) -> Result<Merged> {
    let mut weights = BTreeMap::new();
    let mut adapters = BTreeMap::new();
    for (module, projection) in model.projections_mut() {
        if let Proj::Lora(lora) = projection {
            weights.insert(module.clone(), lora.merged_weight()?);
            adapters.insert(module, lora.clone());
        }
    }
    model.set_weights(weights);
    detach(model);
    Ok(Merged { adapters })
}

/// Takes a merge back: subtracts what it added, lengths undone first, and attaches the adapters
/// again.
///
/// The weights come back to within rounding of one addition; a model that must be exact is
/// loaded again.
///
/// # Errors
/// A tensor error; the model is unchanged then.
pub fn unmerge(model: &mut Decoder, merged: Merged) -> Result<()> {
    let mut weights = BTreeMap::new();
    for (module, projection) in model.projections_mut() {
        if let Some(lora) = merged.adapters.get(&module) {
            let weight = lora.unmerged_weight(projection.base().weight())?;
            weights.insert(module, weight);
        }
    }
    model.set_weights(weights);
    for (module, projection) in model.projections_mut() {
        if let Some(lora) = merged.adapters.get(&module) {
            let base = projection.base().clone();
            let magnitude = lora.dora.as_ref().map(|dora| dora.magnitude.clone());
            let dora = magnitude.map(|m| Dora::new(&base, m)).transpose()?;
            *projection = Proj::Lora(LoraLinear {
                base,
                dora,
                ..lora.clone()
            });
        }
    }
    Ok(())
}

/// The adapter's tensors as PEFT stores them: contiguous, in `dtype`, on the CPU.
///
/// # Errors
/// A conversion that fails.
pub fn adapter_tensors(parameters: &Parameters, dtype: DType) -> Result<BTreeMap<String, Tensor>> {
    let convert = |(name, var): (&str, &Var)| {
        let tensor = var
            .as_detached_tensor()
            .to_device(&Device::Cpu)?
            .to_dtype(dtype)?;
        Ok((name.to_string(), tensor.contiguous()?))
    };
    parameters.iter().map(convert).collect()
}
