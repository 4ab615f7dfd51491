//! Every set against scalar arithmetic.

mod transpose;

use super::*;

/// Least units in the last place, over f32, between `value` and the exact `reference`.
fn ulps(value: f32, reference: f64) -> f64 {
    let nearest = reference as f32;
    if nearest == value || (nearest.is_nan() && value.is_nan()) {
        return 0.0;
    }
    let magnitude = nearest.abs().max(f32::MIN_POSITIVE);
    let unit = f64::from(f32::from_bits(magnitude.to_bits() + 1)) - f64::from(magnitude);
    (f64::from(value) - reference).abs() / unit
}

/// `f` of every value of `a` and the same of `b` and `c`, whole registers and the rest.
struct Map<'a, F>(&'a [f32], &'a [f32], &'a [f32], F);

trait Lanes {
    fn of<S: Simd<E = f32>>(&self, s: S, a: S::V, b: S::V, c: S::V) -> S::V;
}

impl<F: Lanes> Kernel<f32> for Map<'_, F> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd<E = f32>>(self, s: S) -> Vec<f32> {
        let Map(a, b, c, f) = self;
        let mut out = vec![0.0; a.len()];
        for (i, out) in out.chunks_mut(S::LANES).enumerate() {
            let at = i * S::LANES;
            if out.len() == S::LANES {
                s.store(
                    out,
                    f.of(s, s.load(&a[at..]), s.load(&b[at..]), s.load(&c[at..])),
                );
            } else {
                let load = |x: &[f32]| s.load_partial(&x[at..], 1.0);
                s.store_partial(out, f.of(s, load(a), load(b), load(c)));
            }
        }
        out
    }
}

/// Finite, special and denormal values; 3 more than a multiple of every lane count.
fn awkward(salt: u32) -> Vec<f32> {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        1e-42,
        3e38,
    ];
    let noise = (0..10u32).map(|i| {
        let bits = (i + 1)
            .wrapping_mul(2_654_435_761)
            .wrapping_add(salt.wrapping_mul(97));
        f32::from_bits(bits & 0xBFFF_FFFF | 0x3000_0000)
    });
    let all: Vec<f32> = special.into_iter().chain(noise).collect();
    (0..all.len() * all.len() - 6)
        .map(|i| all[(i + salt as usize * (i / all.len())) % all.len()])
        .collect()
}

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

fn check<F: Lanes + Copy>(name: &str, f: F, scalar: impl Fn(f32, f32, f32) -> f32) {
    let (a, b, c) = (awkward(0), awkward(1), awkward(2));
    for isa in Isa::available() {
        let out = isa.run(Map(&a, &b, &c, f));
        for (i, &value) in out.iter().enumerate() {
            let expected = scalar(a[i], b[i], c[i]);
            let inputs = (a[i], b[i], c[i]);
            assert!(
                same(value, expected),
                "{isa:?} {name}{inputs:?}: {value:e}, not {expected:e}"
            );
        }
    }
}

macro_rules! lanes {
    ($name:ident, |$s:ident, $a:ident, $b:ident, $c:ident| $body:expr) => {
        #[derive(Clone, Copy)]
        struct $name;
        impl Lanes for $name {
            #[inline(always)]
            fn of<S: Simd<E = f32>>(&self, $s: S, $a: S::V, $b: S::V, $c: S::V) -> S::V {
                let _ = ($a, $b, $c);
                $body
            }
        }
    };
}

lanes!(Add, |s, a, b, c| s.add(a, b));
lanes!(Sub, |s, a, b, c| s.sub(a, b));
lanes!(Mul, |s, a, b, c| s.mul(a, b));
lanes!(Div, |s, a, b, c| s.div(a, b));
lanes!(Max, |s, a, b, c| s.max(a, b));
lanes!(Min, |s, a, b, c| s.min(a, b));
lanes!(Neg, |s, a, b, c| s.neg(a));
lanes!(Abs, |s, a, b, c| s.abs(a));
lanes!(Sqrt, |s, a, b, c| s.sqrt(a));
lanes!(Select, |s, a, b, c| s.select_lt(a, b, c, s.neg(c)));
lanes!(Splat, |s, a, b, c| s.add(s.zero(), s.splat(2.5)));
lanes!(Exp, |s, a, b, c| s.exp(a));
lanes!(Sigmoid, |s, a, b, c| s.sigmoid(a));
lanes!(MulAdd, |s, a, b, c| s.mul_add(a, b, c));
lanes!(ScalePow2, |s, a, b, c| s.scale_pow2(a, b));
lanes!(Pow2, |s, a, b, c| s.pow2(a));

