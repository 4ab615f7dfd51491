//! Attention inside the documents of packed rows.
//!
//! Several documents may share a row of a batch, so that no place is lost to padding. Everything
//! but attention and positions works on each token alone and does not see where documents meet.
//! Here attention runs document by document, each with exactly the kernel calls that it would
//! have in a row of its own: a document's bits do not depend on its neighbours, and no token reads
//! one of another document.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor};

use super::attention::check_spec;
use super::slices::{axes, float_type, gradient, output, saved, with_heads, with_values};
use super::{AttentionSpec, composed, tape};
use crate::dims::expect_shape;
use crate::kernels::attention::RowSoftmax;
use crate::kernels::attention::backward::{Saved, d_separate};
use crate::kernels::attention::forward::attend;
use crate::kernels::heads::Heads;
use crate::kernels::simd::Real;
use crate::profile::{Cost, span};
use crate::{Error, Result};

const NAME: &str = "segmented_attention";

/// One document in a packed row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    row: usize,
    start: usize,
    len: usize,
}

/// Where the documents of packed rows `[B, T]` lie.
///
/// ```
/// use llm_core::ops::Segments;
/// // Two documents and a place of padding in the first row, one document in the second.
/// let segments = Segments::new(5, &[vec![2, 2], vec![5]])?;
/// assert_eq!(segments.positions(), [0, 1, 0, 1, 0, 0, 1, 2, 3, 4]);
/// # Ok::<(), llm_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    rows: usize,
    tokens: usize,
    pieces: Vec<Piece>,
    positions: Vec<u32>,
}

impl Segments {
    /// `lengths[row]` are the lengths of a row's documents, left to right; what they leave of the
    /// `tokens` places is padding.
    ///
    /// # Errors
    /// A document without tokens, or more tokens than a row has places.
    pub fn new(tokens: usize, lengths: &[Vec<usize>]) -> Result<Self> {
        let fail = |problem: String| Err(Error::input("packed row", problem));
        let (mut pieces, mut positions) = (Vec::new(), Vec::new());
        for (row, lengths) in lengths.iter().enumerate() {
            let mut start = 0usize;
            for &len in lengths {
                if len == 0 {
                    return fail("has a document without tokens".into());
                }
                if len > tokens.saturating_sub(start) {
                    return fail(format!("has more than its {tokens} places"));
                }
                pieces.push(Piece { row, start, len });
                positions.extend(0..len as u32);
                start += len;
            }
            positions.extend(0..(tokens - start) as u32);
        }
        Ok(Self {
            rows: lengths.len(),
            tokens,
            pieces,
            positions,
        })
    }

    /// The position of each token in its document, row after row; padding counts from 0 too.
    ///
    /// # Shapes
    /// `B · T` numbers.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// B and T.
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.tokens)
    }

    /// The number of documents.
    pub fn documents(&self) -> usize {
        self.pieces.len()
    }
}

impl Piece {
    /// # Shapes
    /// `x [B, T, H, D]` → `[1, len, H, D]`.
    fn of<'a, E>(self, x: Heads<'a, E>) -> Heads<'a, E> {
        Heads {
            data: x.from(self.row, self.start, 0),
            batch: 1,
            tokens: self.len,
            ..x
        }
    }

    /// Puts a document's `[1, len, H, D]` into `all [B, T, H, D]`, where a token has `width` numbers.
    fn put<E: Copy>(self, part: &[E], all: &mut [E], tokens: usize, width: usize) {
        let first = (self.row * tokens + self.start) * width;
        all[first..first + part.len()].copy_from_slice(part);
    }
}

struct SegmentedAttention<E> {
    spec: AttentionSpec,
    segments: Arc<Segments>,
    rows: OnceLock<Vec<Vec<RowSoftmax<E>>>>,
}

impl<E: Real> SegmentedAttention<E> {
    /// `products` matrix products of every document.
    fn cost(&self, q: &[usize], k: &[usize], products: usize) -> Cost {
        let mut all = Cost::default();
        let (&[_, _, h, d], &[_, _, kv, _]) = (q, k) else {
            return all;
        };
        for piece in &self.segments.pieces {
            let (q, k) = ([1, piece.len, h, d], [1, piece.len, kv, d]);
            let one = self.spec.cost::<E>(&q, &k, products);
            all.flops += one.flops;
            all.bytes += one.bytes;
        }
        all
    }
}

