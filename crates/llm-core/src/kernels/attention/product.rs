//! The small matrix product that all five products of attention are made of.

use crate::kernels::simd::Simd;

/// `c[i][j] += Σ_k a(i, k) · b[k][j]`, the sum over `k` as one chain in order.
pub(super) struct Product<'a, E> {
    /// `a(i, k) = a[i · a_strides.0 + k · a_strides.1]`
    pub(super) a: &'a [E],
    pub(super) a_strides: (usize, usize),
    /// Rows of `width` elements.
    pub(super) b: &'a [E],
    /// Rows of `width` elements.
    pub(super) c: &'a mut [E],
    /// Columns of `b` and `c`, a multiple of every lane count.
    pub(super) width: usize,
    /// Rows of `c`.
    pub(super) rows: usize,
    /// Rows of `b`.
    pub(super) depth: usize,
}

impl<E: Copy> Product<'_, E> {
    #[inline(always)]
    pub(super) fn run<S: Simd<E = E>>(mut self, simd: S) {
        let mut column = 0;
        while column + 4 * S::LANES <= self.width {
            self.columns::<S, 4>(simd, column);
            column += 4 * S::LANES;
        }
        while column < self.width {
            self.columns::<S, 1>(simd, column);
            column += S::LANES;
        }
    }

    #[inline(always)]
    fn columns<S: Simd<E = E>, const N: usize>(&mut self, simd: S, column: usize) {
        let mut row = 0;
        while row + 4 <= self.rows {
            self.tile::<S, 4, N>(simd, row, column);
            row += 4;
        }
        while row < self.rows {
            self.tile::<S, 1, N>(simd, row, column);
            row += 1;
        }
    }

    /// `R` rows by `N` vectors, kept in registers over the whole depth.
    #[inline(always)]
    fn tile<S: Simd<E = E>, const R: usize, const N: usize>(
        &mut self,
        simd: S,
        row: usize,
        column: usize,
    ) {
        let (a_row, a_step) = self.a_strides;
        let mut sums = [[simd.zero(); N]; R];
        for k in 0..self.depth {
            let b = &self.b[k * self.width + column..][..N * S::LANES];
            let a = &self.a[row * a_row + k * a_step..];
            for r in 0..R {
                let factor = simd.splat(a[r * a_row]);
                for n in 0..N {
                    let b = simd.load(&b[n * S::LANES..]);
                    sums[r][n] = simd.mul_add(factor, b, sums[r][n]);
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            let c = &mut self.c[(row + r) * self.width + column..][..N * S::LANES];
            for (n, sum) in sums.into_iter().enumerate() {
                let c = &mut c[n * S::LANES..];
                simd.store(c, simd.add(simd.load(c), sum));
            }
        }
    }
}
