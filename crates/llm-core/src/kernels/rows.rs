//! Loops over the elements of one row, shared by the kernels that work row by row.
//!
//! Every result depends on the row's own elements and length alone, so a row computed by itself
//! has the same bits as in a batch.

use candle_core::WithDType;

use super::pool::{Chunks, for_each};
use super::simd::{Isa, Kernel, MAX_LANES, Real, Simd};

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
    map::<S, N, false>(simd, inputs, out, f);
}

/// `out[i] += f(inputs[0][i], inputs[1][i], ..)` for every element of `out`.
#[inline(always)]
pub(crate) fn add_map<S: Simd, const N: usize>(
    simd: S,
    inputs: [&[S::E]; N],
    out: &mut [S::E],
    f: impl Fn([S::V; N]) -> S::V,
) {
    map::<S, N, true>(simd, inputs, out, f);
}

/// `sum[i] += other[i]`, in parallel.
pub(crate) fn add_in_place<E: Real>(sum: &mut [E], other: &[E]) {
    struct Add<'a, E>(&'a mut [E], &'a [E]);
    impl<E: Real> Kernel<E> for Add<'_, E> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd<E = E>>(self, simd: S) {
            add_map(simd, [self.1], self.0, |[x]| x);
        }
    }
    let isa = Isa::active();
    for_each(Chunks::new(sum, SHARE), 1, |index, sum| {
        isa.run(Add(sum, &other[index * SHARE..][..sum.len()]));
    });
}

/// `f` stands in one place only: a closure called from two is not inlined, and then every
/// operation of it is a function call.
#[inline(always)]
fn map<S: Simd, const N: usize, const ADD: bool>(
    simd: S,
    inputs: [&[S::E]; N],
    out: &mut [S::E],
    f: impl Fn([S::V; N]) -> S::V,
) {
    let n = out.len();
    // Not `map` of the array, which is not inlined into code of another instruction set.
    let mut inputs = inputs;
    for x in &mut inputs {
        *x = &x[..n];
    }
    for i in (0..n).step_by(S::LANES) {
        let whole = i + S::LANES <= n;
        let load = |x: &[S::E]| match whole {
            true => simd.load(&x[i..]),
            false => simd.load_partial(&x[i..], S::E::ZERO),
        };
        let mut x = [simd.zero(); N];
        for (x, input) in x.iter_mut().zip(inputs) {
            *x = load(input);
        }
        let mut y = f(x);
        if ADD {
            y = simd.add(load(out), y);
        }
        match whole {
            true => simd.store(&mut out[i..], y),
            false => simd.store_partial(&mut out[i..], y),
        }
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
    let mut inputs = inputs;
    for x in &mut inputs {
        *x = &x[..n];
    }
    let zero = simd.splat(S::E::ZERO);
    let mut total = 0.0;
    for start in (0..n).step_by(BLOCK) {
        let end = n.min(start + BLOCK);
        // Two chains hide half of the latency of an addition.
        let (mut even, mut odd) = (zero, zero);
        let mut i = start;
        // `f` in one place only, see `map`.
        while i < end {
            let whole = i + S::LANES <= end;
            let mut x = [zero; N];
            for (x, input) in x.iter_mut().zip(inputs) {
                *x = match whole {
                    true => simd.load(&input[i..]),
                    false => simd.load_partial(&input[i..end], S::E::ZERO),
                };
            }
            let mut y = f(x);
            if !whole {
                // f(0) need not be 0: only the lanes that stand for elements may count.
                let mut lanes = [S::E::ZERO; MAX_LANES];
                simd.store_partial(&mut lanes[..end - i], y);
                y = simd.load(&lanes);
            }
            (even, odd) = (odd, simd.add(even, y));
            i += S::LANES;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::with_isa;

    /// Numbers of all sizes; every seventh is denormal, infinite or NaN by turns.
    fn awkward<E: Real>(n: usize, salt: usize) -> Vec<E> {
        let least = if size_of::<E>() == 4 { 1e-42 } else { 1e-320 };
        let special = [least, f64::INFINITY, -least, f64::NAN, f64::NEG_INFINITY];
        let number = |i: usize| match i % 7 {
            3 => special[i / 7 % special.len()],
            _ => (i as f64 * 0.7).sin() * 10f64.powi(i as i32 % 5 - 2),
        };
        (0..n).map(|i| E::from_f64(number(i + salt))).collect()
    }

    fn bits<E: Real>(x: &[E]) -> Vec<u64> {
        let one = |x: &E| match WithDType::to_f64(*x) {
            x if x.is_nan() => f64::NAN.to_bits(),
            x => x.to_bits(),
        };
        x.iter().map(one).collect()
    }

    fn add<E: Real>(n: usize) {
        let (mut sum, other) = (awkward::<E>(n, 0), awkward::<E>(n, 17));
        let expected: Vec<E> = sum.iter().zip(&other).map(|(&a, &b)| a + b).collect();
        add_in_place(&mut sum, &other);
        assert_eq!(
            bits(&sum),
            bits(&expected),
            "{:?}: {n} elements",
            Isa::active()
        );
    }

    #[test]
    fn addition_in_place_is_that_of_plain_loops() {
        for n in (0..=130).chain([SHARE - 1, SHARE, 2 * SHARE + 3]) {
            for isa in Isa::available() {
                with_isa(isa, || add::<f32>(n));
            }
            add::<f64>(n);
        }
    }

    /// The sum and the greatest element of a row.
    struct Reduce<'a, E>(&'a [E]);

    impl<E: Real> Kernel<E> for Reduce<'_, E> {
        type Output = (f64, E);

        #[inline(always)]
        fn run<S: Simd<E = E>>(self, s: S) -> (f64, E) {
            // A constant beside the element: what is added for lanes past the end would show.
            let one = s.splat(E::ONE);
            (sum_map(s, [self.0], |[x]| s.add(x, one)), max(s, self.0))
        }
    }

    fn reduce<E: Real>(n: usize, tolerance: f64) {
        let x: Vec<E> = (0..n)
            .map(|i| E::from_f64((i as f64 * 0.7).sin()))
            .collect();
        let (sum, greatest) = Isa::active().run(Reduce(&x));
        let terms = x.iter().map(|x| WithDType::to_f64(*x));
        let expected: f64 = terms.clone().map(|x| x + 1.0).sum();
        let error = (sum - expected).abs() / (n as f64).max(1.0);
        assert!(
            error <= tolerance,
            "{:?}: sum of {n}: {error:e} > {tolerance:e}",
            Isa::active()
        );
        let expected = terms.fold(f64::NEG_INFINITY, f64::max);
        assert_eq!(
            WithDType::to_f64(greatest),
            expected,
            "{:?}: max of {n}",
            Isa::active()
        );
    }

    #[test]
    fn sums_and_maxima_are_those_of_plain_loops() {
        /// A chain of 16 additions of numbers up to 2 in f32, and of 512 / 4 on the narrowest set.
        const F32: f64 = 1e-6;
        const F64: f64 = 1e-14;
        for n in (0..=130).chain([BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 19]) {
            for isa in Isa::available() {
                with_isa(isa, || reduce::<f32>(n, F32));
            }
            reduce::<f64>(n, F64);
        }
    }
}
