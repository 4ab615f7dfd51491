//! Looking into an attention that keeps no weights.
//!
//! The operation that models run returns mixed values and nothing else: its weights exist block by
//! block and are gone when it returns. They can be had back by asking the right question. What comes
//! out is a mix of the values, so if the value of key `s` is 1 in a channel of its own and 0 in all
//! others, that channel of the answer *is* the weight of key `s`:
//!
//! ```text
//! out[t] = Σₛ weight[t, s] · v[s]        v[s] = eₛ   ⇒   out[t] = weight[t, ..]
//! ```
//!
//! A head has D channels, so one call tells the weights of D keys, and S / D calls tell all.

use candle_core::{DType, Device, Tensor};
use ndarray::Array2;

use super::attention::{Mask, attend};
use super::gradient::compare;
use crate::Result;
use crate::kernels::attention::{KEY_BLOCK, QUERY_TILE};
use crate::ops::{AttentionSpec, Ops};
use crate::rng::{ChaCha8Rng, normal};

/// One call of attention: what goes in.
#[derive(Clone, Debug)]
pub struct Call {
    /// `[B, T, H, D]`
    pub q: Tensor,
    /// `[B, S, K, D]`
    pub k: Tensor,
    /// `[B, S, K, D]`
    pub v: Tensor,
    /// Scale and window.
    pub spec: AttentionSpec,
}

impl Call {
    /// Questions, labels and values of N(0, 1) draws for as many keys as queries; the scale is 1/√D.
    ///
    /// # Shapes
    /// `[B, H, T, D]` and `kv_heads` = K.
    ///
    /// # Errors
    /// What the tensor library reports.
    pub fn draw(
        rng: &mut ChaCha8Rng,
        [b, h, t, d]: [usize; 4],
        kv_heads: usize,
        dtype: DType,
    ) -> Result<Self> {
        let mut draw = |heads| normal(rng, 1.0, &[b, t, heads, d], dtype);
        Ok(Self {
            q: draw(h)?,
            k: draw(kv_heads)?,
            v: draw(kv_heads)?,
            spec: AttentionSpec {
                scale: 1.0 / (d as f64).sqrt(),
                window: None,
            },
        })
    }

    /// What comes out.
    ///
    /// # Shapes
    /// → `[B, T, H, D]`, row-major.
    ///
    /// # Errors
    /// As [`Ops::causal_attention`].
    pub fn output(&self, ops: Ops) -> Result<Vec<f64>> {
        let output = ops.causal_attention(&self.q, &self.k, &self.v, &self.spec)?;
        plain(&output)
    }

    // ANCHOR: weights
    /// The weights that the call gives each key, read out of the operation itself.
    ///
    /// # Shapes
    /// → `[B, H, T, S]`, row-major.
    ///
    /// # Errors
    /// As [`Ops::causal_attention`].
    pub fn weights(&self, ops: Ops) -> Result<Vec<f64>> {
        let (b, s, kv, d) = self.k.dims4()?;
        let mut parts = Vec::new();
        for first in (0..s).step_by(d.max(1)) {
            // Key `first + c` says 1 in channel c; all other keys say 0.
            let mut values = vec![0.0; s * d];
            for channel in 0..d.min(s - first) {
                values[(first + channel) * d + channel] = 1.0;
            }
            let one_hot = Tensor::from_vec(values, (1, s, 1, d), &Device::Cpu)?;
            let one_hot = one_hot
                .to_dtype(self.k.dtype())?
                .to_device(self.k.device())?;
            let v = one_hot.broadcast_as((b, s, kv, d))?.contiguous()?;
            let out = ops.causal_attention(&self.q, &self.k, &v, &self.spec)?;
            parts.push(out.narrow(3, 0, d.min(s - first))?);
        }
        plain(&Tensor::cat(&parts, 3)?.transpose(1, 2)?)
    }
    // ANCHOR_END: weights

