//! The AdamW update in place, and the norm of a gradient.
//!
//! For each scalar p with gradient g at update t, in PyTorch's order of operations:
//!
//! ```text
//! g ← g s                      s clips by the global norm
//! p ← p (1 − lr λ)             decay, decoupled from the moments
//! m ← m + (1 − β₁)(g − m)      v ← β₂ v + (1 − β₂) g g
//! p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
//! ```
//!
//! Scalars do not meet, so the bits cannot depend on threads. [`sum_of_squares`] adds in f64, in
//! chunks of fixed length and the chunks in order. Kingma and Ba 2015; Loshchilov and Hutter 2019.
//!
//! ```
//! use llm_core::kernels::adamw::{Step, State, update_f64};
//! let step = Step { lr: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0, scale: 1.0, t: 1 };
//! let (mut p, mut m, mut v) = ([1.0], [0.0], [0.0]);
//! update_f64(&step, &mut p, &[0.5], State { m: &mut m, v: &mut v })?;
//! // The first step is lr in the direction of the gradient's sign.
//! assert!((p[0] - 0.9).abs() < 1e-6);
//! # Ok::<(), llm_core::Error>(())
//! ```

use candle_core::{CpuStorage, Storage, Tensor, WithDType};

use super::pool::{self, Chunks};
use super::simd::{Isa, Kernel, Real, Simd};
use crate::{Error, Result};

/// Scalars of one task: four arrays of it stay in the first-level cache.
const CHUNK: usize = 2048;
/// Tasks that pay for another thread.
const GRAIN: usize = 4;
/// Elements whose squares are summed together before they join the total. Part of the definition
/// of the sum, not a tuning knob.
const SQUARES: usize = 4096;
/// Running sums of one chunk of squares, for the same reason fixed.
const SUMS: usize = 8;

/// The numbers of one update that are the same for every scalar of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The learning rate of this update.
    pub lr: f64,
    /// β₁, the memory of the mean.
    pub beta1: f64,
    /// β₂, the memory of the square.
    pub beta2: f64,
    /// ε, added to the root.
    pub epsilon: f64,
    /// λ, 0 for tensors that do not decay.
    pub decay: f64,
    /// What every gradient is multiplied by first, 1 unless clipped.
    pub scale: f64,
    /// The number of this update, from 1.
    pub t: u64,
}

/// The moments of one tensor, as long as the tensor.
#[derive(Debug)]
pub struct State<'a, E> {
    /// Mean of the gradient.
    pub m: &'a mut [E],
    /// Mean of its square.
    pub v: &'a mut [E],
}

/// Updates `value` and its moments by `gradient`.
///
/// # Errors
/// Slices of different lengths, or an update 0.
pub fn update_f32(
    step: &Step,
    value: &mut [f32],
    gradient: &[f32],
    state: State<'_, f32>,
) -> Result<()> {
    update(step, value, gradient, state)
}

/// As [`update_f32`], in f64.
///
/// # Errors
/// As [`update_f32`].
pub fn update_f64(
    step: &Step,
    value: &mut [f64],
    gradient: &[f64],
    state: State<'_, f64>,
) -> Result<()> {
    update(step, value, gradient, state)
}

fn update<E: Real>(
    step: &Step,
    value: &mut [E],
    gradient: &[E],
    state: State<'_, E>,
) -> Result<()> {
    let n = value.len();
    let lengths = [gradient.len(), state.m.len(), state.v.len()];
    if lengths != [n; 3] {
        let problem = format!("value has {n} scalars, gradient and moments {lengths:?}");
        return Err(Error::input("adamw", problem));
    }
    if step.t == 0 {
        return Err(Error::input("adamw", "update 0, expected to count from 1"));
    }
    let isa = Isa::active();
    let factors = Factors::new(step);
    let outputs = (
        Chunks::new(value, CHUNK),
        Chunks::new(state.m, CHUNK),
        Chunks::new(state.v, CHUNK),
    );
    pool::for_each(outputs, GRAIN, |index, (value, m, v)| {
        let gradient = &gradient[index * CHUNK..][..value.len()];
        isa.run(Update {
            factors,
            value,
            gradient,
            m,
            v,
        });
    });
    Ok(())
}

