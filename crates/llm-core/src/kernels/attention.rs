//! Causal attention over blocks of keys, forward and backward, with memory linear in T.
//!
//! ```text
//! S = scale · Q Kᵀ    P = softmax(S) over the keys that a query reads    O = P V
//! dV = Pᵀ dO    dS = P ∘ (dO Vᵀ − rowsum(dO ∘ O))    dQ = scale · dS K    dK = scale · dSᵀ Q
//! ```
//!
//! Only one block of `S` exists at a time (online softmax, Milakov and Gimelshein 2018; backward
//! by recomputation, Dao et al. 2022). Three rules make a query's result the same to the last bit
//! whether it is computed alone, in chunks or in a batch:
//!
//! 1. blocks of keys begin at multiples of [`KEY_BLOCK`] from position 0, whoever asks;
//! 2. a score is one chain over the head size, an output one chain over the keys of a block, and
//!    blocks are added in order;
//! 3. a key that is not read is left out of the chain, so that not even a NaN behind the mask can
//!    reach a result, and a block without keys to read leaves its query untouched.

pub(crate) mod backward;
pub(crate) mod forward;
mod product;

use super::heads::Heads;
use super::pool::build;
use super::rows::grain;
use super::simd::{MAX_LANES, Real};

/// Keys of a block, counted from position 0. Part of every result's bits.
const KEY_BLOCK: usize = 64;
/// Queries of a tile: with 64 × 64 scores, the tiles of both passes stay in the second-level
/// cache of one core.
const QUERY_BLOCK: usize = 64;

/// What a query's softmax is recomputed with. Maximum and sum are kept apart, as a log-sum-exp of
/// both in f32 would round away digits of every weight.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowSoftmax<E> {
    /// The largest score.
    max: E,
    /// `1 / Σ exp(s − max)`
    reciprocal_sum: E,
}

/// Queries, keys and values where they lie, and which key each query reads.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a, E> {
    /// `[B, T, H, D]`
    pub(crate) q: Heads<'a, E>,
    /// `[B, S, K, D]`
    pub(crate) k: Heads<'a, E>,
    /// `[B, S, K, D]`
    pub(crate) v: Heads<'a, E>,
    /// Factor on q·k.
    pub(crate) scale: f64,
    /// How many keys a query reads at most, its own included.
    pub(crate) window: usize,
}

impl<E: Real> Inputs<'_, E> {
    /// Query heads that share a key-value head.
    fn group(&self) -> usize {
        self.q.heads / self.k.heads
    }

    /// The position of query 0.
    fn first_position(&self) -> usize {
        self.k.tokens - self.q.tokens
    }

    /// The positions that query `t` reads.
    fn reads(&self, t: usize) -> std::ops::Range<usize> {
        let end = self.first_position() + t + 1;
        end.saturating_sub(self.window)..end
    }

    /// The blocks of keys that any of the queries `t..t + rows` reads.
    fn key_blocks(&self, t: usize, rows: usize) -> std::ops::Range<usize> {
        self.reads(t).start / KEY_BLOCK..self.reads(t + rows - 1).end.div_ceil(KEY_BLOCK)
    }

    /// The part of block `block` that query `t` reads, counted from the block's first key.
    fn reads_in(&self, t: usize, block: usize) -> std::ops::Range<usize> {
        let (reads, first) = (self.reads(t), block * KEY_BLOCK);
        let within = |position: usize| position.clamp(first, first + KEY_BLOCK) - first;
        within(reads.start)..within(reads.end)
    }

    /// Whether all queries `t..t + rows` read the whole block.
    fn reads_all(&self, t: usize, rows: usize, block: usize) -> bool {
        let whole = 0..KEY_BLOCK;
        self.reads_in(t, block) == whole && self.reads_in(t + rows - 1, block) == whole
    }
}

/// The head size rounded up to whole vectors of every instruction set.
fn padded(d: usize) -> usize {
    d.next_multiple_of(MAX_LANES)
}

/// Blocks of keys or values with the head axis first, zero past the last token.
///
/// # Shapes
/// `x [B, S, K, D]` → `[B · K, blocks, D, KEY_BLOCK]`.
fn pack_columns<E: Real>(x: Heads<E>) -> Vec<E> {
    let (blocks, d) = (x.tokens.div_ceil(KEY_BLOCK), x.size);
    let len = x.batch * x.heads * blocks * d * KEY_BLOCK;
    build(
        len,
        d * KEY_BLOCK,
        grain(d * KEY_BLOCK),
        |index, out: &mut [E]| {
            let (head, first) = (index / blocks, index % blocks * KEY_BLOCK);
            for j in 0..KEY_BLOCK.min(x.tokens - first) {
                let row = x.row(head / x.heads, first + j, head % x.heads);
                for (&value, column) in row.iter().zip(out.chunks_exact_mut(KEY_BLOCK)) {
                    column[j] = value;
                }
            }
        },
    )
}

/// Blocks of keys or values, rows padded to whole vectors, zero past the last token.
///
/// # Shapes
/// `x [B, S, K, D]` → `[B · K, blocks, KEY_BLOCK, padded(D)]`.
fn pack_rows<E: Real>(x: Heads<E>) -> Vec<E> {
    let (blocks, width) = (x.tokens.div_ceil(KEY_BLOCK), padded(x.size));
    let len = x.batch * x.heads * blocks * KEY_BLOCK * width;
    build(
        len,
        KEY_BLOCK * width,
        grain(KEY_BLOCK * width),
        |index, out: &mut [E]| {
            let (head, first) = (index / blocks, index % blocks * KEY_BLOCK);
            let rows = out
                .chunks_exact_mut(width)
                .take(x.tokens - first)
                .enumerate();
            for (j, out) in rows {
                let row = x.row(head / x.heads, first + j, head % x.heads);
                out[..x.size].copy_from_slice(row);
            }
        },
    )
}

/// Rows of each head, padded and in blocks of `block` tokens, put into token order and scaled.
///
/// # Shapes
/// `x [B · H, blocks · block, padded(D)]`, `shape` = `[B, T, H, D]` → `[B, T, H, D]`.
fn to_token_order<E: Real>(x: &[E], block: usize, shape: [usize; 4], scale: E) -> Vec<E> {
    let [b, t, h, d] = shape;
    let (tokens, width) = (t.next_multiple_of(block), padded(d));
    build(
        b * t * h * d,
        h * d,
        grain(h * d),
        |token, out: &mut [E]| {
            let (b, t) = (token / t, token % t);
            for (head, out) in out.chunks_exact_mut(d).enumerate() {
                let row = &x[((b * h + head) * tokens + t) * width..][..d];
                out.iter_mut()
                    .zip(row)
                    .for_each(|(out, &x)| *out = x * scale);
            }
        },
    )
}
