//! A LoRA adapter's update added into its model: `W' = W + scale · B A`, and with DoRA the rows of
//! that brought to the lengths that it has learnt.
//!
//! One tensor is in memory at a time, so that a model larger than memory can be merged. Everything
//! else of the folder (configuration, tokenizer, chat template, settings of generation, licence)
//! comes along as it is, and `manifest.json` says what the result was made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{DType, Tensor};
use llm_core::config::Family;
use serde_json::{Map, json};

use crate::adapter::{self, Adapter};
use crate::atomic::FolderWriter;
use crate::folder::CONFIG_FILE;
use crate::hash::sha256_file;
use crate::safetensors::Spec;
use crate::save::write_weights_each;
use crate::{Error, ModelFolder, Result, SaveOptions};

/// What a merge did.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// How many weights got an update.
    pub changed: usize,
    /// How many tensors the folder holds.
    pub tensors: usize,
    /// The factor on `B A`.
    pub scale: f64,
    /// The largest change of a number, by the name of its weight.
    pub largest: Option<(String, f64)>,
}

/// The update of one weight.
struct Update<'a> {
    a: &'a Tensor,
    b: &'a Tensor,
    /// DoRA's lengths of the rows `[O]`.
    magnitude: Option<&'a Tensor>,
    scale: f64,
    /// GPT-2 stores its weights as `[in, out]`.
    transposed: bool,
}

/// Writes the folder `out`: `base` with the adapter folder `adapter` merged into it, in the base's
/// types. `progress` hears how many tensors are done, of how many.
///
/// # Errors
/// An adapter that is malformed or for another model, a base tensor that cannot take an update, a
/// result that is not finite, or `out` exists or cannot be written; nothing stands there then.
pub fn merge(
    base: &ModelFolder,
    adapter: &Path,
    out: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Merged> {
    let read = adapter::read(adapter)?;
    let updates = updates(base, adapter, &read)?;
    let writer = FolderWriter::create(out, false)?;
    let stored = |(name, info): (&str, &crate::safetensors::TensorInfo)| Spec {
        name: name.to_owned(),
        dtype: info.dtype,
        shape: info.shape.clone(),
    };
    let specs: Vec<Spec> = base.infos().map(stored).collect();
    let mut merged = Merged {
        changed: updates.len(),
        tensors: specs.len(),
        scale: read.config.lora.scale(),
        largest: None,
    };
    let mut done = 0;
    let shard = SaveOptions::default().max_shard_bytes;
    write_weights_each(&writer, out, &specs, shard, &mut |spec| {
        let tensor = base.tensor(&spec.name)?;
        done += 1;
        progress(done, specs.len() as u64);
        let Some(update) = updates.get(&spec.name) else {
            return Ok(tensor);
        };
        let (changed, most) = update
            .added_to(&tensor)
            .map_err(Error::candle(base.path()))?;
        if !most.is_finite() {
            return Err(Error::tensor(
                out,
                &spec.name,
                "would hold numbers that are not finite",
            ));
        }
        if merged
            .largest
            .as_ref()
            .is_none_or(|(_, largest)| most > *largest)
        {
            merged.largest = Some((spec.name.clone(), most));
        }
        Ok(changed)
    })?;
    writer.copy(&base.path().join(CONFIG_FILE))?;
    for file in base.companions()? {
        writer.copy(&file)?;
    }
    writer.commit_with_manifest(facts(base, adapter, &merged)?)?;
    Ok(merged)
}

/// What the manifest says about where the weights come from.
fn facts(
    base: &ModelFolder,
    adapter: &Path,
    merged: &Merged,
) -> Result<Map<String, serde_json::Value>> {
    let weights = sha256_file(&adapter.join(adapter::WEIGHTS_FILE))?;
    let config = sha256_file(&adapter.join(adapter::CONFIG_FILE))?;
    let names = crate::folder::weight_files(base.path())?;
    let hash = |name: String| {
        let hash = sha256_file(&base.path().join(&name))?;
        Ok((name, json!(hash)))
    };
    let base: Map<String, serde_json::Value> =
        names.into_iter().map(hash).collect::<Result<_>>()?;
    let value = json!({
        "adapter": {adapter::CONFIG_FILE: config, adapter::WEIGHTS_FILE: weights},
        "base": base, "merged": merged.changed, "scale": merged.scale,
    });
    match value {
        serde_json::Value::Object(map) => Ok(map),
        _ => Ok(Map::new()),
    }
}

/// The updates by the name of their weight, each checked against the weight's shape and type.
fn updates<'a>(
    base: &ModelFolder,
    path: &Path,
    adapter: &'a Adapter,
) -> Result<BTreeMap<String, Update<'a>>> {
    let transposed = base.config.family == Family::Gpt2;
    let infos: BTreeMap<&str, _> = base.infos().collect();
    let mut updates = BTreeMap::new();
    let modules: BTreeSet<&str> = adapter.modules();
    for module in modules {
        let bad = |problem: String| Error::tensor(path, module, problem);
        let (Some(a), Some(b)) = adapter.pair(module) else {
            return Err(bad("has not both of lora_A and lora_B".into()));
        };
        let name = format!("{module}.weight");
        let Some(info) = infos.get(name.as_str()) else {
            let tied = if module == "lm_head" && base.config.tie_word_embeddings {
                " (the head is the embedding)"
            } else {
                ""
            };
            return Err(bad(format!(
                "has no weight in {}{tied}",
                base.path().display()
            )));
        };
        let (rows, columns) = (b.dims()[0], a.dims()[1]); // both have two axes, as `read` checks
        let update = if transposed {
            [columns, rows]
        } else {
            [rows, columns]
        };
        if info.shape != update {
            let have = &info.shape;
            return Err(bad(format!(
                "updates {update:?}, the model's weight is {have:?}"
            )));
        }
        let float = [DType::F64, DType::F32, DType::F16, DType::BF16];
        if !info
            .dtype
            .candle()
            .is_some_and(|dtype| float.contains(&dtype))
        {
            let dtype = info.dtype.name();
            return Err(bad(format!(
                "has a base weight in {dtype}, expected a float type"
            )));
        }
        updates.insert(
            name,
            Update {
                a,
                b,
                magnitude: adapter.magnitude(module),
                scale: adapter.config.lora.scale(),
                transposed,
            },
        );
    }
    Ok(updates)
}