/// A step as the factors of the formula, in the order of their use. They are worked out in f64
/// and rounded once, as Python's numbers are.
#[derive(Clone, Copy)]
struct Factors<E> {
    scale: E,
    keep: E,
    rest1: E,
    beta2: E,
    rest2: E,
    root: E,
    epsilon: E,
    step_size: E,
}

impl<E: Real> Factors<E> {
    fn new(step: &Step) -> Self {
        let t = step.t as f64;
        Self {
            scale: E::from_f64(step.scale),
            keep: E::from_f64(1.0 - step.lr * step.decay),
            rest1: E::from_f64(1.0 - step.beta1),
            beta2: E::from_f64(step.beta2),
            rest2: E::from_f64(1.0 - step.beta2),
            root: E::from_f64((1.0 - step.beta2.powf(t)).sqrt()),
            epsilon: E::from_f64(step.epsilon),
            step_size: E::from_f64(step.lr / (1.0 - step.beta1.powf(t))),
        }
    }
}

struct Update<'a, E> {
    factors: Factors<E>,
    value: &'a mut [E],
    gradient: &'a [E],
    m: &'a mut [E],
    v: &'a mut [E],
}

impl<E: Real> Kernel<E> for Update<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, s: S) {
        let f = self.factors;
        let chunks = self
            .value
            .chunks_mut(S::LANES)
            .zip(self.gradient.chunks(S::LANES));
        let moments = self.m.chunks_mut(S::LANES).zip(self.v.chunks_mut(S::LANES));
        for ((value, gradient), (mean, square)) in chunks.zip(moments) {
            // The padding of the last chunk is never stored.
            let load = |x: &[E]| s.load_partial(x, E::ONE);
            let g = s.mul(load(gradient), s.splat(f.scale));
            let p = s.mul(load(value), s.splat(f.keep));
            let m = load(mean);
            let m = s.mul_add(s.splat(f.rest1), s.sub(g, m), m);
            let v = s.mul(load(square), s.splat(f.beta2));
            let v = s.mul_add(s.mul(s.splat(f.rest2), g), g, v);
            let below = s.add(s.div(s.sqrt(v), s.splat(f.root)), s.splat(f.epsilon));
            let p = s.sub(p, s.div(s.mul(s.splat(f.step_size), m), below));
            s.store_partial(value, p);
            s.store_partial(mean, m);
            s.store_partial(square, v);
        }
    }
}

/// `Σ x²` over all elements in f64; NaN or infinite if an element is.
///
/// The order of the additions is fixed: chunks of 4,096 elements in row-major order, and eight
/// running sums inside each.
///
/// # Errors
/// A tensor that is not f32 or f64 on the CPU.
pub fn sum_of_squares(tensor: &Tensor) -> Result<f64> {
    let tensor = tensor.detach().contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let start = layout.start_offset();
    let range = start..start + layout.shape().elem_count();
    match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => Ok(squares(&values[range])),
        Storage::Cpu(CpuStorage::F64(values)) => Ok(squares(&values[range])),
        _ => {
            let found = tensor.dtype().as_str();
            Err(Error::input(
                "norm",
                format!("{found} on this device, expected f32 or f64 on the CPU"),
            ))
        }
    }
}

fn squares<E: Real>(values: &[E]) -> f64 {
    let mut sums = vec![0f64; values.len().div_ceil(SQUARES)];
    let isa = Isa::active();
    pool::for_each(Chunks::new(&mut sums, 1), GRAIN, |index, sum| {
        let chunk = &values[index * SQUARES..];
        sum[0] = isa.run(Squares(&chunk[..SQUARES.min(chunk.len())]));
    });
    sums.iter().sum()
}

struct Squares<'a, E>(&'a [E]);

