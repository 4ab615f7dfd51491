//! Backward: each key-value head recomputes the weights block by block.

use super::product::Product;
use super::{
    Inputs, KEY_BLOCK, QUERY_BLOCK, RowSoftmax, pack_columns, pack_rows, padded, to_token_order,
};
use crate::kernels::heads::Heads;
use crate::kernels::pool::{Chunks, for_each};
use crate::kernels::rows::{grain, sum_map};
use crate::kernels::simd::{Isa, Kernel, Real, Simd};

/// The gradients of queries, keys and values.
pub(crate) struct Gradients<E> {
    /// `[B, T, H, D]`
    pub(crate) q: Vec<E>,
    /// `[B, S, K, D]`
    pub(crate) k: Vec<E>,
    /// `[B, S, K, D]`
    pub(crate) v: Vec<E>,
}

/// The gradients for the gradient `d_out` of `out`.
///
/// # Shapes
/// `rows [B, H, T]`, `out` and `d_out [B, T, H, D]`.
pub(crate) fn gradients<E: Real>(
    inputs: Inputs<E>,
    rows: &[RowSoftmax<E>],
    out: Heads<E>,
    d_out: Heads<E>,
) -> Gradients<E> {
    let (b, t, h, d) = (
        inputs.q.batch,
        inputs.q.tokens,
        inputs.q.heads,
        inputs.q.size,
    );
    let (s, kv, group) = (inputs.k.tokens, inputs.k.heads, inputs.group());
    let (blocks, width) = (s.div_ceil(KEY_BLOCK), padded(d));
    let key_len = blocks * KEY_BLOCK * width;
    let mut dq = vec![E::ZERO; b * h * t * width];
    let (mut dk, mut dv) = (
        vec![E::ZERO; b * kv * key_len],
        vec![E::ZERO; b * kv * key_len],
    );
    if b * t * h * d > 0 {
        let (keys_t, keys) = (pack_columns(inputs.k), pack_rows(inputs.k));
        let values_t = pack_columns(inputs.v);
        let isa = Isa::active();
        let outputs = (
            Chunks::new(&mut dq, group * t * width),
            Chunks::new(&mut dk, key_len),
            Chunks::new(&mut dv, key_len),
        );
        let work = grain(group * t * s.min(inputs.window) * d);
        for_each(outputs, work, |index, (dq, dk, dv)| {
            let columns = index * blocks * d * KEY_BLOCK..(index + 1) * blocks * d * KEY_BLOCK;
            isa.run(Head {
                inputs,
                rows: &rows[index * group * t..][..group * t],
                out,
                d_out,
                b: index / kv,
                kv: index % kv,
                keys_t: &keys_t[columns.clone()],
                values_t: &values_t[columns],
                keys: &keys[index * key_len..][..key_len],
                dq,
                dk,
                dv,
            });
        });
    }
    // dS K lacks the factor of dQ; dSᵀ met queries that had it.
    let scale = E::from_f64(inputs.scale);
    Gradients {
        q: to_token_order(&dq, 1, [b, t, h, d], scale),
        k: to_token_order(&dk, KEY_BLOCK, [b, s, kv, d], E::ONE),
        v: to_token_order(&dv, KEY_BLOCK, [b, s, kv, d], E::ONE),
    }
}

/// One key-value head with the query heads that read it.
struct Head<'a, E> {
    inputs: Inputs<'a, E>,
    /// `[H / K, T]`
    rows: &'a [RowSoftmax<E>],
    out: Heads<'a, E>,
    d_out: Heads<'a, E>,
    /// Batch row and key-value head.
    b: usize,
    kv: usize,
    /// `[blocks, D, KEY_BLOCK]`
    keys_t: &'a [E],
    /// `[blocks, D, KEY_BLOCK]`
    values_t: &'a [E],
    /// `[blocks, KEY_BLOCK, padded(D)]`
    keys: &'a [E],
    /// `[H / K, T, padded(D)]`
    dq: &'a mut [E],
    /// `[blocks, KEY_BLOCK, padded(D)]`
    dk: &'a mut [E],
    /// `[blocks, KEY_BLOCK, padded(D)]`
    dv: &'a mut [E],
}

/// One query head's rows, padded, and room for a block of scores.
struct Queries<E> {
    /// scale · q `[T, padded(D)]`
    q: Vec<E>,
    /// `[T, padded(D)]`
    d_out: Vec<E>,
    /// rowsum(dO ∘ O) `[T]`
    overlap: Vec<E>,
    /// P `[QUERY_BLOCK, KEY_BLOCK]`
    weights: Vec<E>,
    /// dS `[QUERY_BLOCK, KEY_BLOCK]`
    d_scores: Vec<E>,
}

impl<E: Real> Kernel<E> for Head<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(mut self, simd: S) {
        let t = self.inputs.q.tokens;
        for g in 0..self.inputs.group() {
            let mut queries = self.queries(simd, self.kv * self.inputs.group() + g);
            for first in (0..t).step_by(QUERY_BLOCK) {
                let rows = QUERY_BLOCK.min(t - first);
                for block in self.inputs.key_blocks(first, rows) {
                    self.weigh(simd, &mut queries, g, (first, rows), block);
                    self.accumulate(simd, &queries, g, (first, rows), block);
                }
            }
        }
    }
}

