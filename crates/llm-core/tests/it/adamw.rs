//! The AdamW update against plain loops in its order of operations, bit for bit.

use std::ops::{Add, Div, Mul, Sub};

use candle_core::WithDType;
use llm_core::Result;
use llm_core::kernels::adamw::{State, Step, update_f32, update_f64};
use llm_core::kernels::simd::{Isa, with_isa};

use crate::kernel_shapes::LENGTHS;

/// The scalars of one task and a few more.
const LONG: usize = 2048 + 5;
const UPDATES: u64 = 3;

/// value, m and v.
type Scalars<E> = [Vec<E>; 3];

/// Gradients of every kind: ordinary ones of many sizes, denormal, zero, infinite and NaN.
fn gradient(i: usize, t: u64, least: f64) -> f64 {
    match i % 11 {
        1 => 3.0 * least,
        3 => -1000.0 * least,
        4 => 0.0,
        6 if t == 2 => f64::INFINITY,
        8 if t == 2 => f64::NEG_INFINITY,
        9 if t == 3 => f64::NAN,
        _ => (i as f64 * 0.37 + t as f64 * 1.3).sin() * 10f64.powi(i as i32 % 7 - 4),
    }
}

fn step(t: u64) -> Step {
    Step {
        lr: 3e-3,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        decay: 0.1,
        scale: 0.7,
        t,
    }
}

/// One update of every scalar as the kernel's page has it. `mul_add` is that of the instruction
/// set; a root in f64, rounded once more, is the root of the type.
fn formula<E>(step: &Step, [p, m, v]: &mut Scalars<E>, g: &[E], mul_add: fn(E, E, E) -> E)
where
    E: WithDType + Add<Output = E> + Sub<Output = E> + Mul<Output = E> + Div<Output = E>,
{
    let from = E::from_f64;
    let rest1 = from(1.0 - step.beta1);
    let root = from((1.0 - step.beta2.powf(step.t as f64)).sqrt());
    let size = from(step.lr / (1.0 - step.beta1.powf(step.t as f64)));
    for i in 0..g.len() {
        let g = g[i] * from(step.scale);
        let kept = p[i] * from(1.0 - step.lr * step.decay);
        m[i] = mul_add(rest1, g - m[i], m[i]);
        let square = from(1.0 - step.beta2) * g;
        v[i] = mul_add(square, g, v[i] * from(step.beta2));
        let below = from(v[i].to_f64().sqrt()) / root + from(step.epsilon);
        p[i] = kept - size * m[i] / below;
    }
}

type Update<E> = fn(&Step, &mut [E], &[E], State<'_, E>) -> Result<()>;

fn compare<E>(n: usize, least: f64, update: Update<E>, mul_add: fn(E, E, E) -> E)
where
    E: WithDType + Add<Output = E> + Sub<Output = E> + Mul<Output = E> + Div<Output = E>,
{
    let start = |i: usize| {
        E::from_f64(
            (i as f64).cos()
                * if i.is_multiple_of(5) {
                    1e3 * least
                } else {
                    1.0
                },
        )
    };
    let zeros = || vec![E::from_f64(0.0); n];
    let mut expected: Scalars<E> = [(0..n).map(start).collect(), zeros(), zeros()];
    let mut found = expected.clone();
    for t in 1..=UPDATES {
        let g: Vec<E> = (0..n).map(|i| E::from_f64(gradient(i, t, least))).collect();
        formula(&step(t), &mut expected, &g, mul_add);
        let [p, m, v] = &mut found;
        update(&step(t), p, &g, State { m, v }).unwrap();
        for (name, (a, b)) in ["p", "m", "v"].iter().zip(found.iter().zip(&expected)) {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                let (a, b) = (a.to_f64(), b.to_f64());
                let same = a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                let isa = Isa::active();
                assert!(
                    same,
                    "{isa:?}, {n} scalars, update {t}: {name}[{i}] is {a:e}, not {b:e}"
                );
            }
        }
    }
}

#[test]
fn every_length_and_kind_of_gradient_has_the_bits_of_the_formula() {
    let least = f64::from(f32::from_bits(1));
    for n in (0..=67).chain(LENGTHS).chain([LONG]) {
        compare::<f64>(n, f64::from_bits(1), update_f64, |a, b, c| a * b + c);
        for isa in Isa::available() {
            let mul_add = match isa {
                Isa::Portable => |a: f32, b, c| a * b + c,
                _ => f32::mul_add,
            };
            with_isa(isa, || compare(n, least, update_f32, mul_add));
        }
    }
}
