//! Backward of a portion of queries: tiles of them walk the blocks of keys that they read.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::backward::{Saved, add_parts};
use super::lanes::{Bounds, Lanes, SPAN, Span, all_finite, carve, carved_len};
use super::product::{Add, Emit, Product, Store};
use super::{KEY_BLOCK, QUERY_TILE, padded};
use crate::kernels::heads::RowsMut;
use crate::kernels::rows::sum_map;
use crate::kernels::scratch::Scratch;
use crate::kernels::simd::{Kernel, Real, Simd};

/// Keys whose gradients are summed at once; a divisor of [`KEY_BLOCK`].
const KEY_ROWS: usize = 6;

/// Where the gradients of keys and values are summed.
pub(super) enum Sums<'a, E> {
    /// The only portion of a head: its keys and values.
    Whole(RowsMut<'a, MaybeUninit<E>>, RowsMut<'a, MaybeUninit<E>>),
    /// One of several: `[2, S, padded(D)]`, zero before.
    Part(&'a mut [E]),
}

/// Queries of one key-value head.
pub(super) struct Portion<'a, E> {
    pub(super) saved: Saved<'a, E>,
    /// Batch row and key-value head.
    pub(super) b: usize,
    pub(super) kv: usize,
    pub(super) queries: Range<usize>,
    /// `[queries, D]`
    pub(super) dq: RowsMut<'a, MaybeUninit<E>>,
    pub(super) sums: Sums<'a, E>,
}

impl<E: Real> Kernel<E> for Portion<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, simd: S) {
        let inputs = &self.saved.inputs;
        let len = inputs.k.tokens * padded(inputs.k.size);
        let mut walk = Walk {
            saved: self.saved,
            b: self.b,
            kv: self.kv,
            dq: self.dq,
            first: self.queries.start,
        };
        match self.sums {
            Sums::Part(sums) => {
                let (dk, dv) = sums.split_at_mut(len);
                walk.run(simd, self.queries, dk, dv);
            }
            Sums::Whole(mut k, mut v) => {
                let mut buffer = Scratch::new(carved_len(&[len, len]));
                let [dk, dv] = carve(&mut buffer, [len, len]);
                dk.fill(E::ZERO);
                dv.fill(E::ZERO);
                walk.run(simd, self.queries, dk, dv);
                add_parts(&mut k, dk, len);
                add_parts(&mut v, dv, len);
            }
        }
    }
}

/// The way of a portion's tiles over the keys.
struct Walk<'a, E> {
    saved: Saved<'a, E>,
    b: usize,
    kv: usize,
    /// `[queries, D]`
    dq: RowsMut<'a, MaybeUninit<E>>,
    /// The first query of `dq`.
    first: usize,
}

/// What a tile works on; a query to a lane, or to a row.
struct Tile<'a, E> {
    lanes: Lanes,
    /// scale · q `[D, width]` and `[count, padded(D)]`
    q: &'a mut [E],
    q_rows: &'a mut [E],
    /// dO `[D, width]` and `[count, padded(D)]`
    d_out: &'a mut [E],
    d_out_rows: &'a mut [E],
    /// `[D, width]`
    dq: &'a mut [E],
    /// P `[KEY_BLOCK, width]`
    weights: &'a mut [E],
    /// dS `[KEY_BLOCK, width]`
    d_scores: &'a mut [E],
    /// `[width]`
    max: &'a mut [E],
    /// `[width]`
    reciprocal_sum: &'a mut [E],
    /// rowsum(dO ∘ O) `[width]`
    overlap: &'a mut [E],
    /// Whether q and dO have neither NaN nor infinities.
    finite: bool,
}

