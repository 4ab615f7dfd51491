//! GELU in both forms and the gated SiLU, with their derivatives.
//!
//! Both forms of GELU are written without branches, so that every lane does the same work:
//!
//! ```text
//! tanh form   x · σ(2u),  u = √(2/π) (x + 0.044715 x³),  since (1 + tanh u) / 2 = σ(2u)
//! erf form    x Φ(x) = max(x, 0) − |x| Q(|x|),           Q(a) = erfc(a/√2) / 2
//! ```
//!
//! `erfc(z) = t exp(−z²) P(2t − 1)` with `t = 3 / (3 + z)` holds for all `z ≥ 0`; `P` is the
//! Chebyshev expansion of `exp(z²) erfc(z) / t`, computed with 60 digits and written as powers.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use candle_core::WithDType;

use super::pool::{Chunks, build, for_each};
use super::rows::zip_map;
use super::simd::{Isa, Kernel, Real, Simd};

/// Reals of one task: large enough to hide handing it out, small enough to spread.
const CHUNK: usize = 16 * 1024;

/// Coefficients of `P` for f64, constant term first: erfc to 4e-16, absolute.
const ERFC_F64: [f64; 23] = [
    0.3580023023627799,
    0.294464817723293,
    0.19674278570136933,
    0.10348908730032487,
    0.039842587095666314,
    0.008942411537958437,
    -0.00040413887394316183,
    -0.0010113539579816233,
    -0.00018276991424949872,
    9.225899997789508e-05,
    3.585392363681283e-05,
    -1.0131578675156923e-05,
    -5.823857407636006e-06,
    1.5801189369395156e-06,
    9.225829640201406e-07,
    -3.2798388174368307e-07,
    -1.3722842699705352e-07,
    7.241314802770536e-08,
    1.6652640553590825e-08,
    -1.3174436327282527e-08,
    -1.1893885619092368e-09,
    1.3433763579088608e-09,
    2.3183140775046786e-12,
];

/// Coefficients of `P` for f32: erfc to 1.2e-7, absolute; half of that in Φ.
const ERFC_F32: [f64; 12] = [
    0.3580023041045045,
    0.29446481506229316,
    0.19674265853470232,
    0.10348916310367173,
    0.03984410023021237,
    0.008941790037543085,
    -0.0004107903472013445,
    -0.0010091414855283153,
    -0.00016928352617058944,
    8.832780724181984e-05,
    2.260987852402578e-05,
    -6.5519701868292946e-06,
];

/// Where every function here is flat or a straight line to the last bit, in f32 and f64: inputs
/// of the derivatives are clamped to it, which keeps squares and cubes finite.
const SATURATED: f64 = 1e3;

/// The largest `e = exp(−x)` that enters `1 − σ = e σ`, so that ∞ · 0 cannot arise. Past it σ
/// itself is below 1e-30 and what `1 − σ` is multiplied with no longer counts.
const LARGEST_EXP: f64 = 1e30;

/// An activation of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// GELU with the hyperbolic tangent.
    GeluTanh,
    /// GELU with the error function.
    GeluErf,
}

impl Activation {
    /// The activation of each element.
    pub(crate) fn forward<E: Real>(self, x: &[E]) -> Vec<E> {
        let isa = Isa::active();
        build(x.len(), CHUNK, 1, |chunk, y| {
            let x = &x[chunk * CHUNK..][..y.len()];
            isa.run(Forward {
                activation: self,
                x,
                y,
            });
        })
    }

    /// `dy · f'(x)` for each element.
    pub(crate) fn backward<E: Real>(self, x: &[E], dy: &[E]) -> Vec<E> {
        let isa = Isa::active();
        build(x.len(), CHUNK, 1, |chunk, dx| {
            let [x, dy] = [x, dy].map(|x| &x[chunk * CHUNK..][..dx.len()]);
            isa.run(Backward {
                activation: self,
                x,
                dy,
                dx,
            });
        })
    }
}

struct Forward<'a, E> {
    activation: Activation,
    x: &'a [E],
    y: &'a mut [E],
}

impl<E: Real> Kernel<E> for Forward<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, simd: S) {
        match self.activation {
            Activation::GeluTanh => zip_map(simd, [self.x], self.y, |[x]| {
                let (gate, _) = tanh_gate(simd, x);
                simd.mul(x, gate)
            }),
            Activation::GeluErf => zip_map(simd, [self.x], self.y, |[x]| {
                let zero = splat(simd, 0.0);
                let size = magnitude(simd, x);
                let tail = simd.mul(size, upper_tail(simd, size).0);
                // In this order a NaN comes through: of two unordered values `max` is the second.
                simd.sub(simd.max(zero, x), tail)
            }),
        }
    }
}

struct Backward<'a, E> {
    activation: Activation,
    x: &'a [E],
    dy: &'a [E],
    dx: &'a mut [E],
}

impl<E: Real> Kernel<E> for Backward<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, simd: S) {
        let inputs = [self.x, self.dy];
        match self.activation {
            Activation::GeluTanh => zip_map(simd, inputs, self.dx, |[x, dy]| {
                simd.mul(dy, gelu_tanh_slope(simd, x))
            }),
            Activation::GeluErf => zip_map(simd, inputs, self.dx, |[x, dy]| {
                simd.mul(dy, gelu_erf_slope(simd, x))
            }),
        }
    }
}

/// `silu(gate) · up`.
pub(crate) fn swiglu<E: Real>(gate: &[E], up: &[E]) -> Vec<E> {
    let isa = Isa::active();
    build(gate.len(), CHUNK, 1, |chunk, y| {
        let [gate, up] = [gate, up].map(|x| &x[chunk * CHUNK..][..y.len()]);
        isa.run(Swiglu { gate, up, y });
    })
}