impl<E: Real> Kernel<E> for Squares<'_, E> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, _simd: S) -> f64 {
        let mut sums = [0f64; SUMS];
        for values in self.0.chunks(SUMS) {
            for (sum, &value) in sums.iter_mut().zip(values) {
                let value = WithDType::to_f64(value);
                *sum += value * value;
            }
        }
        sums.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::kernels::simd::with_isa;

    const STEP: Step = Step {
        lr: 3e-3,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        decay: 0.1,
        scale: 0.7,
        t: 1,
    };

    fn gradient(i: usize, t: u64) -> f64 {
        (i as f64 * 0.37 + t as f64 * 1.3).sin() * 10f64.powi(i as i32 % 7 - 4)
    }

    /// The formula of the module page for one scalar, 50 updates.
    fn formula(i: usize) -> f64 {
        let (mut p, mut m, mut v) = ((i as f64).cos(), 0.0, 0.0);
        for t in 1..=50 {
            let g = gradient(i, t) * STEP.scale;
            p *= 1.0 - STEP.lr * STEP.decay;
            m += (1.0 - STEP.beta1) * (g - m);
            v = STEP.beta2 * v + (1.0 - STEP.beta2) * g * g;
            let root = (1.0 - STEP.beta2.powi(t as i32)).sqrt();
            let step_size = STEP.lr / (1.0 - STEP.beta1.powi(t as i32));
            p -= step_size * m / (f64::sqrt(v) / root + STEP.epsilon);
        }
        p
    }

    /// `n` scalars after 50 updates.
    fn updated<E: Real>(n: usize) -> Vec<E> {
        let mut p: Vec<E> = (0..n).map(|i| E::from_f64((i as f64).cos())).collect();
        let (mut m, mut v) = (vec![E::ZERO; n], vec![E::ZERO; n]);
        for t in 1..=50 {
            let g: Vec<E> = (0..n).map(|i| E::from_f64(gradient(i, t))).collect();
            update(
                &Step { t, ..STEP },
                &mut p,
                &g,
                State {
                    m: &mut m,
                    v: &mut v,
                },
            )
            .unwrap();
        }
        p
    }

    #[test]
    fn fifty_updates_follow_the_formula() {
        const F64: f64 = 1e-13;
        /// 50 roundings of the value and of moments that steps of 3e-3 depend on.
        const F32: f64 = 2e-6;
        for n in [0, 1, 5, CHUNK, 3 * CHUNK + 7] {
            let exact = updated::<f64>(n);
            for (i, &p) in exact.iter().enumerate() {
                let error = (p - formula(i)).abs();
                assert!(error <= F64, "f64: {error:e} at {i} > {F64:e}");
            }
            for isa in Isa::available() {
                let single = with_isa(isa, || updated::<f32>(n));
                for (i, &p) in single.iter().enumerate() {
                    let error = (f64::from(p) - formula(i)).abs();
                    assert!(error <= F32, "{isa:?}: {error:e} at {i} > {F32:e}");
                }
            }
        }
    }

    #[test]
    fn misfits_are_errors_and_change_nothing() {
        let (mut p, mut m, mut v) = ([1f32; 3], [0f32; 3], [0f32; 3]);
        let short = update_f32(
            &STEP,
            &mut p,
            &[1.0; 2],
            State {
                m: &mut m,
                v: &mut v,
            },
        );
        assert!(
            short
                .unwrap_err()
                .to_string()
                .starts_with("adamw: value has 3 scalars")
        );
        let zero = Step { t: 0, ..STEP };
        assert!(
            update_f32(
                &zero,
                &mut p,
                &[1.0; 3],
                State {
                    m: &mut m,
                    v: &mut v
                }
            )
            .is_err()
        );
        assert_eq!((p, m, v), ([1.0; 3], [0.0; 3], [0.0; 3]));
    }

    #[test]
    fn squares_are_summed_in_their_order() {
        for n in [0, 1, 7, 8, SQUARES, SQUARES + 1, 5 * SQUARES + 13] {
            let values: Vec<f32> = (0..n).map(|i| (i as f32).sin() * 1e3).collect();
            let mut expected = 0.0;
            for chunk in values.chunks(SQUARES) {
                let mut sums = [0f64; SUMS];
                for (i, &value) in chunk.iter().enumerate() {
                    sums[i % SUMS] += f64::from(value) * f64::from(value);
                }
                expected += sums.iter().sum::<f64>();
            }
            let tensor = Tensor::from_vec(values, n, &Device::Cpu).unwrap();
            for isa in Isa::available() {
                assert_eq!(
                    with_isa(isa, || sum_of_squares(&tensor)).unwrap(),
                    expected,
                    "{n}"
                );
            }
        }
        let bad = Tensor::new(&[1.0, f64::NAN], &Device::Cpu).unwrap();
        assert!(sum_of_squares(&bad).unwrap().is_nan());
        let whole = Tensor::new(&[1u32], &Device::Cpu).unwrap();
        assert!(
            sum_of_squares(&whole)
                .unwrap_err()
                .to_string()
                .starts_with("norm: u32")
        );
    }
}
