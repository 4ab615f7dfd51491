//! Elementary functions of f32 vectors by range reduction and polynomials.

use super::{Real, Simd};

/// `e^x` is below half the least denormal here, and rounds to zero.
const EXP_UNDERFLOW: f32 = -104.0;
/// `e^x` is above the greatest finite number here.
const EXP_OVERFLOW: f32 = 89.0;
/// ln 2 in two parts: the first has few enough bits that a product with an exponent is exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// `p` in `e^r ≈ 1 + r + r² p(r)`, lowest power first. A minimax fit over |r| ≤ ln 2 / 2 that we
/// made; its own error is 4e-9 relative, a fifteenth of an ulp.
const EXP_TAIL: [f32; 5] = [
    0.499_999_94,
    0.166_665_21,
    0.041_668_39,
    0.008_368_745,
    0.001_381_454,
];

/// The integers nearest to `a`, for |a| below a third of the magic number.
#[inline(always)]
pub(super) fn round<S: Simd>(s: S, a: S::V) -> S::V {
    let magic = s.splat(S::E::ROUND_MAGIC);
    s.sub(s.add(a, magic), magic)
}

/// A polynomial with coefficients from the lowest power up, by Horner's rule.
#[inline(always)]
fn polynomial<S: Simd<E = f32>, const N: usize>(s: S, a: S::V, c: &[f32; N]) -> S::V {
    let mut sum = s.splat(c[N - 1]);
    for &coefficient in c[..N - 1].iter().rev() {
        sum = s.mul_add(sum, a, s.splat(coefficient));
    }
    sum
}

/// `eᵃ`: a = n ln 2 + r with |r| ≤ ln 2 / 2, then `e^r` by polynomial and 2ⁿ by exponent bits.
#[inline(always)]
pub(super) fn exp<S: Simd<E = f32>>(s: S, a: S::V) -> S::V {
    // The value stands second in both, where NaN is kept.
    let a = s.min(s.splat(EXP_OVERFLOW), s.max(s.splat(EXP_UNDERFLOW), a));
    let n = round(s, s.mul(a, s.splat(std::f32::consts::LOG2_E)));
    let r = s.mul_add(n, s.splat(-LN_2_HIGH), a);
    let r = s.mul_add(n, s.splat(-LN_2_LOW), r);
    let tail = s.mul_add(s.mul(r, r), polynomial(s, r, &EXP_TAIL), r);
    let y = s.add(tail, s.splat(1.0));
    s.scale_pow2(y, n)
}