/// The gradients of `gate` and of `up`.
pub(crate) fn swiglu_backward<E: Real>(gate: &[E], up: &[E], dy: &[E]) -> (Vec<E>, Vec<E>) {
    let (mut dgate, mut dup) = (vec![E::ZERO; gate.len()], vec![E::ZERO; gate.len()]);
    let isa = Isa::active();
    let outputs = (Chunks::new(&mut dgate, CHUNK), Chunks::new(&mut dup, CHUNK));
    for_each(outputs, 1, |chunk, (dgate, dup)| {
        let inputs = [gate, up, dy].map(|x| &x[chunk * CHUNK..][..dup.len()]);
        isa.run(SwigluBackward { inputs, dgate, dup });
    });
    (dgate, dup)
}

struct Swiglu<'a, E> {
    gate: &'a [E],
    up: &'a [E],
    y: &'a mut [E],
}

impl<E: Real> Kernel<E> for Swiglu<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, simd: S) {
        zip_map(simd, [self.gate, self.up], self.y, |[gate, up]| {
            simd.mul(simd.mul(gate, sigmoid(simd, gate).0), up)
        });
    }
}

struct SwigluBackward<'a, E> {
    /// gate, up, dy
    inputs: [&'a [E]; 3],
    dgate: &'a mut [E],
    dup: &'a mut [E],
}

impl<E: Real> Kernel<E> for SwigluBackward<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, simd: S) {
        let [gate, _, dy] = self.inputs;
        zip_map(simd, self.inputs, self.dgate, |[gate, up, dy]| {
            let (on, off) = sigmoid(simd, gate);
            let slope = simd.mul(on, simd.mul_add(gate, off, splat(simd, 1.0)));
            simd.mul(simd.mul(dy, up), slope)
        });
        zip_map(simd, [gate, dy], self.dup, |[gate, dy]| {
            simd.mul(dy, simd.mul(gate, sigmoid(simd, gate).0))
        });
    }
}

#[inline(always)]
fn splat<S: Simd>(simd: S, x: f64) -> S::V {
    simd.splat(S::E::from_f64(x))
}

/// `σ(x)` and `1 − σ(x)`, neither by subtraction from 1.
#[inline(always)]
fn sigmoid<S: Simd>(simd: S, x: S::V) -> (S::V, S::V) {
    let e = simd.exp(simd.neg(x));
    let on = simd.div(splat(simd, 1.0), simd.add(splat(simd, 1.0), e));
    (on, simd.mul(simd.min(e, splat(simd, LARGEST_EXP)), on))
}

/// `σ(2u)` and `1 − σ(2u)` of the tanh form.
#[inline(always)]
fn tanh_gate<S: Simd>(simd: S, x: S::V) -> (S::V, S::V) {
    let x = clamp(simd, x);
    let cube = simd.mul(simd.mul(x, x), x);
    let inner = simd.mul_add(cube, splat(simd, 0.044715), x);
    sigmoid(simd, simd.mul(inner, splat(simd, 2.0 * (2.0 / PI).sqrt())))
}

#[inline(always)]
fn gelu_tanh_slope<S: Simd>(simd: S, x: S::V) -> S::V {
    let (on, off) = tanh_gate(simd, x);
    let x = clamp(simd, x);
    let root = 2.0 * (2.0 / PI).sqrt();
    let cubic = splat(simd, 3.0 * 0.044715 * root);
    let du = simd.mul_add(simd.mul(x, x), cubic, splat(simd, root));
    simd.mul_add(simd.mul(simd.mul(x, on), off), du, on)
}

/// `Φ(x) + x φ(x)`.
#[inline(always)]
fn gelu_erf_slope<S: Simd>(simd: S, x: S::V) -> S::V {
    let x = clamp(simd, x);
    let size = magnitude(simd, x);
    let (tail, bell) = upper_tail(simd, size);
    let phi = simd.select_lt(x, splat(simd, 0.0), tail, simd.sub(splat(simd, 1.0), tail));
    let density = simd.mul(bell, splat(simd, 1.0 / (2.0 * PI).sqrt()));
    simd.mul_add(x, density, phi)
}

/// `min(|x|, SATURATED)`.
#[inline(always)]
fn magnitude<S: Simd>(simd: S, x: S::V) -> S::V {
    simd.min(simd.abs(x), splat(simd, SATURATED))
}

/// `Q(a) = erfc(a/√2) / 2` for `0 ≤ a ≤ SATURATED`, and `exp(−a²/2)`.
#[inline(always)]
fn upper_tail<S: Simd>(simd: S, a: S::V) -> (S::V, S::V) {
    let bell = simd.exp(simd.mul(simd.mul(a, a), splat(simd, -0.5)));
    let three = splat(simd, 3.0);
    let t = simd.div(three, simd.mul_add(a, splat(simd, FRAC_1_SQRT_2), three));
    let u = simd.mul_add(t, splat(simd, 2.0), splat(simd, -1.0));
    let single = size_of::<S::E>() == size_of::<f32>();
    let terms: &[f64] = if single { &ERFC_F32 } else { &ERFC_F64 };
    // A loop: `rfold` is not inlined here, and then each step of it is a function call.
    let mut p = splat(simd, 0.0);
    for &term in terms.iter().rev() {
        p = simd.mul_add(p, u, splat(simd, term));
    }
    (
        simd.mul(simd.mul(simd.mul(t, p), bell), splat(simd, 0.5)),
        bell,
    )
}

/// `x` within ±SATURATED. The value stands second in both, where NaN is kept.
#[inline(always)]
fn clamp<S: Simd>(simd: S, x: S::V) -> S::V {
    simd.min(splat(simd, SATURATED), simd.max(splat(simd, -SATURATED), x))
}
