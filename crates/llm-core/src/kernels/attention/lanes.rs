//! Queries side by side in the lanes of vectors.

use std::mem::MaybeUninit;
use std::ops::Range;

use candle_core::WithDType;

use super::{Inputs, KEY_BLOCK};
use crate::kernels::heads::{Heads, RowsMut};
use crate::kernels::simd::{MAX_LANES, Real, Simd};

/// Vectors of queries that are worked on at once: beside eight rows of sums they fill the
/// registers of AVX-512, beside four those of AVX2.
pub(super) const SPAN: usize = 3;
/// Keys of a span are a multiple of this where possible, for whole tiles.
const KEY_STEP: usize = 8;
/// Bytes of a cache line, where buffers begin.
const LINE: usize = 64;

/// A run of queries of one key-value head, one to a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes {
    /// The first query, counted as in [`Inputs::queries`].
    pub(super) first: usize,
    pub(super) count: usize,
    /// `count` up to whole vectors of every instruction set.
    pub(super) width: usize,
}

/// Neighbouring lanes and the keys of a block that they have to do with.
#[derive(Clone, Debug)]
pub(super) struct Span {
    /// The first lane.
    pub(super) column: usize,
    /// At most [`SPAN`].
    pub(super) vectors: usize,
    /// Counted from the block's first key.
    pub(super) keys: Range<usize>,
    /// Whether some lane does not read some of the keys.
    pub(super) masked: bool,
}

impl Lanes {
    pub(super) fn new(first: usize, count: usize) -> Self {
        let width = count.next_multiple_of(MAX_LANES);
        Self {
            first,
            count,
            width,
        }
    }

    /// The query of a lane; lanes past the last query stand for the last.
    fn query(&self, lane: usize) -> usize {
        self.first + lane.min(self.count - 1)
    }

    /// All lanes in spans, left to right, for the keys of `block`.
    #[inline(always)]
    pub(super) fn spans<S: Simd, E: Real>(
        self,
        inputs: Inputs<'_, E>,
        block: usize,
    ) -> impl Iterator<Item = Span> {
        let mut column = 0;
        std::iter::from_fn(move || {
            if column >= self.count {
                return None;
            }
            let reads = |lane| inputs.reads_in(self.query(lane), block);
            let vectors = SPAN.min((self.count - column).div_ceil(S::LANES));
            let first = reads(column);
            let last = reads(column + vectors * S::LANES - 1);
            let masked = first != last;
            let mut keys = first.start..last.end;
            if masked && !keys.is_empty() {
                let limit = KEY_BLOCK.min(inputs.k.tokens - block * KEY_BLOCK);
                let whole = keys.len().next_multiple_of(KEY_STEP);
                keys.end = limit.min(keys.start + whole);
            }
            let span = Span {
                column,
                vectors,
                keys,
                masked,
            };
            column += vectors * S::LANES;
            Some(span)
        })
    }

    /// The lanes that read any of the keys at the positions `keys`.
    pub(super) fn readers<E: Real>(&self, inputs: &Inputs<E>, keys: Range<usize>) -> Range<usize> {
        let (first_position, group) = (inputs.first_position(), inputs.group());
        let from = keys.start.saturating_sub(first_position) * group;
        let past = (keys.end - 1).saturating_add(inputs.window);
        let to = past.saturating_sub(first_position).saturating_mul(group);
        let lane = |query: usize| query.clamp(self.first, self.first + self.count) - self.first;
        lane(from)..lane(to)
    }

    /// Which keys of `block` each lane of `span` reads.
    #[inline(always)]
    pub(super) fn bounds<S: Simd, const N: usize>(
        &self,
        simd: S,
        inputs: &Inputs<S::E>,
        span: &Span,
        block: usize,
    ) -> Bounds<S, N> {
        let mut bounds = Bounds {
            first: span.keys.start,
            start: [simd.zero(); N],
            end: [simd.zero(); N],
        };
        for n in 0..N {
            let (mut start, mut end) = ([S::E::ZERO; MAX_LANES], [S::E::ZERO; MAX_LANES]);
            for lane in 0..S::LANES {
                let query = self.query(span.column + n * S::LANES + lane);
                let reads = inputs.reads_in(query, block);
                start[lane] = S::E::from_f64(reads.start as f64);
                end[lane] = S::E::from_f64(reads.end as f64);
            }
            bounds.start[n] = simd.load(&start);
            bounds.end[n] = simd.load(&end);
        }
        bounds
    }

