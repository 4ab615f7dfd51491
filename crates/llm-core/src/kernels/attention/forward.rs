//! Forward: a tile of queries walks the blocks of keys that it reads.

use std::mem::MaybeUninit;

use candle_core::WithDType;

use super::lanes::{Lanes, SPAN, Span, carve, carved_len};
use super::product::{Emit, Product, Store};
use super::{Inputs, KEY_BLOCK, QUERY_TILE, RowSoftmax, written};
use crate::kernels::heads::{HeadsMut, RowsMut};
use crate::kernels::pool::{Chunks, for_each};
use crate::kernels::rows::grain;
use crate::kernels::scratch::Scratch;
use crate::kernels::simd::{Isa, Kernel, Real, Simd};

/// What the queries read, and each query's softmax.
///
/// # Shapes
/// `[B, T, H, D]`, `[B, K, queries up to whole tiles]`.
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
    let (queries, group) = (inputs.queries(), inputs.group());
    let tile = QUERY_TILE.min(queries);
    let tiles = queries.div_ceil(tile);
    let mut rows = vec![RowSoftmax::default(); b * inputs.k.heads * tiles * tile];
    let isa = Isa::active();
    // Half of the products that a tile would make without a mask.
    let work = grain(tile * inputs.k.tokens.min(inputs.window) * d / 2);
    let write = |out: &mut [MaybeUninit<E>]| {
        let [out] = HeadsMut::side_by_side(out, [b, t, d], [h]);
        let out = out.in_pieces(group, (0..tiles).map(|i| i * tile).collect());
        let outputs = (out, Chunks::new(&mut rows, tile));
        for_each(outputs, work, |index, (out, rows)| {
            let head = index / tiles;
            isa.run(Tile {
                inputs,
                b: head / inputs.k.heads,
                kv: head % inputs.k.heads,
                lanes: Lanes::new(index % tiles * tile, out.len()),
                out,
                rows,
            });
        });
    };
    // SAFETY: the pieces cover the tensor, and each tile writes all rows of its piece.
    let (out, ()) = unsafe { written(b * t * h * d, write) };
    (out, rows)
}

struct Tile<'a, E> {
    inputs: Inputs<'a, E>,
    /// Batch row and key-value head.
    b: usize,
    kv: usize,
    lanes: Lanes,
    /// `[queries, D]`
    out: RowsMut<'a, MaybeUninit<E>>,
    /// `[queries]`
    rows: &'a mut [RowSoftmax<E>],
}

/// What a tile works on; a query to a lane.
struct Work<'a, E> {
    /// scale · q `[D, width]`
    queries: &'a mut [E],
    /// What was read so far, relative to `max` `[D, width]`
    out: &'a mut [E],
    /// Scores, then weights, of a span `[KEY_BLOCK, SPAN vectors]`
    scores: &'a mut [E],
    /// The largest score so far `[width]`
    max: &'a mut [E],
    /// Σ exp(s − max) so far, later its reciprocal `[width]`
    sum: &'a mut [E],
}

impl<E: Real> Kernel<E> for Tile<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(mut self, simd: S) {
        let (d, width) = (self.inputs.q.size, self.lanes.width);
        let lens = [
            d * width,
            d * width,
            KEY_BLOCK * SPAN * S::LANES,
            width,
            width,
        ];
        let mut buffer = Scratch::new(carved_len(&lens));
        let [queries, out, scores, max, sum] = carve(&mut buffer, lens);
        let mut work = Work {
            queries,
            out,
            scores,
            max,
            sum,
        };
        let at = (self.b, self.kv, self.inputs.group());
        let scale = E::from_f64(self.inputs.scale);
        self.lanes
            .columns(simd, &self.inputs.q, at, scale, work.queries);
        work.out.fill(E::ZERO);
        work.max.fill(E::from_f64(f64::NEG_INFINITY));
        work.sum.fill(E::ZERO);
        for block in self.inputs.key_blocks(self.lanes.first, self.lanes.count) {
            for span in self.lanes.spans::<S, E>(self.inputs, block) {
                if span.keys.is_empty() {
                    continue;
                }
                match span.vectors {
                    1 => self.read::<S, 1>(simd, &mut work, block, &span),
                    2 => self.read::<S, 2>(simd, &mut work, block, &span),
                    _ => self.read::<S, SPAN>(simd, &mut work, block, &span),
                }
            }
        }
        for sum in work.sum.iter_mut() {
            *sum = E::ONE / *sum;
        }
        for (lane, row) in self.rows.iter_mut().take(self.lanes.count).enumerate() {
            *row = RowSoftmax {
                max: work.max[lane],
                reciprocal_sum: work.sum[lane],
            };
        }
        self.lanes.rows(simd, work.out, work.sum, &mut self.out, 0);
    }
}

