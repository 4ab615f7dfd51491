//! Backward: the weights are recomputed from the maximum and the sum of each query.
//!
//! A task is a key-value head, or where those are few a portion of its queries; how it is cut
//! depends on the shape alone, and portions are added in order, so that the number of threads
//! does not show in the result.

use std::mem::MaybeUninit;

use super::portion::{Portion, Sums};
use super::{Inputs, QUERY_TILE, RowSoftmax, padded, written};
use crate::kernels::heads::{Heads, HeadsMut, RowsMut};
use crate::kernels::pool::{Chunks, for_each};
use crate::kernels::rows::grain;
use crate::kernels::simd::{Isa, Real};

/// Tasks that there should be at least, for threads to share. Each more costs memory for its sums.
const LEAST_TASKS: usize = 8;
/// What the gradients are computed from.
#[derive(Clone, Copy)]
pub(crate) struct Saved<'a, E> {
    pub(crate) inputs: Inputs<'a, E>,
    /// What [`attend`](super::forward::attend) returned.
    pub(crate) rows: &'a [RowSoftmax<E>],
    /// `[B, T, H, D]`
    pub(crate) out: Heads<'a, E>,
    /// The gradient of `out` `[B, T, H, D]`
    pub(crate) d_out: Heads<'a, E>,
}

/// Where the gradients of queries, keys and values go; every element is written.
struct Gradients<'a, E> {
    /// `[B, T, H, D]`
    q: HeadsMut<'a, MaybeUninit<E>>,
    /// `[B, S, K, D]`
    k: HeadsMut<'a, MaybeUninit<E>>,
    /// `[B, S, K, D]`
    v: HeadsMut<'a, MaybeUninit<E>>,
}

/// The gradients of queries, keys and values.
///
/// # Shapes
/// `[B, T, H, D]`, `[B, S, K, D]`, `[B, S, K, D]`.
pub(crate) fn d_separate<E: Real>(saved: Saved<E>) -> [Vec<E>; 3] {
    let (q, k) = (saved.inputs.q, saved.inputs.k);
    let of_q = [q.batch, q.tokens, q.size];
    let of_k = [k.batch, k.tokens, k.size];
    let len = |[b, t, d]: [usize; 3], heads| b * t * heads * d;
    let write = |q_out: &mut [MaybeUninit<E>]| {
        let write = |k_out: &mut [MaybeUninit<E>]| {
            let write = |v_out: &mut [MaybeUninit<E>]| {
                let [q] = HeadsMut::side_by_side(q_out, of_q, [q.heads]);
                let [v] = HeadsMut::side_by_side(v_out, of_k, [k.heads]);
                let [k] = HeadsMut::side_by_side(k_out, of_k, [k.heads]);
                gradients(saved, Gradients { q, k, v });
            };
            // SAFETY: `gradients` writes every element.
            unsafe { written(len(of_k, k.heads), write) }
        };
        // SAFETY: as above.
        unsafe { written(len(of_k, k.heads), write) }
    };
    // SAFETY: as above.
    let (dq, (dk, (dv, ()))) = unsafe { written(len(of_q, q.heads), write) };
    [dq, dk, dv]
}

/// The gradients of queries, keys and values that lie side by side in each token.
///
/// # Shapes
/// `[B, T, (H + 2K) · D]`.
pub(crate) fn d_packed<E: Real>(saved: Saved<E>) -> Vec<E> {
    let (q, kv) = (saved.inputs.q, saved.inputs.k.heads);
    let len = q.batch * q.tokens * (q.heads + 2 * kv) * q.size;
    let write = |out: &mut [MaybeUninit<E>]| {
        let shape = [q.batch, q.tokens, q.size];
        let [q, k, v] = HeadsMut::side_by_side(out, shape, [q.heads, kv, kv]);
        gradients(saved, Gradients { q, k, v });
    };
    // SAFETY: `gradients` writes every element, and q, k and v cover the tensor.
    unsafe { written(len, write) }.0
}

/// Writes the gradients.
fn gradients<E: Real>(saved: Saved<E>, gradients: Gradients<E>) {
    let inputs = saved.inputs;
    let (queries, kv, s) = (inputs.queries(), inputs.k.heads, inputs.k.tokens);
    let heads = inputs.q.batch * kv;
    let Gradients { q, k, v } = gradients;
    if queries * inputs.q.size == 0 {
        let zero = |_, (mut k, mut v): (RowsMut<_>, RowsMut<_>)| {
            (0..s).for_each(|row| {
                k.row_mut(row).fill(MaybeUninit::new(E::ZERO));
                v.row_mut(row).fill(MaybeUninit::new(E::ZERO));
            });
        };
        return for_each((k, v), 1, zero);
    }
    let cuts = portions(&inputs, heads);
    let parts = cuts.len();
    let isa = Isa::active();
    let task = |index: usize, dq: RowsMut<_>, sums: Sums<_>| {
        let first = cuts[index % parts];
        let head = index / parts;
        isa.run(Portion {
            saved,
            b: head / kv,
            kv: head % kv,
            queries: first..first + dq.len(),
            dq,
            sums,
        });
    };
    let work = grain(queries / parts * s.min(inputs.window) * inputs.q.size);
    let q = q.in_pieces(inputs.group(), cuts.clone());
    if parts == 1 {
        return for_each((q, k, v), work, |index, (q, k, v)| {
            task(index, q, Sums::Whole(k, v));
        });
    }
    let len = s * padded(inputs.q.size);
    let mut partial = vec![E::ZERO; heads * parts * 2 * len];
    for_each(
        (q, Chunks::new(&mut partial, 2 * len)),
        work,
        |index, (q, partial)| task(index, q, Sums::Part(partial)),
    );
    for_each((k, v), 1, |head, (mut k, mut v)| {
        let partial = &partial[head * parts * 2 * len..][..parts * 2 * len];
        add_parts(&mut k, partial, 2 * len);
        add_parts(&mut v, &partial[len..], 2 * len);
    });
}

/// The first query of each portion of a head's queries, of about the same work.
fn portions<E: Real>(inputs: &Inputs<E>, heads: usize) -> Vec<usize> {
    let queries = inputs.queries();
    let tiles = || (0..queries).step_by(QUERY_TILE);
    let blocks = |first: usize| {
        inputs
            .key_blocks(first, QUERY_TILE.min(queries - first))
            .len()
    };
    let parts = LEAST_TASKS.div_ceil(heads).min(tiles().count());
    let total: usize = tiles().map(blocks).sum();
    let (mut cuts, mut done) = (vec![0], 0);
    for first in tiles() {
        if done * parts >= cuts.len() * total {
            cuts.push(first);
        }
        done += blocks(first);
    }
    cuts
}

/// The sum of `parts`, in order.
///
/// # Shapes
/// `parts [count, .., S, padded(D)]`, `step` elements from one to the next → `[S, D]`.
pub(super) fn add_parts<E: Real>(out: &mut RowsMut<MaybeUninit<E>>, parts: &[E], step: usize) {
    let width = padded(out.size());
    for row in 0..out.len() {
        let out = out.row_mut(row);
        let mut parts = parts.chunks(step).map(|part| &part[row * width..]);
        for (out, &x) in out.iter_mut().zip(parts.next().unwrap_or_default()) {
            out.write(x);
        }
        for part in parts {
            for (out, &x) in out.iter_mut().zip(part) {
                // SAFETY: the first part has given every element a value.
                out.write(unsafe { out.assume_init() } + x);
            }
        }
    }
}
