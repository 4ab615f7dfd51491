//! Reading the fixtures that `tools/oracle/{logits,lora}.py` wrote, and comparing with them.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use llm_core::config::ModelConfig;
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::{Mode, Parameters};
use serde::Deserialize;

use crate::formula;

/// f32 logits of size O(1..10) against transformers in f32: both sides round, up to 1e-5 each.
pub(crate) const F32_LOGITS: f64 = 2e-5;
/// f64 logits against transformers in f64 throughout.
pub(crate) const F64_LOGITS: f64 = 1e-9;

/// An adapter of a case.
#[derive(Debug, Deserialize)]
pub(crate) struct Adapter {
    pub(crate) r: usize,
    pub(crate) lora_alpha: f64,
    pub(crate) target_modules: Vec<String>,
    #[serde(default)]
    pub(crate) use_rslora: bool,
    #[serde(default)]
    pub(crate) use_dora: bool,
}

/// One line of a `cases.jsonl`.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) config: serde_json::Value,
    pub(crate) ids: Vec<u32>,
    /// The rows of the logits that the fixture keeps.
    pub(crate) positions: Vec<u32>,
    /// Shapes by name; `*` stands for every layer.
    tensors: BTreeMap<String, Vec<usize>>,
    pub(crate) lora: Option<Adapter>,
    /// Adapted modules with their input and output width.
    #[serde(default)]
    pub(crate) adapted: BTreeMap<String, [usize; 2]>,
    /// Adapted modules whose output and merged weight the fixture holds.
    #[serde(default)]
    pub(crate) checked: Vec<String>,
}

impl Case {
    /// The case's `config.json`, read by us.
    pub(crate) fn model_config(&self) -> ModelConfig {
        ModelConfig::from_json(&self.config.to_string())
            .unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    /// The checkpoint: every tensor by formula, in the layout of the file.
    pub(crate) fn tensors(&self) -> BTreeMap<String, Tensor> {
        let layers = self.model_config().num_hidden_layers;
        let mut tensors = BTreeMap::new();
        for (pattern, shape) in &self.tensors {
            let repeats = if pattern.contains('*') { layers } else { 1 };
            for layer in 0..repeats {
                let name = pattern.replace('*', &layer.to_string());
                let tensor = formula::weight(self.seed, &name, shape);
                tensors.insert(name, tensor);
            }
        }
        tensors
    }

    /// The model with the case's own config and weights.
    pub(crate) fn model(&self, dtype: DType) -> Decoder {
        load(&self.model_config(), self.tensors(), Mode::Frozen, dtype).0
    }

    /// Logits of the kept rows.
    pub(crate) fn logits(&self, model: &Decoder, ops: Ops) -> Tensor {
        let all = model
            .forward(&row(&self.ids), &Pass::eval(ops))
            .unwrap()
            .squeeze(0)
            .unwrap();
        let positions = Tensor::new(self.positions.as_slice(), &Device::Cpu).unwrap();
        all.index_select(&positions, 0).unwrap()
    }
}

/// A decoder with `tensors`, or a panic with the reason.
pub(crate) fn load(
    config: &ModelConfig,
    tensors: BTreeMap<String, Tensor>,
    mode: Mode,
    dtype: DType,
) -> (Decoder, Parameters) {
    Decoder::load(config, tensors, mode, dtype, &Device::Cpu).unwrap()
}

/// `ids` as a batch of one.
///
/// # Shapes
/// `[1, T]` of u32.
pub(crate) fn row(ids: &[u32]) -> Tensor {
    Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu).unwrap()
}

/// The cases and expected tensors of a fixtures folder.
pub(crate) fn read(folder: &str) -> (Vec<Case>, HashMap<String, Tensor>) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(folder);
    let lines = std::fs::read_to_string(root.join("cases.jsonl")).unwrap();
    let cases = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let tensors =
        candle_core::safetensors::load(root.join("expected.safetensors"), &Device::Cpu).unwrap();
    (cases, tensors)
}

/// The largest absolute difference and its row-major index. NaN counts as infinite.
pub(crate) fn largest_difference(got: &Tensor, want: &Tensor) -> (f64, usize) {
    assert_eq!(got.dims(), want.dims());
    let values = |t: &Tensor| {
        t.to_dtype(DType::F64)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f64>()
            .unwrap()
    };
    let mut worst = (0.0, 0);
    for (i, (a, b)) in values(got).into_iter().zip(values(want)).enumerate() {
        let difference = (a - b).abs();
        let difference = if difference.is_nan() {
            f64::INFINITY
        } else {
            difference
        };
        if difference > worst.0 {
            worst = (difference, i);
        }
    }
    worst
}

/// The largest absolute value.
pub(crate) fn largest(tensor: &Tensor) -> f64 {
    largest_difference(tensor, &tensor.zeros_like().unwrap()).0
}

/// Fails when the largest difference is above `tolerance`; returns it.
pub(crate) fn assert_close(what: &str, got: &Tensor, want: &Tensor, tolerance: f64) -> f64 {
    let (difference, index) = largest_difference(got, want);
    assert!(
        difference <= tolerance,
        "{what}: largest difference {difference:.2e} at index {index} of {:?}, tolerance {tolerance:.0e}",
        got.dims(),
    );
    difference
}
