//! Forward: a tile of queries walks the blocks of keys that it reads.

use super::product::Product;
use super::{
    Inputs, KEY_BLOCK, QUERY_BLOCK, RowSoftmax, pack_columns, pack_rows, padded, to_token_order,
};
use crate::kernels::pool::{Chunks, for_each};
use crate::kernels::rows::grain;
use crate::kernels::simd::{Isa, Kernel, Real, Simd};

/// What the queries read, and each query's softmax.
///
/// # Shapes
/// `[B, T, H, D]`, `[B, H, T]`.
pub(crate) fn attend<E: Real>(inputs: Inputs<E>) -> (Vec<E>, Vec<RowSoftmax<E>>) {
    let (b, t, h, d) = (
        inputs.q.batch,
        inputs.q.tokens,
        inputs.q.heads,
        inputs.q.size,
    );
    if b * t * h * d == 0 {
        return (Vec::new(), Vec::new());
    }
    let (keys, values) = (pack_columns(inputs.k), pack_rows(inputs.v));
    let (tile, width) = (QUERY_BLOCK.min(t), padded(d));
    let tiles = t.div_ceil(tile);
    let mut out = vec![E::ZERO; b * h * tiles * tile * width];
    let unset = RowSoftmax {
        max: E::ZERO,
        reciprocal_sum: E::ZERO,
    };
    let mut rows = vec![unset; b * h * tiles * tile];
    let isa = Isa::active();
    let outputs = (
        Chunks::new(&mut out, tile * width),
        Chunks::new(&mut rows, tile),
    );
    // Half of the products that a tile would make without a mask.
    let work = grain(tile * inputs.k.tokens.min(inputs.window) * d / 2);
    for_each(outputs, work, |index, (out, rows)| {
        let (head, first) = (index / tiles, index % tiles * tile);
        let (b, h) = (head / h, head % h);
        let kv = b * inputs.k.heads + h / inputs.group();
        let blocks = inputs.k.tokens.div_ceil(KEY_BLOCK);
        let keys = &keys[kv * blocks * d * KEY_BLOCK..][..blocks * d * KEY_BLOCK];
        let values = &values[kv * blocks * KEY_BLOCK * width..][..blocks * KEY_BLOCK * width];
        isa.run(Tile {
            inputs,
            b,
            h,
            first,
            keys,
            values,
            out,
            rows,
        });
    });
    let saved = rows
        .chunks_exact(tiles * tile)
        .flat_map(|head| &head[..t])
        .copied()
        .collect();
    (to_token_order(&out, tile, [b, t, h, d], E::ONE), saved)
}

struct Tile<'a, E> {
    inputs: Inputs<'a, E>,
    /// Batch row and query head.
    b: usize,
    h: usize,
    /// The first query.
    first: usize,
    /// `[blocks, D, KEY_BLOCK]`
    keys: &'a [E],
    /// `[blocks, KEY_BLOCK, padded(D)]`
    values: &'a [E],
    /// `[tile, padded(D)]`, zero before; its rows past the last query stay so.
    out: &'a mut [E],
    /// `[tile]`
    rows: &'a mut [RowSoftmax<E>],
}