impl<E: Real> CustomOp3 for SegmentedAttention<E> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let _span = span(NAME, || self.cost(q_layout.dims(), k_layout.dims(), 2));
        let (b, t, h, d) = q_layout.shape().dims4()?;
        // Padding belongs to no document and reads nothing.
        let mut out = vec![E::ZERO; b * t * h * d];
        let mut saved = Vec::with_capacity(self.segments.pieces.len());
        with_heads::<E, _>(q, q_layout, |q| {
            with_heads::<E, _>(k, k_layout, |k| {
                with_heads::<E, _>(v, v_layout, |v| {
                    for piece in &self.segments.pieces {
                        let inputs = self.spec.inputs(piece.of(q), piece.of(k), piece.of(v));
                        let (read, rows) = attend(inputs);
                        piece.put(&read, &mut out, t, h * d);
                        saved.push(rows);
                    }
                })
            })
        })???;
        let _ = self.rows.set(saved);
        Ok(output(out, q_layout.shape()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        d_out: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let _span = span("segmented_attention backward", || {
            self.cost(q.dims(), k.dims(), 5)
        });
        let rows = saved(&self.rows, NAME)?;
        let ((b, t, h, d), kv) = (q.dims4()?, k.dim(2)?);
        let mut all = [h, kv, kv].map(|heads| vec![E::ZERO; b * t * heads * d]);
        with_values::<E, _, 5>([q, k, v, out, d_out], |[q, k, v, out, d_out]| {
            let of = |x, heads| Heads::contiguous(x, [b, t, heads, d]);
            for (piece, rows) in self.segments.pieces.iter().zip(rows) {
                let (q, k, v) = (of(q, h), of(k, kv), of(v, kv));
                let parts = d_separate(Saved {
                    inputs: self.spec.inputs(piece.of(q), piece.of(k), piece.of(v)),
                    rows,
                    out: piece.of(of(out, h)),
                    d_out: piece.of(of(d_out, h)),
                });
                for ((part, all), heads) in parts.iter().zip(&mut all).zip([h, kv, kv]) {
                    piece.put(part, all, t, heads * d);
                }
            }
            Ok(())
        })?;
        let [dq, dk, dv] = all;
        Ok((gradient(dq, q)?, gradient(dk, k)?, gradient(dv, v)?))
    }
}

/// Fails unless q, k and v are rows that `segments` describes.
pub(super) fn check(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    spec: &AttentionSpec,
    segments: &Segments,
) -> Result<()> {
    let [b, t, h, d] = axes("attention q", q, "B, T, H, D")?;
    let [_b, _t, kv, _d] = axes("attention k", k, "B, T, K, D")?;
    expect_shape("attention k", k, &[b, t, kv, d])?;
    expect_shape("attention v", v, &[b, t, kv, d])?;
    check_spec(NAME, (h, kv), spec)?;
    if segments.shape() == (b, t) {
        return Ok(());
    }
    let (rows, tokens) = segments.shape();
    let problem = format!("are for [B={rows}, T={tokens}], the batch is [B={b}, T={t}]");
    Err(Error::input("segments", problem))
}

pub(super) fn fused(
    [q, k, v]: [&Tensor; 3],
    spec: &AttentionSpec,
    segments: &Arc<Segments>,
) -> Result<Tensor> {
    fn apply<E: Real>(
        [q, k, v]: [&Tensor; 3],
        spec: &AttentionSpec,
        segments: &Arc<Segments>,
    ) -> Result<Tensor> {
        let op = SegmentedAttention::<E> {
            spec: *spec,
            segments: segments.clone(),
            rows: OnceLock::new(),
        };
        Ok(tape::apply3(q, k, v, op)?)
    }
    match float_type(NAME, &[q, k, v])? {
        DType::F32 => apply::<f32>([q, k, v], spec, segments),
        _ => apply::<f64>([q, k, v], spec, segments),
    }
}

/// The same, document by document, in basic tensor operations.
pub(super) fn composed(
    [q, k, v]: [&Tensor; 3],
    spec: &AttentionSpec,
    segments: &Segments,
) -> Result<Tensor> {
    let (b, t, h, d) = q.dims4()?;
    let mut rows = vec![Vec::new(); b];
    let mut used = vec![0; b];
    for piece in &segments.pieces {
        let of = |x: &Tensor| x.narrow(0, piece.row, 1)?.narrow(1, piece.start, piece.len);
        let read = composed::causal_attention(&of(q)?, &of(k)?, &of(v)?, spec)?;
        rows[piece.row].push(read);
        used[piece.row] += piece.len;
    }
    for (row, used) in rows.iter_mut().zip(used) {
        if used < t {
            row.push(Tensor::zeros((1, t - used, h, d), q.dtype(), q.device())?);
        }
    }
    let rows: Vec<Tensor> = rows
        .iter()
        .map(|row| Tensor::cat(row, 1))
        .collect::<candle_core::Result<_>>()?;
    Ok(Tensor::cat(&rows, 0)?)
}