#[test]
fn arithmetic_is_the_scalar_one_bit_for_bit() {
    check("add", Add, |a, b, _| a + b);
    check("sub", Sub, |a, b, _| a - b);
    check("mul", Mul, |a, b, _| a * b);
    check("div", Div, |a, b, _| a / b);
    check("max", Max, |a, b, _| if a > b { a } else { b });
    check("min", Min, |a, b, _| if a < b { a } else { b });
    check("neg", Neg, |a, _, _| -a);
    check("abs", Abs, |a, _, _| a.abs());
    check("sqrt", Sqrt, |a, _, _| a.sqrt());
    check("select", Select, |a, b, c| if a < b { c } else { -c });
    check("splat", Splat, |_, _, _| 2.5);
}

#[test]
fn mul_add_rounds_once_but_on_the_portable_path() {
    let (a, b, c) = (awkward(0), awkward(1), awkward(2));
    for isa in Isa::available() {
        let out = isa.run(Map(&a, &b, &c, MulAdd));
        for (i, &value) in out.iter().enumerate() {
            let once = a[i].mul_add(b[i], c[i]);
            let expected = if isa == Isa::Portable {
                a[i] * b[i] + c[i]
            } else {
                once
            };
            assert!(
                same(value, expected),
                "{isa:?} {i}: {value:e}, not {expected:e}"
            );
        }
    }
}

#[test]
fn pow2_is_exact_over_the_exponent_range() {
    let n: Vec<f32> = (-126..=127).map(|n| n as f32).collect();
    for isa in Isa::available() {
        let out = isa.run(Map(&n, &n, &n, Pow2));
        assert!(
            out.iter()
                .zip(&n)
                .all(|(&value, &n)| f64::from(value) == f64::from(n).exp2())
        );
    }
}

/// Over every 1,009th bit pattern of f32. With FMA r is exact to the last bit; two roundings add
/// a little on the portable path.
#[test]
fn exp_is_within_an_ulp() {
    const LARGEST_ULPS: f64 = 1.0;
    let a: Vec<f32> = (0..=u32::MAX).step_by(1009).map(f32::from_bits).collect();
    for isa in Isa::available() {
        let out = isa.run(Map(&a, &a, &a, Exp));
        let error = |i: usize| ulps(out[i], f64::from(a[i]).exp());
        let worst = (0..a.len())
            .max_by(|&i, &j| error(i).total_cmp(&error(j)))
            .unwrap();
        let (most, x) = (error(worst), a[worst]);
        println!("{isa:?}: largest error of exp {most:.3} ulp at {x:e}");
        assert!(
            most <= LARGEST_ULPS,
            "{isa:?}: {most} ulp at {x:e} > {LARGEST_ULPS}"
        );
    }
}

#[test]
fn exp_at_its_edges() {
    let a = [
        0.0,
        -0.0,
        f32::NEG_INFINITY,
        f32::INFINITY,
        f32::NAN,
        -103.9,
        -104.1,
        88.72,
        88.73,
    ];
    for isa in Isa::available() {
        let out = isa.run(Map(&a, &a, &a, Exp));
        assert_eq!(out[..4], [1.0, 1.0, 0.0, f32::INFINITY], "{isa:?}");
        assert!(out[4].is_nan(), "{isa:?}: {}", out[4]);
        assert_eq!(out[5], f32::from_bits(1), "{isa:?}: the least denormal");
        assert_eq!((out[6], out[8]), (0.0, f32::INFINITY), "{isa:?}");
        assert!(out[7].is_finite(), "{isa:?}");
    }
}

#[test]
fn sigmoid_keeps_its_relative_accuracy() {
    /// Three roundings and exp's one.
    const LARGEST_ULPS: f64 = 3.0;
    let a: Vec<f32> = (-8700..=8700).map(|i| i as f32 / 100.0).collect();
    for isa in Isa::available() {
        let out = isa.run(Map(&a, &a, &a, Sigmoid));
        for (&value, &a) in out.iter().zip(&a) {
            let reference = 1.0 / (1.0 + (-f64::from(a)).exp());
            let error = ulps(value, reference);
            assert!(
                error <= LARGEST_ULPS,
                "{isa:?}: {error} ulp at {a} > {LARGEST_ULPS}"
            );
        }
    }
}

#[test]
fn f64_exp_is_that_of_the_standard_library() {
    struct Exp64<'a>(&'a mut [f64]);
    impl Kernel<f64> for Exp64<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd<E = f64>>(self, s: S) {
            for chunk in self.0.chunks_mut(S::LANES) {
                s.store_partial(chunk, s.exp(s.load_partial(chunk, 0.0)));
            }
        }
    }
    let a: Vec<f64> = (-1000..1001).map(|i| f64::from(i) * 0.8).collect();
    let mut out = a.clone();
    dispatch(Exp64(&mut out));
    assert!(out.iter().zip(&a).all(|(value, a)| *value == a.exp()));
}