impl<E: Real> Walk<'_, E> {
    #[inline(always)]
    fn run<S: Simd<E = E>>(&mut self, simd: S, queries: Range<usize>, dk: &mut [E], dv: &mut [E]) {
        let inputs = self.saved.inputs;
        let d = inputs.q.size;
        let most = QUERY_TILE.min(queries.len());
        let (width, rows) = (Lanes::new(0, most).width, most * padded(d));
        let (columns, scores) = (d * width, KEY_BLOCK * width);
        let lens = [
            columns, rows, columns, rows, columns, scores, scores, width, width, width,
        ];
        let mut buffer = Scratch::new(carved_len(&lens));
        for first in queries.clone().step_by(QUERY_TILE) {
            let [
                q,
                q_rows,
                d_out,
                d_out_rows,
                dq,
                weights,
                d_scores,
                max,
                reciprocal_sum,
                overlap,
            ] = carve(&mut buffer, lens);
            let mut tile = Tile {
                lanes: Lanes::new(first, QUERY_TILE.min(queries.end - first)),
                q,
                q_rows,
                d_out,
                d_out_rows,
                dq,
                weights,
                d_scores,
                max,
                reciprocal_sum,
                overlap,
                finite: true,
            };
            self.fill(simd, &mut tile);
            for block in inputs.key_blocks(first, tile.lanes.count) {
                self.weigh_block(simd, &mut tile, block);
                let at = block * KEY_BLOCK * padded(d);
                self.add_keys(
                    simd,
                    &tile,
                    block,
                    (tile.weights, tile.d_out_rows),
                    &mut dv[at..],
                );
                self.add_keys(
                    simd,
                    &tile,
                    block,
                    (tile.d_scores, tile.q_rows),
                    &mut dk[at..],
                );
            }
            // dS K lacks the factor of dQ; dSᵀ met queries that had it.
            let scale = E::from_f64(inputs.scale);
            tile.max.fill(scale);
            tile.lanes
                .rows(simd, tile.dq, tile.max, &mut self.dq, first - self.first);
        }
    }

    /// Takes up the queries of a tile.
    #[inline(always)]
    fn fill<S: Simd<E = E>>(&self, simd: S, tile: &mut Tile<E>) {
        let Saved {
            inputs,
            rows,
            out,
            d_out,
        } = &self.saved;
        let (lanes, group) = (tile.lanes, inputs.group());
        let scale = E::from_f64(inputs.scale);
        let at = (self.b, self.kv, group);
        lanes.columns(simd, &inputs.q, at, scale, tile.q);
        lanes.columns(simd, d_out, at, E::ONE, tile.d_out);
        tile.dq.fill(E::ZERO);
        for x in [&mut *tile.max, tile.reciprocal_sum, tile.overlap] {
            x.fill(E::ZERO);
        }
        let heads = inputs.q.batch * inputs.k.heads;
        let head = self.b * inputs.k.heads + self.kv;
        let rows = &rows[head * (rows.len() / heads)..];
        let width = padded(inputs.q.size);
        for lane in 0..lanes.count {
            let n = lanes.first + lane;
            let (t, h) = (n / group, self.kv * group + n % group);
            tile.max[lane] = rows[n].max;
            tile.reciprocal_sum[lane] = rows[n].reciprocal_sum;
            let (q, out, d_out) = (
                inputs.q.row(self.b, t, h),
                out.row(self.b, t, h),
                d_out.row(self.b, t, h),
            );
            let overlap = sum_map(simd, [out, d_out], |[o, g]| simd.mul(o, g));
            tile.overlap[lane] = E::from_f64(overlap);
            let (q_row, d_out_row) = (
                &mut tile.q_rows[lane * width..][..width],
                &mut tile.d_out_rows[lane * width..][..width],
            );
            q_row[q.len()..].fill(E::ZERO);
            d_out_row[q.len()..].fill(E::ZERO);
            q_row
                .iter_mut()
                .zip(q)
                .for_each(|(row, &x)| *row = x * scale);
            d_out_row[..q.len()].copy_from_slice(d_out);
        }
        let shape = (lanes.count, width);
        tile.finite = all_finite(simd, tile.q_rows, width, shape)
            && all_finite(simd, tile.d_out_rows, width, shape);
    }

    /// P and dS of a tile and a block, and the block's share of dQ.
    #[inline(always)]
    fn weigh_block<S: Simd<E = E>>(&self, simd: S, tile: &mut Tile<E>, block: usize) {
        for span in tile.lanes.spans::<S, E>(self.saved.inputs, block) {
            let columns = span.column..span.column + span.vectors * S::LANES;
            for key in (0..span.keys.start).chain(span.keys.end..KEY_BLOCK) {
                let row = key * tile.lanes.width;
                tile.weights[row + columns.start..row + columns.end].fill(E::ZERO);
                tile.d_scores[row + columns.start..row + columns.end].fill(E::ZERO);
            }
            if span.keys.is_empty() {
                continue;
            }
            match span.vectors {
                1 => self.weigh_span::<S, 1>(simd, tile, block, &span),
                2 => self.weigh_span::<S, 2>(simd, tile, block, &span),
                _ => self.weigh_span::<S, SPAN>(simd, tile, block, &span),
            }
        }
    }

    #[inline(always)]
    fn weigh_span<S: Simd<E = E>, const N: usize>(
        &self,
        simd: S,
        tile: &mut Tile<E>,
        block: usize,
        span: &Span,
    ) {
        let (inputs, width) = (&self.saved.inputs, tile.lanes.width);
        let reads = span
            .masked
            .then(|| tile.lanes.bounds(simd, inputs, span, block));
        self.scores::<S, N>(simd, tile, block, span);
        self.d_scores::<S, N>(simd, tile, (block, reads), span);
        let keys = inputs.k;
        let sums = Product {
            a: keys.from(self.b, block * KEY_BLOCK + span.keys.start, self.kv),
            a_stride: keys.strides[1],
            b: &tile.d_scores[span.keys.start * width + span.column..],
            b_stride: width,
            rows: keys.size,
            depth: span.keys.len(),
        };
        let add = Add {
            to: &mut tile.dq[span.column..],
            stride: width,
        };
        sums.span_by_column::<S, N>(simd, reads, add);
    }

    /// scale · K Qᵀ, in the place of the weights.
    #[inline(always)]
    fn scores<S: Simd<E = E>, const N: usize>(
        &self,
        simd: S,
        tile: &mut Tile<E>,
        block: usize,
        span: &Span,
    ) {
        let (keys, width) = (self.saved.inputs.k, tile.lanes.width);
        let product = Product {
            a: keys.from(self.b, block * KEY_BLOCK + span.keys.start, self.kv),
            a_stride: keys.strides[1],
            b: &tile.q[span.column..],
            b_stride: width,
            rows: span.keys.len(),
            depth: keys.size,
        };
        let store = Store {
            to: &mut tile.weights[span.keys.start * width + span.column..],
            stride: width,
        };
        product.span_by_row::<S, N>(simd, store);
    }

    /// P from the scores and dS = P ∘ (V dOᵀ − overlap).
    #[inline(always)]
    fn d_scores<S: Simd<E = E>, const N: usize>(
        &self,
        simd: S,
        tile: &mut Tile<E>,
        (block, reads): (usize, Option<Bounds<S, N>>),
        span: &Span,
    ) {
        let (values, width) = (self.saved.inputs.v, tile.lanes.width);
        let product = Product {
            a: values.from(self.b, block * KEY_BLOCK + span.keys.start, self.kv),
            a_stride: values.strides[1],
            b: &tile.d_out[span.column..],
            b_stride: width,
            rows: span.keys.len(),
            depth: values.size,
        };
        let from = span.keys.start * width + span.column;
        let softmax = Softmax {
            weights: &mut tile.weights[from..],
            d_scores: &mut tile.d_scores[from..],
            stride: width,
            max: load::<S, N>(simd, &tile.max[span.column..]),
            reciprocal_sum: load::<S, N>(simd, &tile.reciprocal_sum[span.column..]),
            overlap: load::<S, N>(simd, &tile.overlap[span.column..]),
            reads,
        };
        product.span_by_row::<S, N>(simd, softmax);
    }

    /// Adds Pᵀ dO to dV, or dSᵀ Q to dK, for the keys of a block.
    #[inline(always)]
    fn add_keys<S: Simd<E = E>>(
        &self,
        simd: S,
        tile: &Tile<E>,
        block: usize,
        (left, right): (&[E], &[E]),
        sums: &mut [E],
    ) {
        let inputs = &self.saved.inputs;
        let width = padded(inputs.k.size);
        let first = block * KEY_BLOCK;
        let keys = KEY_BLOCK.min(inputs.k.tokens - first);
        // Alone, a key meets those only who read it: a weight of zero does not keep out a NaN.
        let step = if tile.finite { KEY_ROWS } else { 1 };
        for key in (0..keys).step_by(step) {
            let rows = step.min(keys - key);
            let lanes = tile.lanes.readers(inputs, first + key..first + key + rows);
            if lanes.is_empty() {
                continue;
            }
            let product = |column: usize| Product {
                a: &left[key * tile.lanes.width + lanes.start..],
                a_stride: tile.lanes.width,
                b: &right[lanes.start * width + column..],
                b_stride: width,
                rows,
                depth: lanes.len(),
            };
            let mut column = 0;
            while S::TILE_ROWS == 8 && column + 4 * S::LANES <= width {
                let to = &mut sums[key * width + column..];
                product(column).by_row::<S, KEY_ROWS, 4>(simd, Add { to, stride: width });
                column += 4 * S::LANES;
            }
            while column + 2 * S::LANES <= width {
                let to = &mut sums[key * width + column..];
                product(column).by_row::<S, KEY_ROWS, 2>(simd, Add { to, stride: width });
                column += 2 * S::LANES;
            }
            while column < width {
                let to = &mut sums[key * width + column..];
                product(column).by_row::<S, KEY_ROWS, 1>(simd, Add { to, stride: width });
                column += S::LANES;
            }
        }
    }
}

