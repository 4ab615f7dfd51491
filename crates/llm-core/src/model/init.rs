//! Random initial weights.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use super::tensor_shapes;
use crate::Result;
use crate::config::{Family, ModelConfig};
use crate::rng::{Purpose, normal, stream};

/// The tensors of an untrained model: matrices from N(0, `initializer_range`²), norms 1, biases 0.
///
/// GPT-2 divides the projections that write into the residual stream by √(2L) (Radford et al.
/// 2019, section 2.3).
pub(super) fn initial_tensors(
    config: &ModelConfig,
    seed: u64,
    dtype: DType,
) -> Result<BTreeMap<String, Tensor>> {
    let mut rng = stream(seed, Purpose::Init);
    let residual_std = config.initializer_range / (2.0 * config.num_hidden_layers as f64).sqrt();
    let mut tensors = BTreeMap::new();
    for row in tensor_shapes(config)? {
        let into_residual = config.family == Family::Gpt2 && row.name.ends_with("c_proj.weight");
        let std = if into_residual {
            residual_std
        } else {
            config.initializer_range
        };
        let shape = row.shape.as_slice();
        let tensor = match (row.name.ends_with(".bias"), shape) {
            (true, _) => Tensor::zeros(shape, dtype, &Device::Cpu)?,
            (false, [_]) => Tensor::ones(shape, dtype, &Device::Cpu)?,
            _ => normal(&mut rng, std, shape, dtype)?,
        };
        tensors.insert(row.name, tensor);
    }
    Ok(tensors)
}
