//! Examples → tensors.
//!
//! Rows of a batch are padded on the right to the longest of them, or to a length that the caller
//! names. No attention mask is needed: a query reads only keys at or before its own position,
//! padding stands after every real token, so no real token ever reads it; and what the padding
//! positions compute is thrown away, because their targets are [`IGNORE_INDEX`]. A test holds a
//! padded row against the row alone, bit for bit.
//!
//! [`pack`] puts several examples into one row instead; [`Batch::segments`] then says where each
//! lies, and attention stays inside of it.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use llm_core::ops::{IGNORE_INDEX, Segments};

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
    /// Where documents lie in packed rows; `None` for a document a row. A pass over the batch has
    /// to know, see [`llm_core::nn::Pass::packed`].
    pub segments: Option<Arc<Segments>>,
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
    collate_to(examples, 0, pad, device)
}

/// As [`collate`] with rows of at least `t` positions.
///
/// # Shapes
/// Rows of up to n tokens → `ids [B, max(n − 1, t)]`.
///
/// # Errors
/// What the tensor library reports.
pub fn collate_to(examples: &[&Example], t: usize, pad: u32, device: &Device) -> Result<Batch> {
    let t = examples
        .iter()
        .map(|e| positions(e))
        .max()
        .unwrap_or(0)
        .max(t);
    let mut stack = Stack::new(pad);
    for example in examples {
        stack.add(example);
        stack.end_row(t);
    }
    stack.finish(examples.len(), t, None, device)
}

/// Puts the examples of each group side by side into one row of `t` positions; a document never
/// sees another one.
///
/// # Shapes
/// B groups → `ids [B, t]`.
///
/// # Errors
/// A group that does not fit, or what the tensor library reports.
pub fn pack(groups: &[Vec<&Example>], t: usize, pad: u32, device: &Device) -> Result<Batch> {
    let lengths = |group: &Vec<&Example>| group.iter().map(|e| positions(e)).collect();
    let lengths: Vec<Vec<usize>> = groups.iter().map(lengths).collect();
    let segments = Segments::new(t, &lengths)?;
    let mut stack = Stack::new(pad);
    for group in groups {
        group.iter().for_each(|example| stack.add(example));
        stack.end_row(t);
    }
    stack.finish(groups.len(), t, Some(Arc::new(segments)), device)
}

/// The positions that an example takes.
pub fn positions(example: &Example) -> usize {
    example.ids.len().saturating_sub(1)
}

/// Rows that are being filled.
struct Stack {
    pad: u32,
    ids: Vec<u32>,
    targets: Vec<i64>,
    /// Positions of finished rows.
    done: usize,
    tokens: usize,
}

impl Stack {
    fn new(pad: u32) -> Self {
        Self {
            pad,
            ids: Vec::new(),
            targets: Vec::new(),
            done: 0,
            tokens: 0,
        }
    }

    fn add(&mut self, example: &Example) {
        let n = positions(example);
        self.ids.extend(example.ids.iter().take(n));
        self.targets.extend(example.labels.iter().skip(1).take(n));
        self.tokens += n;
    }

    /// Fills the row up with padding.
    fn end_row(&mut self, t: usize) {
        self.done += t;
        self.ids.resize(self.done, self.pad);
        self.targets.resize(self.done, IGNORE_INDEX);
    }

    fn finish(
        self,
        rows: usize,
        t: usize,
        segments: Option<Arc<Segments>>,
        device: &Device,
    ) -> Result<Batch> {
        let counts = |&&target: &&i64| target != IGNORE_INDEX;
        Ok(Batch {
            supervised: self.targets.iter().filter(counts).count(),
            ids: Tensor::from_vec(self.ids, (rows, t), device)?,
            targets: self.targets,
            tokens: self.tokens,
            segments,
        })
    }
}
