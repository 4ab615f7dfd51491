//! The path every machine has: arrays of lanes in plain loops, which the compiler vectorises.

use std::array::from_fn;
use std::marker::PhantomData;

use super::{Kernel, Real, Simd, fold_halves};

/// Arrays of `N` lanes. Needs no check, so anyone may make one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable<E, const N: usize>(PhantomData<E>);

impl<E: Real, const N: usize> Portable<E, N> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

/// The bit patterns behind `pow2`.
pub(super) trait Exponent: Real {
    /// `2^self` for integral values in the exponent range.
    fn pow2(self) -> Self;
    /// `|self|`.
    fn magnitude(self) -> Self;
}

impl Exponent for f32 {
    #[inline(always)]
    fn pow2(self) -> Self {
        // 2²³ + 127 + n has the biased exponent in its lowest bits.
        f32::from_bits((self + 8_388_735.0).to_bits() << 23)
    }

    #[inline(always)]
    fn magnitude(self) -> Self {
        self.abs()
    }
}

impl Exponent for f64 {
    #[inline(always)]
    fn pow2(self) -> Self {
        // 2⁵² + 1023 + n, as for f32.
        f64::from_bits((self + 4_503_599_627_371_519.0).to_bits() << 52)
    }

    #[inline(always)]
    fn magnitude(self) -> Self {
        self.abs()
    }
}

impl<E: Exponent, const N: usize> Simd for Portable<E, N> {
    type E = E;
    type V = [E; N];
    const LANES: usize = N;
    const TILE_ROWS: usize = 4;

    #[inline(always)]
    fn enter<K: Kernel<E>>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, value: E) -> [E; N] {
        [value; N]
    }

    #[inline(always)]
    fn load(self, source: &[E]) -> [E; N] {
        let source = &source[..N];
        from_fn(|i| source[i])
    }

    #[inline(always)]
    fn load_partial(self, source: &[E], fill: E) -> [E; N] {
        from_fn(|i| source.get(i).copied().unwrap_or(fill))
    }

    #[inline(always)]
    fn store(self, target: &mut [E], v: [E; N]) {
        target[..N].copy_from_slice(&v);
    }

    #[inline(always)]
    fn store_partial(self, target: &mut [E], v: [E; N]) {
        target
            .iter_mut()
            .zip(v)
            .for_each(|(target, lane)| *target = lane);
    }

    #[inline(always)]
    fn add(self, a: [E; N], b: [E; N]) -> [E; N] {
        from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: [E; N], b: [E; N]) -> [E; N] {
        from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: [E; N], b: [E; N]) -> [E; N] {
        from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn div(self, a: [E; N], b: [E; N]) -> [E; N] {
        from_fn(|i| a[i] / b[i])
    }

    #[inline(always)]
    fn mul_add(self, a: [E; N], b: [E; N], c: [E; N]) -> [E; N] {
        // Not `mul_add` of the type: without the instruction that is a slow library call.
        from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn max(self, a: [E; N], b: [E; N]) -> [E; N] {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn min(self, a: [E; N], b: [E; N]) -> [E; N] {
        from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn neg(self, a: [E; N]) -> [E; N] {
        from_fn(|i| -a[i])
    }

    #[inline(always)]
    fn abs(self, a: [E; N]) -> [E; N] {
        from_fn(|i| a[i].magnitude())
    }

    #[inline(always)]
    fn sqrt(self, a: [E; N]) -> [E; N] {
        from_fn(|i| a[i].sqrt())
    }

    #[inline(always)]
    fn select_lt(self, a: [E; N], b: [E; N], yes: [E; N], no: [E; N]) -> [E; N] {
        from_fn(|i| if a[i] < b[i] { yes[i] } else { no[i] })
    }

    #[inline(always)]
    fn pow2(self, n: [E; N]) -> [E; N] {
        from_fn(|i| n[i].pow2())
    }

    #[inline(always)]
    fn reduce_sum(self, v: [E; N]) -> E {
        fold_halves(v, |a, b| a + b)
    }

    #[inline(always)]
    fn reduce_max(self, v: [E; N]) -> E {
        fold_halves(v, |a, b| if a > b { a } else { b })
    }
}