#[test]
fn transpose_swaps_rows_and_lanes() {
    struct Transpose;
    impl Kernel<f32> for Transpose {
        type Output = (Vec<f32>, usize);
        #[inline(always)]
        fn run<S: Simd<E = f32>>(self, s: S) -> Self::Output {
            let numbers: Vec<f32> = (0..MAX_LANES * MAX_LANES).map(|i| i as f32).collect();
            let mut rows = [s.zero(); MAX_LANES];
            for (row, numbers) in rows.iter_mut().zip(numbers.chunks(MAX_LANES)) {
                *row = s.load(numbers);
            }
            s.transpose(&mut rows[..S::LANES]);
            let mut out = vec![0.0; S::LANES * S::LANES];
            for (out, row) in out.chunks_mut(S::LANES).zip(rows) {
                s.store(out, row);
            }
            (out, S::LANES)
        }
    }
    for isa in Isa::available() {
        let (out, lanes) = isa.run(Transpose);
        for (i, &value) in out.iter().enumerate() {
            let expected = (i % lanes * MAX_LANES + i / lanes) as f32;
            assert_eq!(
                value,
                expected,
                "{isa:?}: row {}, lane {}",
                i / lanes,
                i % lanes
            );
        }
    }
}

#[test]
fn scale_pow2_rounds_once_down_to_denormals() {
    let y: Vec<f32> = (0..279).map(|i| 0.7 + i as f32 * 0.0023).collect();
    let n: Vec<f32> = (-150..=128).map(|n| n as f32).collect();
    for isa in Isa::available() {
        let out = isa.run(Map(&y, &n, &n, ScalePow2));
        for (i, &value) in out.iter().enumerate() {
            let expected = (f64::from(y[i]) * f64::from(n[i]).exp2()) as f32;
            assert!(
                same(value, expected),
                "{isa:?} {} {}: {value:e}",
                y[i],
                n[i]
            );
        }
    }
}

#[test]
fn reductions_fold_halves() {
    struct Reduce([f32; MAX_LANES]);
    impl Kernel<f32> for Reduce {
        type Output = (f32, f32, usize);
        #[inline(always)]
        fn run<S: Simd<E = f32>>(self, s: S) -> (f32, f32, usize) {
            // A tile takes rows in blocks of this many, halved for what is left over.
            assert!(S::TILE_ROWS.is_power_of_two());
            let v = s.load(&self.0);
            (s.reduce_sum(v), s.reduce_max(v), S::LANES)
        }
    }
    let lanes: [f32; MAX_LANES] = std::array::from_fn(|i| [1e8, 1.0, -1e8, 0.3][i % 4] + i as f32);
    for isa in Isa::available() {
        let (sum, max, count) = isa.run(Reduce(lanes));
        let mut tree = lanes[..count].to_vec();
        while tree.len() > 1 {
            let half = tree.len() / 2;
            tree = (0..half).map(|i| tree[i] + tree[i + half]).collect();
        }
        assert_eq!(sum, tree[0], "{isa:?}");
        assert_eq!(
            max,
            lanes[..count].iter().copied().fold(f32::MIN, f32::max),
            "{isa:?}"
        );
    }
}

#[test]
fn closures_run_inside_the_set_and_forcing_ends() {
    struct Closure<'a>(&'a [f32]);
    impl Kernel<f32> for Closure<'_> {
        type Output = f32;
        #[inline(always)]
        fn run<S: Simd<E = f32>>(self, s: S) -> f32 {
            s.vectorize(|| s.reduce_sum(s.load(self.0)))
        }
    }
    let before = Isa::active();
    for isa in Isa::available() {
        with_isa(isa, || {
            assert_eq!(Isa::active(), isa);
            assert!([4.0, 8.0, 16.0].contains(&dispatch(Closure(&[1.0; MAX_LANES]))));
        });
        assert_eq!(Isa::active(), before);
    }
}

#[test]
fn scalar_functions_are_those_of_the_type() {
    fn all<E: Real>() -> [E; 4] {
        [
            E::ONE.exp(),
            (E::ONE + E::ONE).ln(),
            (E::ONE + E::ONE).sqrt(),
            E::INFINITY,
        ]
    }
    assert_eq!(
        all::<f32>(),
        [1f32.exp(), 2f32.ln(), 2f32.sqrt(), f32::INFINITY]
    );
    assert_eq!(
        all::<f64>(),
        [1f64.exp(), 2f64.ln(), 2f64.sqrt(), f64::INFINITY]
    );
    assert!(!Real::is_finite(f32::NAN) && !Real::is_finite(f64::INFINITY) && Real::is_finite(1.0));
}