impl Update<'_> {
    /// `weight` with the update, in its own type, and the largest change.
    ///
    /// # Shapes
    /// `weight` as stored → the same.
    fn added_to(&self, weight: &Tensor) -> candle_core::Result<(Tensor, f64)> {
        // At least f32: a product of R terms loses more than the sum does
        let wide = match (weight.dtype(), self.a.dtype()) {
            (DType::F64, _) | (_, DType::F64) => DType::F64,
            _ => DType::F32,
        };
        let (a, b) = (self.a.to_dtype(wide)?, self.b.to_dtype(wide)?);
        let delta = (b.matmul(&a)? * self.scale)?;
        let rows = weight.to_dtype(wide)?;
        let rows = if self.transposed { rows.t()? } else { rows };
        let sum = (&rows + &delta)?;
        let (sum, change) = match self.magnitude {
            None => (sum, delta),
            Some(magnitude) => {
                let sum = sum.broadcast_mul(&factors(&sum, magnitude)?)?;
                let change = (&sum - &rows)?;
                (sum, change)
            }
        };
        let most = largest(&change)?;
        let sum = if self.transposed { sum.t()? } else { sum };
        let sum = sum.to_dtype(weight.dtype())?.contiguous()?;
        // Sums that leave the weight's type: their own largest magnitude says so
        let top = largest(&sum.to_dtype(wide)?)?;
        Ok((sum, if top.is_finite() { most } else { top }))
    }
}

/// What brings each row of `sum` to its length.
///
/// # Shapes
/// `sum [O, I]`, `magnitude [O]` → `[O, 1]`.
fn factors(sum: &Tensor, magnitude: &Tensor) -> candle_core::Result<Tensor> {
    let wide = sum.to_dtype(DType::F64)?;
    // A row of zeros has no direction, and stays one.
    let least = f64::from(f32::MIN_POSITIVE);
    let lengths = wide.sqr()?.sum(1)?.maximum(least)?.sqrt()?;
    let factors = (magnitude.to_dtype(DType::F64)? / lengths)?;
    factors.unsqueeze(1)?.to_dtype(sum.dtype())
}

/// The largest magnitude of a number in `tensor`.
fn largest(tensor: &Tensor) -> candle_core::Result<f64> {
    let most = tensor.abs()?.max_all()?;
    most.to_dtype(DType::F64)?.to_scalar::<f64>()
}