impl<E: Real> Head<'_, E> {
    #[inline(always)]
    fn queries<S: Simd<E = E>>(&self, simd: S, h: usize) -> Queries<E> {
        let (t, width) = (self.inputs.q.tokens, padded(self.inputs.q.size));
        let scale = E::from_f64(self.inputs.scale);
        let mut queries = Queries {
            q: vec![E::ZERO; t * width],
            d_out: vec![E::ZERO; t * width],
            overlap: Vec::with_capacity(t),
            weights: vec![E::ZERO; QUERY_BLOCK * KEY_BLOCK],
            d_scores: vec![E::ZERO; QUERY_BLOCK * KEY_BLOCK],
        };
        let rows = queries
            .q
            .chunks_exact_mut(width)
            .zip(queries.d_out.chunks_exact_mut(width));
        for (t, (q, padded_d_out)) in rows.enumerate() {
            let row = self.inputs.q.row(self.b, t, h);
            q.iter_mut().zip(row).for_each(|(q, &x)| *q = x * scale);
            let (out, d_out) = (self.out.row(self.b, t, h), self.d_out.row(self.b, t, h));
            padded_d_out[..d_out.len()].copy_from_slice(d_out);
            let overlap = sum_map(simd, [out, d_out], |[o, g]| simd.mul(o, g));
            queries.overlap.push(E::from_f64(overlap));
        }
        queries
    }

    /// P and dS of a tile.
    #[inline(always)]
    fn weigh<S: Simd<E = E>>(
        &self,
        simd: S,
        queries: &mut Queries<E>,
        g: usize,
        (first, rows): (usize, usize),
        block: usize,
    ) {
        let (d, width) = (self.inputs.q.size, padded(self.inputs.q.size));
        let columns = block * d * KEY_BLOCK..(block + 1) * d * KEY_BLOCK;
        let Queries {
            q,
            d_out,
            overlap,
            weights,
            d_scores,
        } = queries;
        let products = [
            (&*q, &self.keys_t[columns.clone()], &mut *weights),
            (&*d_out, &self.values_t[columns], &mut *d_scores),
        ];
        for (a, b, c) in products {
            c.fill(E::ZERO);
            let a = &a[first * width..];
            Product {
                a,
                a_strides: (width, 1),
                b,
                c,
                width: KEY_BLOCK,
                rows,
                depth: d,
            }
            .run(simd);
        }
        let tile = weights
            .chunks_exact_mut(KEY_BLOCK)
            .zip(d_scores.chunks_exact_mut(KEY_BLOCK));
        for (t, (weights, d_scores)) in (first..first + rows).zip(tile) {
            let row = self.rows[g * self.inputs.q.tokens + t];
            let (max, sum) = (simd.splat(row.max), simd.splat(row.reciprocal_sum));
            let overlap = simd.splat(overlap[t]);
            let lanes = weights.chunks_exact_mut(S::LANES);
            for (p, ds) in lanes.zip(d_scores.chunks_exact_mut(S::LANES)) {
                let weight = simd.mul(simd.exp(simd.sub(simd.load(p), max)), sum);
                simd.store(p, weight);
                simd.store(ds, simd.mul(weight, simd.sub(simd.load(ds), overlap)));
            }
            let reads = self.inputs.reads_in(t, block);
            for row in [weights, d_scores] {
                row[..reads.start].fill(E::ZERO);
                row[reads.end..].fill(E::ZERO);
            }
        }
    }

    /// Adds a tile's share of the three gradients.
    #[inline(always)]
    fn accumulate<S: Simd<E = E>>(
        &mut self,
        simd: S,
        queries: &Queries<E>,
        g: usize,
        (first, rows): (usize, usize),
        block: usize,
    ) {
        let width = padded(self.inputs.q.size);
        let keys = block * KEY_BLOCK * width..(block + 1) * KEY_BLOCK * width;
        let by_key = (1, KEY_BLOCK);
        let (q, d_out) = (&queries.q[first * width..], &queries.d_out[first * width..]);
        let (weights, d_scores) = (&queries.weights, &queries.d_scores);
        let c = &mut self.dv[keys.clone()];
        Product {
            a: weights,
            a_strides: by_key,
            b: d_out,
            c,
            width,
            rows: KEY_BLOCK,
            depth: rows,
        }
        .run(simd);
        let c = &mut self.dk[keys.clone()];
        Product {
            a: d_scores,
            a_strides: by_key,
            b: q,
            c,
            width,
            rows: KEY_BLOCK,
            depth: rows,
        }
        .run(simd);
        let c = &mut self.dq[(g * self.inputs.q.tokens + first) * width..];
        let (b, depth) = (&self.keys[keys], KEY_BLOCK);
        Product {
            a: d_scores,
            a_strides: (KEY_BLOCK, 1),
            b,
            c,
            width,
            rows,
            depth,
        }
        .run(simd);
    }
}