impl<E: Real> Tile<'_, E> {
    /// Lets a span of queries read a block.
    #[inline(always)]
    fn read<S: Simd<E = E>, const N: usize>(
        &self,
        simd: S,
        work: &mut Work<E>,
        block: usize,
        span: &Span,
    ) {
        let (width, line) = (self.lanes.width, N * S::LANES);
        let first = block * KEY_BLOCK + span.keys.start;
        let (keys, values) = (&self.inputs.k, &self.inputs.v);
        let scores = Product {
            a: keys.from(self.b, first, self.kv),
            a_stride: keys.strides[1],
            b: &work.queries[span.column..],
            b_stride: width,
            rows: span.keys.len(),
            depth: keys.size,
        };
        let store = Store {
            to: work.scores,
            stride: line,
        };
        scores.span_by_row::<S, N>(simd, store);
        let reads = span
            .masked
            .then(|| self.lanes.bounds(simd, &self.inputs, span, block));
        if let Some(bounds) = reads {
            let lowest = simd.splat(E::from_f64(f64::NEG_INFINITY));
            for (row, scores) in work.scores[..span.keys.len() * line]
                .chunks_exact_mut(line)
                .enumerate()
            {
                for (n, score) in scores.chunks_exact_mut(S::LANES).enumerate() {
                    let masked = bounds.choose(simd, (row, n), simd.load(score), lowest);
                    simd.store(score, masked);
                }
            }
        }
        let fade = weigh::<S, N>(simd, work, span);
        let sums = Product {
            a: values.from(self.b, first, self.kv),
            a_stride: values.strides[1],
            b: work.scores,
            b_stride: line,
            rows: values.size,
            depth: span.keys.len(),
        };
        let add = AddFaded {
            to: &mut work.out[span.column..],
            stride: width,
            fade,
        };
        sums.span_by_column::<S, N>(simd, reads, add);
    }
}

/// Adds rows `stride` apart to what is there, times a factor.
struct AddFaded<'a, S: Simd, const N: usize> {
    to: &'a mut [S::E],
    stride: usize,
    fade: [S::V; N],
}

impl<S: Simd, const N: usize> Emit<S, N> for AddFaded<'_, S, N> {
    #[inline(always)]
    fn emit(&mut self, simd: S, row: usize, sums: [S::V; N]) {
        let to = &mut self.to[row * self.stride..][..N * S::LANES];
        for (n, sum) in sums.into_iter().enumerate() {
            let to = &mut to[n * S::LANES..];
            simd.store(to, simd.mul_add(simd.load(to), self.fade[n], sum));
        }
    }
}

/// Turns scores into weights relative to the largest score so far, and returns the factor that
/// does so to what was read before.
#[inline(always)]
fn weigh<S: Simd, const N: usize>(simd: S, work: &mut Work<S::E>, span: &Span) -> [S::V; N] {
    let (max, sum) = (&mut work.max[span.column..], &mut work.sum[span.column..]);
    let scores = &mut work.scores[..span.keys.len() * N * S::LANES];
    let mut before = [simd.zero(); N];
    for (n, before) in before.iter_mut().enumerate() {
        *before = simd.load(&max[n * S::LANES..]);
    }
    let mut largest = before;
    for scores in scores.chunks_exact(N * S::LANES) {
        for (n, largest) in largest.iter_mut().enumerate() {
            *largest = simd.max(*largest, simd.load(&scores[n * S::LANES..]));
        }
    }
    // Without a score above −∞ nothing can be weighed yet, and −∞ − 0 keeps it so.
    let lowest = simd.splat(S::E::from_f64(f64::NEG_INFINITY));
    let mut shift = largest;
    for shift in &mut shift {
        *shift = simd.select_lt(lowest, *shift, *shift, simd.zero());
    }
    let mut sums = [simd.zero(); N];
    for scores in scores.chunks_exact_mut(N * S::LANES) {
        for n in 0..N {
            let score = &mut scores[n * S::LANES..];
            let weight = simd.exp(simd.sub(simd.load(score), shift[n]));
            sums[n] = simd.add(sums[n], weight);
            simd.store(score, weight);
        }
    }
    let mut fade = before;
    for (n, fade) in fade.iter_mut().enumerate() {
        *fade = simd.exp(simd.sub(*fade, shift[n]));
        simd.store(&mut max[n * S::LANES..], largest[n]);
        let sum = &mut sum[n * S::LANES..];
        simd.store(sum, simd.mul_add(simd.load(sum), *fade, sums[n]));
    }
    fade
}