    /// The largest change of all earlier answers when the last token is another one. The future must
    /// not be noticed, so this is 0.
    ///
    /// # Errors
    /// As [`Ops::causal_attention`].
    pub fn notices_the_future(&self, ops: Ops) -> Result<f64> {
        let (b, t, h, d) = self.q.dims4()?;
        let another = |x: &Tensor| -> Result<Tensor> {
            let last = (x.narrow(1, t - 1, 1)? + 1.0)?;
            Ok(Tensor::cat(&[x.narrow(1, 0, t - 1)?, last], 1)?)
        };
        let other = Self {
            q: another(&self.q)?,
            k: another(&self.k)?,
            v: another(&self.v)?,
            spec: self.spec,
        };
        let (before, after) = (self.output(ops)?, other.output(ops)?);
        let mut largest = 0.0;
        // Rows of one text lie together: its last H · D numbers are the last token's.
        for (before, after) in before
            .chunks(t * h * d)
            .zip(after.chunks(t * h * d))
            .take(b)
        {
            let earlier = (t - 1) * h * d;
            largest = f64::max(
                largest,
                compare(&before[..earlier], &after[..earlier]).largest,
            );
        }
        Ok(largest)
    }

    /// What the readable loops make of the same tensors: every batch row and head, one after the
    /// other, by [`attend`].
    ///
    /// # Errors
    /// What the tensor library reports.
    pub fn loops(&self) -> Result<Loops> {
        let (b, t, h, d) = self.q.dims4()?;
        let group = h / self.k.dim(2)?;
        let mask = self.spec.window.map_or(Mask::Causal, Mask::Window);
        let (q, k, v) = (heads(&self.q)?, heads(&self.k)?, heads(&self.v)?);
        let mut weights = Vec::new();
        let mut output = vec![0.0; b * t * h * d];
        for (index, q) in q.iter().enumerate() {
            // Heads are counted through the batch: number `row · H + head` shares key-value head
            // number `row · K + head / group`, which is the same division.
            let shared = index / group;
            let trace = attend(q, &k[shared], &v[shared], self.spec.scale, mask);
            weights.extend(trace.weights);
            // The operation keeps the heads of one token side by side.
            for ((token, channel), &value) in trace.output.indexed_iter() {
                output[((index / h * t + token) * h + index % h) * d + channel] = value;
            }
        }
        Ok(Loops { weights, output })
    }
}

/// What the readable loops make of a [`Call`].
#[derive(Clone, Debug)]
pub struct Loops {
    /// `[B, H, T, S]`, row-major
    pub weights: Vec<f64>,
    /// `[B, T, H, D]`, row-major
    pub output: Vec<f64>,
}

/// The numbers of `x` in row-major order.
fn plain(x: &Tensor) -> Result<Vec<f64>> {
    let x = x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    Ok(x.flatten_all()?.to_vec1()?)
}

/// The largest distance of a row's sum from 1, and the largest weight of the future: what leaks.
///
/// # Shapes
/// `weights [B, H, T, T]`, row-major → two numbers.
pub fn faults(weights: &[f64], t: usize) -> (f64, f64) {
    let (mut sums, mut leak) = (0.0, 0.0);
    for (index, row) in weights.chunks_exact(t.max(1)).enumerate() {
        sums = f64::max(sums, (row.iter().sum::<f64>() - 1.0).abs());
        for weight in &row[index % t + 1..] {
            leak = f64::max(leak, weight.abs());
        }
    }
    (sums, leak)
}

/// The heads of `x [B, T, H, D]` as `B · H` matrices `[T, D]` in f64.
fn heads(x: &Tensor) -> Result<Vec<Array2<f64>>> {
    let (_b, t, _h, d) = x.dims4()?;
    let values = plain(&x.transpose(1, 2)?)?;
    let matrix = |head: &[f64]| Array2::from_shape_fn((t, d), |(row, at)| head[row * d + at]);
    Ok(values.chunks_exact((t * d).max(1)).map(matrix).collect())
}

/// Bytes of all scores at once: `B · H · T · T` numbers.
pub fn score_bytes([b, h, t]: [usize; 3], dtype: DType) -> u64 {
    [h, t, t, dtype.size_in_bytes()]
        .iter()
        .fold(b as u64, |bytes, &factor| bytes * factor as u64)
}

/// Bytes that the tiled operation has instead: at most one block of scores a thread, and the maximum
/// and the sum of each query's row, from which the backward pass makes the weights anew.
pub fn tiled_bytes([b, h, t]: [usize; 3], threads: usize, dtype: DType) -> u64 {
    let blocks = threads * KEY_BLOCK * QUERY_TILE;
    ((blocks + 2 * b * h * t) * dtype.size_in_bytes()) as u64
}
