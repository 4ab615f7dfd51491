//! What a model is made of, on paper: names, shapes and counts, without a byte of weights.

use candle_core::{DType, Device};

use super::Decoder;
use crate::Result;
use crate::config::ModelConfig;
use crate::params::Weights;

/// One tensor of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    /// Its name in the file.
    pub name: String,
    /// Its shape in the file.
    pub shape: Vec<usize>,
}

impl TensorShape {
    /// The number of scalars.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Every tensor that a checkpoint of `config` holds, in the order in which the model reads them.
///
/// The decoder itself is built over shapes alone, so this list cannot differ from what loads.
///
/// ```
/// use llm_core::{config::ModelConfig, model::tensor_shapes};
/// let gpt2 = ModelConfig::from_json(
///     r#"{"model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024, "n_embd": 768,
///         "n_layer": 12, "n_head": 12}"#,
/// )?;
/// let count: usize = tensor_shapes(&gpt2)?.iter().map(|row| row.count()).sum();
/// assert_eq!(count, 124_439_808);
/// # Ok::<(), llm_core::Error>(())
/// ```
///
/// # Errors
/// An invalid config.
pub fn tensor_shapes(config: &ModelConfig) -> Result<Vec<TensorShape>> {
    config.validate()?;
    let mut weights = Weights::shapes();
    Decoder::build(config, &mut weights, DType::F32, &Device::Cpu)?;
    let rows = weights.into_shapes().into_iter();
    Ok(rows
        .map(|(name, shape)| TensorShape { name, shape })
        .collect())
}