    /// Heads of the lanes' queries in columns, times `factor`; zero past the last query.
    ///
    /// # Shapes
    /// `x [B, T, H, D]` → `[D, width]`; `at` = batch row, key-value head, group.
    #[inline(always)]
    pub(super) fn columns<S: Simd>(
        &self,
        simd: S,
        x: &Heads<S::E>,
        at: (usize, usize, usize),
        factor: S::E,
        out: &mut [S::E],
    ) {
        let ((b, kv, group), factor) = (at, simd.splat(factor));
        for column in (0..self.width).step_by(S::LANES) {
            let lanes = S::LANES.min(self.count.saturating_sub(column));
            let mut rows = [&x.data[..0]; MAX_LANES];
            for (lane, row) in rows.iter_mut().take(lanes).enumerate() {
                let n = self.first + column + lane;
                *row = x.row(b, n / group, kv * group + n % group);
            }
            for from in (0..x.size).step_by(S::LANES) {
                let to = x.size.min(from + S::LANES);
                let mut square = [simd.zero(); MAX_LANES];
                for (square, row) in square.iter_mut().zip(rows).take(lanes) {
                    let x = match to - from == S::LANES {
                        true => simd.load(&row[from..]),
                        false => simd.load_partial(&row[from..to], S::E::ZERO),
                    };
                    *square = simd.mul(x, factor);
                }
                simd.transpose(&mut square[..S::LANES]);
                for (row, x) in (from..to).zip(square) {
                    simd.store(&mut out[row * self.width + column..], x);
                }
            }
        }
    }

    /// Columns as rows of a tensor, each times its factor.
    ///
    /// # Shapes
    /// `x [D, width]`, `factors [width]` → rows `first ..` of `out`, `[count, D]`.
    #[inline(always)]
    pub(super) fn rows<S: Simd>(
        &self,
        simd: S,
        x: &[S::E],
        factors: &[S::E],
        out: &mut RowsMut<MaybeUninit<S::E>>,
        first: usize,
    ) {
        let d = out.size();
        for column in (0..self.count).step_by(S::LANES) {
            let factor = simd.load(&factors[column..]);
            for from in (0..d).step_by(S::LANES) {
                let to = d.min(from + S::LANES);
                let mut square = [simd.zero(); MAX_LANES];
                for (row, square) in (from..to).zip(&mut square) {
                    *square = simd.mul(simd.load(&x[row * self.width + column..]), factor);
                }
                simd.transpose(&mut square[..S::LANES]);
                for (lane, row) in (column..self.count).zip(square).take(S::LANES) {
                    let mut line = [S::E::ZERO; MAX_LANES];
                    simd.store(&mut line, row);
                    let out = &mut out.row_mut(first + lane)[from..to];
                    for (out, x) in out.iter_mut().zip(line) {
                        out.write(x);
                    }
                }
            }
        }
    }
}

/// For each lane of a span the keys of a block that it reads.
#[derive(Clone, Copy)]
pub(super) struct Bounds<S: Simd, const N: usize> {
    /// The first key of the span, from which rows count.
    first: usize,
    start: [S::V; N],
    end: [S::V; N],
}

impl<S: Simd, const N: usize> Bounds<S, N> {
    /// Per lane of vector `n`: `yes` where the key of row `row` is read, else `no`.
    #[inline(always)]
    pub(super) fn choose(&self, simd: S, (row, n): (usize, usize), yes: S::V, no: S::V) -> S::V {
        let key = simd.splat(S::E::from_f64((self.first + row) as f64));
        let before_end = simd.select_lt(key, self.end[n], yes, no);
        simd.select_lt(key, self.start[n], no, before_end)
    }
}

/// Parts of `buffer` with the given lengths, each from the start of a cache line. The buffer is
/// [`carved_len`] long.
pub(super) fn carve<E, const N: usize>(buffer: &mut [E], lens: [usize; N]) -> [&mut [E]; N] {
    let skip = buffer.as_ptr().align_offset(LINE);
    let mut rest = &mut buffer[skip..];
    lens.map(|len| {
        let whole = len.next_multiple_of(MAX_LANES);
        let (part, after) = std::mem::take(&mut rest).split_at_mut(whole);
        rest = after;
        &mut part[..len]
    })
}

/// The length of a buffer for [`carve`].
pub(super) fn carved_len(lens: &[usize]) -> usize {
    let parts: usize = lens.iter().map(|len| len.next_multiple_of(MAX_LANES)).sum();
    parts + LINE
}

/// Whether no element of the rows is infinite or NaN.
#[inline(always)]
pub(super) fn all_finite<S: Simd>(
    simd: S,
    rows: &[S::E],
    stride: usize,
    shape: (usize, usize),
) -> bool {
    let (count, size) = shape;
    let mut sum = simd.zero();
    for row in 0..count {
        let row = &rows[row * stride..][..size];
        for x in row.chunks(S::LANES) {
            let x = simd.load_partial(x, S::E::ZERO);
            // Zero times a finite number is zero, anything else is NaN.
            sum = simd.mul_add(x, simd.zero(), sum);
        }
    }
    simd.reduce_sum(sum).is_finite()
}