impl<E: Real> Kernel<E> for Tile<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(mut self, simd: S) {
        let d = self.inputs.q.size;
        let rows = self.rows.len().min(self.inputs.q.tokens - self.first);
        let scale = E::from_f64(self.inputs.scale);
        let queries: Vec<E> = (self.first..self.first + rows)
            .flat_map(|t| self.inputs.q.row(self.b, t, self.h))
            .map(|&x| x * scale)
            .collect();
        let lowest = E::from_f64(f64::NEG_INFINITY);
        // Until the end, the place of the reciprocal holds the sum.
        self.rows.fill(RowSoftmax {
            max: lowest,
            reciprocal_sum: E::ZERO,
        });
        let mut scores = vec![E::ZERO; rows * KEY_BLOCK];
        for block in self.inputs.key_blocks(self.first, rows) {
            scores.fill(E::ZERO);
            Product {
                a: &queries,
                a_strides: (d, 1),
                b: &self.keys[block * d * KEY_BLOCK..],
                c: &mut scores,
                width: KEY_BLOCK,
                rows,
                depth: d,
            }
            .run(simd);
            self.weigh(simd, block, &mut scores);
            self.read(simd, block, rows, &scores);
        }
        let width = padded(d);
        for (row, out) in self
            .rows
            .iter_mut()
            .zip(self.out.chunks_exact_mut(width))
            .take(rows)
        {
            row.reciprocal_sum = E::ONE / row.reciprocal_sum;
            scale_row(simd, out, row.reciprocal_sum);
        }
    }
}

impl<E: Real> Tile<'_, E> {
    /// Turns a block of scores into weights relative to the largest score so far, and what was
    /// read before with them.
    #[inline(always)]
    fn weigh<S: Simd<E = E>>(&mut self, simd: S, block: usize, scores: &mut [E]) {
        let width = padded(self.inputs.q.size);
        let lowest = E::from_f64(f64::NEG_INFINITY);
        for (i, scores) in scores.chunks_exact_mut(KEY_BLOCK).enumerate() {
            let reads = self.inputs.reads_in(self.first + i, block);
            if reads.is_empty() {
                continue;
            }
            scores[..reads.start].fill(lowest);
            scores[reads.end..].fill(lowest);
            let row = &mut self.rows[i];
            let mut largest = simd.splat(row.max);
            for s in scores.chunks_exact(S::LANES) {
                largest = simd.max(largest, simd.load(s));
            }
            let max = simd.reduce_max(largest);
            if max == lowest {
                // Infinite inputs: nothing can be weighed yet.
                scores.fill(E::ZERO);
                continue;
            }
            let shift = simd.splat(max);
            let mut sum = simd.zero();
            for s in scores.chunks_exact_mut(S::LANES) {
                let weight = simd.exp(simd.sub(simd.load(s), shift));
                sum = simd.add(sum, weight);
                simd.store(s, weight);
            }
            if max != row.max {
                let fade = simd.reduce_max(simd.exp(simd.splat(row.max - max)));
                row.reciprocal_sum *= fade;
                scale_row(simd, &mut self.out[i * width..][..width], fade);
            }
            row.max = max;
            row.reciprocal_sum += simd.reduce_sum(sum);
        }
    }

    /// Adds the values of a block under their weights.
    #[inline(always)]
    fn read<S: Simd<E = E>>(&mut self, simd: S, block: usize, rows: usize, weights: &[E]) {
        let width = padded(self.inputs.q.size);
        let values = &self.values[block * KEY_BLOCK * width..];
        let a_strides = (KEY_BLOCK, 1);
        if self.inputs.reads_all(self.first, rows, block) {
            let c = &mut *self.out;
            Product {
                a: weights,
                a_strides,
                b: values,
                c,
                width,
                rows,
                depth: KEY_BLOCK,
            }
            .run(simd);
            return;
        }
        for i in 0..rows {
            let reads = self.inputs.reads_in(self.first + i, block);
            if reads.is_empty() {
                continue;
            }
            Product {
                a: &weights[i * KEY_BLOCK + reads.start..],
                a_strides,
                b: &values[reads.start * width..],
                c: &mut self.out[i * width..],
                width,
                rows: 1,
                depth: reads.len(),
            }
            .run(simd);
        }
    }
}

/// Multiplies a padded row by `factor`.
#[inline(always)]
fn scale_row<S: Simd>(simd: S, row: &mut [S::E], factor: S::E) {
    let factor = simd.splat(factor);
    for x in row.chunks_exact_mut(S::LANES) {
        simd.store(x, simd.mul(simd.load(x), factor));
    }
}
