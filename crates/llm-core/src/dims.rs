//! The axis letters of the whole project.
//!
//! | letter | axis |
//! |---|---|
//! | B | batch |
//! | T | tokens of this pass (queries) |
//! | S | tokens that can be read (keys: cached and new) |
//! | C | channels, Hugging Face's `hidden_size` |
//! | F | feed-forward width, `intermediate_size` |
//! | H | query heads |
//! | K | key-value heads |
//! | D | head size |
//! | V | vocabulary |
//! | L | layers |
//! | R | LoRA rank |

use candle_core::Tensor;

use crate::{Error, Result};

/// Fails unless `tensor` has exactly `shape`; the error names the tensor and both shapes.
pub fn expect_shape(name: &str, tensor: &Tensor, shape: &[usize]) -> Result<()> {
    if tensor.dims() == shape {
        return Ok(());
    }
    Err(Error::tensor(
        name,
        format!("has shape {:?}, expected {shape:?}", tensor.dims()),
    ))
}
