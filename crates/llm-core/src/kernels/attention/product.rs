//! The small matrix products that attention is made of: a tile of sums in registers, the right
//! factor in the first-level cache, the left one read where it lies.

use super::lanes::{Bounds, all_finite};
use crate::kernels::simd::{Real, Simd};

/// `c(r, n) = Σ_k a(r, k) · b[k][n]`, each sum one chain over `k` that begins at zero.
pub(super) struct Product<'a, E> {
    pub(super) a: &'a [E],
    /// Elements from one row of `a`, as it lies, to the next.
    pub(super) a_stride: usize,
    pub(super) b: &'a [E],
    /// Elements from one row of `b` to the next.
    pub(super) b_stride: usize,
    /// Rows of the result.
    pub(super) rows: usize,
    /// Terms of a sum.
    pub(super) depth: usize,
}

/// How the left factor lies in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// `a(r, k) = a[r · stride + k]`
    Rows,
    /// `a(r, k) = a[k · stride + r]`
    Columns,
}

/// What becomes of the rows of a product. A trait and not a closure, since only a method can be
/// made to inline, and code that is not inlined is compiled without the instruction set.
pub(super) trait Emit<S: Simd, const N: usize> {
    /// Takes row `row` of the result. Mark it `#[inline(always)]`.
    fn emit(&mut self, simd: S, row: usize, sums: [S::V; N]);
}

/// Rows `stride` apart, overwritten.
pub(super) struct Store<'a, E> {
    pub(super) to: &'a mut [E],
    pub(super) stride: usize,
}

impl<S: Simd, const N: usize> Emit<S, N> for Store<'_, S::E> {
    #[inline(always)]
    fn emit(&mut self, simd: S, row: usize, sums: [S::V; N]) {
        let to = &mut self.to[row * self.stride..][..N * S::LANES];
        for (n, sum) in sums.into_iter().enumerate() {
            simd.store(&mut to[n * S::LANES..], sum);
        }
    }
}

/// Rows `stride` apart, added to.
pub(super) struct Add<'a, E> {
    pub(super) to: &'a mut [E],
    pub(super) stride: usize,
}

impl<S: Simd, const N: usize> Emit<S, N> for Add<'_, S::E> {
    #[inline(always)]
    fn emit(&mut self, simd: S, row: usize, sums: [S::V; N]) {
        let to = &mut self.to[row * self.stride..][..N * S::LANES];
        for (n, sum) in sums.into_iter().enumerate() {
            let to = &mut to[n * S::LANES..];
            simd.store(to, simd.add(simd.load(to), sum));
        }
    }
}

impl<E: Real> Product<'_, E> {
    /// `a · b`, `N` vectors wide, where `a` has a row of its own for each row of the result.
    #[inline(always)]
    pub(super) fn by_row<S: Simd<E = E>, const R: usize, const N: usize>(
        &self,
        simd: S,
        emit: impl Emit<S, N>,
    ) {
        self.rows_of::<S, R, N>(simd, Order::Rows, emit);
    }

    /// As [`Product::by_row`] with as many rows at once as suit spans of queries.
    #[inline(always)]
    pub(super) fn span_by_row<S: Simd<E = E>, const N: usize>(
        &self,
        simd: S,
        emit: impl Emit<S, N>,
    ) {
        if S::TILE_ROWS == 8 {
            self.rows_of::<S, 8, N>(simd, Order::Rows, emit);
        } else {
            self.rows_of::<S, 4, N>(simd, Order::Rows, emit);
        }
    }

    /// As [`Product::span_by_row`], where `a` has a row for each term of the sums: a key, of which
    /// those lanes only have a share that read it.
    #[inline(always)]
    pub(super) fn span_by_column<S: Simd<E = E>, const N: usize>(
        &self,
        simd: S,
        reads: Option<Bounds<S, N>>,
        mut emit: impl Emit<S, N>,
    ) {
        if let Some(bounds) = reads
            && !all_finite(simd, self.a, self.a_stride, (self.depth, self.rows))
        {
            // A weight of zero does not keep out a NaN.
            for row in 0..self.rows {
                let sums = self.chains_of_readers(simd, row, bounds);
                emit.emit(simd, row, sums);
            }
        } else if S::TILE_ROWS == 8 {
            self.rows_of::<S, 8, N>(simd, Order::Columns, emit);
        } else {
            self.rows_of::<S, 4, N>(simd, Order::Columns, emit);
        }
    }

    /// One row of sums without the terms that a lane does not read.
    #[inline(always)]
    fn chains_of_readers<S: Simd<E = E>, const N: usize>(
        &self,
        simd: S,
        row: usize,
        bounds: Bounds<S, N>,
    ) -> [S::V; N] {
        let mut sums = [simd.zero(); N];
        for k in 0..self.depth {
            let a = simd.splat(self.a[k * self.a_stride + row]);
            for (n, sum) in sums.iter_mut().enumerate() {
                let b = simd.load(&self.b[k * self.b_stride + n * S::LANES..]);
                let with = simd.mul_add(a, b, *sum);
                *sum = bounds.choose(simd, (k, n), with, *sum);
            }
        }
        sums
    }

    /// Tiles of `R` rows, then what is left of them.
    #[inline(always)]
    fn rows_of<S: Simd<E = E>, const R: usize, const N: usize>(
        &self,
        simd: S,
        order: Order,
        mut emit: impl Emit<S, N>,
    ) {
        let mut row = 0;
        while row + R <= self.rows {
            let sums = self.tile::<S, R, N>(simd, order, row);
            for (i, sums) in sums.into_iter().enumerate() {
                emit.emit(simd, row + i, sums);
            }
            row += R;
        }
        while row < self.rows {
            let [sums] = self.tile::<S, 1, N>(simd, order, row);
            emit.emit(simd, row, sums);
            row += 1;
        }
    }

    /// `R` rows by `N` vectors, kept in registers over the whole depth.
    #[inline(always)]
    fn tile<S: Simd<E = E>, const R: usize, const N: usize>(
        &self,
        simd: S,
        order: Order,
        row: usize,
    ) -> [[S::V; N]; R] {
        let mut sums = [[simd.zero(); N]; R];
        if order == Order::Rows {
            let mut rows = [&self.a[..0]; R];
            for (r, rows) in rows.iter_mut().enumerate() {
                *rows = &self.a[(row + r) * self.a_stride..][..self.depth];
            }
            for k in 0..self.depth {
                let mut a = [E::ZERO; R];
                for (a, row) in a.iter_mut().zip(rows) {
                    *a = row[k];
                }
                step(simd, &a, &self.b[k * self.b_stride..], &mut sums);
            }
        } else {
            for k in 0..self.depth {
                let a = &self.a[k * self.a_stride + row..][..R];
                step(simd, a, &self.b[k * self.b_stride..], &mut sums);
            }
        }
        sums
    }
}

/// One term of every sum of a tile.
#[inline(always)]
fn step<S: Simd, const R: usize, const N: usize>(
    simd: S,
    a: &[S::E],
    b: &[S::E],
    sums: &mut [[S::V; N]; R],
) {
    let b = &b[..N * S::LANES];
    let mut vectors = [simd.zero(); N];
    for (n, vector) in vectors.iter_mut().enumerate() {
        *vector = simd.load(&b[n * S::LANES..]);
    }
    for (sums, &a) in sums.iter_mut().zip(a) {
        let a = simd.splat(a);
        for (sum, b) in sums.iter_mut().zip(vectors) {
            *sum = simd.mul_add(a, b, *sum);
        }
    }
}