#[inline(always)]
fn load<S: Simd, const N: usize>(simd: S, source: &[S::E]) -> [S::V; N] {
    let mut vectors = [simd.zero(); N];
    for (n, vector) in vectors.iter_mut().enumerate() {
        *vector = simd.load(&source[n * S::LANES..]);
    }
    vectors
}

/// Makes weights of scores and, from rows of V dOᵀ, the gradient of the scores.
struct Softmax<'a, S: Simd, const N: usize> {
    weights: &'a mut [S::E],
    d_scores: &'a mut [S::E],
    stride: usize,
    max: [S::V; N],
    reciprocal_sum: [S::V; N],
    overlap: [S::V; N],
    reads: Option<Bounds<S, N>>,
}

impl<S: Simd, const N: usize> Emit<S, N> for Softmax<'_, S, N> {
    #[inline(always)]
    fn emit(&mut self, simd: S, row: usize, sums: [S::V; N]) {
        let weights = &mut self.weights[row * self.stride..][..N * S::LANES];
        let d_scores = &mut self.d_scores[row * self.stride..][..N * S::LANES];
        for (n, sum) in sums.into_iter().enumerate() {
            let weight = &mut weights[n * S::LANES..];
            let exp = simd.exp(simd.sub(simd.load(weight), self.max[n]));
            let mut p = simd.mul(exp, self.reciprocal_sum[n]);
            let mut ds = simd.mul(p, simd.sub(sum, self.overlap[n]));
            if let Some(bounds) = self.reads {
                p = bounds.choose(simd, (row, n), p, simd.zero());
                ds = bounds.choose(simd, (row, n), ds, simd.zero());
            }
            simd.store(weight, p);
            simd.store(&mut d_scores[n * S::LANES..], ds);
        }
    }
}
