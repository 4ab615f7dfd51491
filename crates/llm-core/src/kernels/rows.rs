//! Loops over the elements of one row, shared by the kernels that work row by row.
//!
//! Every result depends on the row's own elements and length alone, so a row computed by itself
//! has the same bits as in a batch.

use candle_core::WithDType;

use super::simd::{MAX_LANES, Real, Simd};

/// Reals whose sum is kept in vector registers before it moves to an f64: short enough that
/// rounding in f32 stays near one unit in the last place, long enough that the move is free.
const BLOCK: usize = 512;

/// Elements that are worth handing to another thread.
const SHARE: usize = 16 * 1024;

/// How many pieces of `elements` each are worth handing to another thread.
pub(crate) fn grain(elements: usize) -> usize {
    SHARE.div_ceil(elements.max(1))
}

/// `out[i] = f(inputs[0][i], inputs[1][i], ..)` for every element of `out`.
#[inline(always)]
pub(crate) fn zip_map<S: Simd, const N: usize>(
    simd: S,
    inputs: [&[S::E]; N],
    out: &mut [S::E],
    f: impl Fn([S::V; N]) -> S::V,
) {
    let n = out.len();
    let inputs = inputs.map(|x| &x[..n]);
    let whole = n - n % S::LANES;
    for i in (0..whole).step_by(S::LANES) {
        let y = f(inputs.map(|x| simd.load(&x[i..])));
        simd.store(&mut out[i..], y);
    }
    if whole < n {
        let y = f(inputs.map(|x| simd.load_partial(&x[whole..], S::E::ZERO)));
        simd.store_partial(&mut out[whole..], y);
    }
}

/// `Σ f(inputs[0][i], inputs[1][i], ..)` over all elements, in a fixed order.
#[inline(always)]
pub(crate) fn sum_map<S: Simd, const N: usize>(
    simd: S,
    inputs: [&[S::E]; N],
    f: impl Fn([S::V; N]) -> S::V,
) -> f64 {
    let n = inputs[0].len();
    let inputs = inputs.map(|x| &x[..n]);
    let zero = simd.splat(S::E::ZERO);
    let mut total = 0.0;
    for start in (0..n).step_by(BLOCK) {
        let end = n.min(start + BLOCK);
        let whole = end - (end - start) % S::LANES;
        // Two chains hide half of the latency of an addition.
        let (mut even, mut odd) = (zero, zero);
        for i in (start..whole).step_by(2 * S::LANES) {
            even = simd.add(even, f(inputs.map(|x| simd.load(&x[i..]))));
            if i + S::LANES < whole {
                odd = simd.add(odd, f(inputs.map(|x| simd.load(&x[i + S::LANES..]))));
            }
        }
        if whole < end {
            // f(0) need not be 0: only the lanes that stand for elements may count.
            let mut lanes = [S::E::ZERO; MAX_LANES];
            let y = f(inputs.map(|x| simd.load_partial(&x[whole..end], S::E::ZERO)));
            simd.store_partial(&mut lanes[..end - whole], y);
            even = simd.add(even, simd.load(&lanes));
        }
        total += simd.reduce_sum(simd.add(even, odd)).to_f64();
    }
    total
}

/// The largest element of a row; −∞ for an empty one.
#[inline(always)]
pub(crate) fn max<S: Simd>(simd: S, x: &[S::E]) -> S::E {
    let lowest = S::E::from_f64(f64::NEG_INFINITY);
    let whole = x.len() - x.len() % S::LANES;
    let mut largest = simd.splat(lowest);
    for i in (0..whole).step_by(S::LANES) {
        largest = simd.max(largest, simd.load(&x[i..]));
    }
    let rest = x[whole..]
        .iter()
        .fold(lowest, |a, &b| if b > a { b } else { a });
    let largest = simd.reduce_max(largest);
    if rest > largest { rest } else { largest }
}
