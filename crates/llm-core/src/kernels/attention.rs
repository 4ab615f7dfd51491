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
//! 3. a key that is not read is left out of the chain (or has a weight of zero there, which is the
//!    same where its value is finite), so that not even a NaN behind the mask can reach a result,
//!    and a block without keys to read leaves its query untouched.
//!
//! Scores lie transposed, keys down and queries across the lanes of vectors: softmax then needs no
//! sum across lanes, and K and V are read element by element where they lie, without packing.

pub(crate) mod backward;
pub(crate) mod forward;
mod lanes;
mod portion;
mod product;

use std::mem::MaybeUninit;

use super::heads::Heads;
use super::simd::{MAX_LANES, Real};

/// Keys of a block, counted from position 0. Part of every result's bits. A multiple of the rows
/// of every register tile.
pub(crate) const KEY_BLOCK: usize = 96;
/// Queries of a tile. With 96 × 96 scores, all that a tile works on stays in the second-level
/// cache of one core, and the right factor of each product in the first.
pub(crate) const QUERY_TILE: usize = 96;

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

    /// Queries of one key-value head: number `n` is token `n / group` of the group's head
    /// `n % group`.
    fn queries(&self) -> usize {
        self.q.tokens * self.group()
    }

    /// The position of token 0.
    fn first_position(&self) -> usize {
        self.k.tokens - self.q.tokens
    }

    /// The positions that query `n` reads.
    fn reads(&self, n: usize) -> std::ops::Range<usize> {
        let end = self.first_position() + n / self.group() + 1;
        end.saturating_sub(self.window)..end
    }

    /// The blocks of keys that any of the queries `n..n + count` reads.
    fn key_blocks(&self, n: usize, count: usize) -> std::ops::Range<usize> {
        self.reads(n).start / KEY_BLOCK..self.reads(n + count - 1).end.div_ceil(KEY_BLOCK)
    }

    /// The part of block `block` that query `n` reads, counted from the block's first key.
    fn reads_in(&self, n: usize, block: usize) -> std::ops::Range<usize> {
        let (reads, first) = (self.reads(n), block * KEY_BLOCK);
        let within = |position: usize| position.clamp(first, first + KEY_BLOCK) - first;
        within(reads.start)..within(reads.end)
    }
}

/// The head size rounded up to whole vectors of every instruction set.
fn padded(d: usize) -> usize {
    d.next_multiple_of(MAX_LANES)
}

/// A vector of `len` elements that `write` has given values.
///
/// # Safety
/// `write` writes every element.
pub(crate) unsafe fn written<E, R>(
    len: usize,
    write: impl FnOnce(&mut [MaybeUninit<E>]) -> R,
) -> (Vec<E>, R) {
    let mut values = Vec::with_capacity(len);
    let result = write(&mut values.spare_capacity_mut()[..len]);
    // SAFETY: the capacity is at least `len`, and the caller vouches for the elements.
    unsafe { values.set_len(len) };
    (values, result)
}
