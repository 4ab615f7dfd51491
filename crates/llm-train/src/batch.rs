//! Examples → tensors.
//!
//! Rows of a batch are padded on the right to the longest of them. No attention mask is needed: a
//! query reads only keys at or before its own position, padding stands after every real token, so
//! no real token ever reads it; and what the padding positions compute is thrown away, because
//! their targets are [`IGNORE_INDEX`]. A test holds a padded row against the row alone, bit for bit.

use candle_core::{Device, Tensor};
use llm_core::ops::IGNORE_INDEX;

use crate::Result;
use crate::labels::Example;

/// A batch for one forward pass.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[B, T]` u32: tokens read, padded on the right.
    pub ids: Tensor,
    /// `B · T` targets in row-major order: the token that follows each position, or
    /// [`IGNORE_INDEX`] where it does not count.
    pub targets: Vec<i64>,
    /// Targets that count.
    pub supervised: usize,
    /// Tokens that are not padding.
    pub tokens: usize,
}

/// Stacks examples. The token at position t predicts the label at t + 1, so a row of n tokens
/// gives n − 1 positions.
///
/// The pad token's id is never learned and never read by a real token; any id of the vocabulary
/// serves.
///
/// # Shapes
/// Rows of up to n tokens → `ids [B, n − 1]`.
///
/// # Errors
/// What the tensor library reports.
pub fn collate(examples: &[&Example], pad: u32, device: &Device) -> Result<Batch> {
    let longest = examples
        .iter()
        .map(|example| example.ids.len())
        .max()
        .unwrap_or(0);
    let t = longest.saturating_sub(1);
    let mut ids = Vec::with_capacity(examples.len() * t);
    let mut targets = Vec::with_capacity(examples.len() * t);
    let mut tokens = 0;
    for example in examples {
        let n = example.ids.len().saturating_sub(1);
        ids.extend_from_slice(&example.ids[..n]);
        ids.extend(std::iter::repeat_n(pad, t - n));
        targets.extend(example.labels.iter().skip(1));
        targets.extend(std::iter::repeat_n(IGNORE_INDEX, t - n));
        tokens += n;
    }
    let supervised = targets
        .iter()
        .filter(|&&target| target != IGNORE_INDEX)
        .count();
    let ids = Tensor::from_vec(ids, (examples.len(), t), device)?;
    Ok(Batch {
        ids,
        targets,
        supervised,
        tokens,
    })
}
