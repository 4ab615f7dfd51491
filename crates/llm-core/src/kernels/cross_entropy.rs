//! Cross-entropy of rows of logits, forward and backward.
//!
//! ```text
//! loss = scale · Σ_rows (max − z[target] + ln Σ exp(z − max))
//! dz   = scale · upstream · (softmax(z) − onehot(target))
//! ```
//!
//! The sum over rows and its scale are the caller's: a row may have a factor of its own.
//!
//! Each row keeps its maximum and `1 / Σ exp(z − max)` instead of the log-sum-exp itself: next to
//! logits of 10⁴ a log-sum-exp in f32 is only good to 10⁻³, the two apart lose nothing.

use super::pool::{Chunks, build, for_each};
use super::rows::{grain, max, sum_map, zip_map};
use super::simd::{Isa, Kernel, Real, Simd};

/// Rows of logits that one task reads; a row is a whole vocabulary.
const CHUNK_ROWS: usize = 4;

/// What a row of logits is turned into probabilities with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowSoftmax<E> {
    /// The largest logit.
    max: E,
    /// `1 / Σ exp(z − max)`
    reciprocal_sum: E,
}

/// `−log softmax(z)[target]` of each row, 0 where it has no target, and each row's softmax.
///
/// # Shapes
/// `logits [N, V]`, `targets` of length N, each below V → twice N.
pub(crate) fn forward<E: Real>(
    logits: &[E],
    v: usize,
    targets: &[Option<usize>],
) -> (Vec<f64>, Vec<RowSoftmax<E>>) {
    let empty = RowSoftmax {
        max: E::ZERO,
        reciprocal_sum: E::ZERO,
    };
    let mut saved = vec![empty; targets.len()];
    let mut losses = vec![0.0; targets.len()];
    if v > 0 {
        let isa = Isa::active();
        let outputs = (
            Chunks::new(&mut saved, CHUNK_ROWS),
            Chunks::new(&mut losses, CHUNK_ROWS),
        );
        for_each(outputs, grain(CHUNK_ROWS * v), |chunk, (saved, losses)| {
            let first = chunk * CHUNK_ROWS;
            let targets = &targets[first..][..losses.len()];
            let logits = &logits[first * v..][..losses.len() * v];
            isa.run(Forward {
                logits,
                v,
                targets,
                saved,
                losses,
            });
        });
    }
    (losses, saved)
}

/// The gradient of the logits, `factors` being `scale · upstream` of each row.
///
/// # Shapes
/// As [`forward`], `factors` of length N → `[N, V]`.
pub(crate) fn backward<E: Real>(
    logits: &[E],
    v: usize,
    targets: &[Option<usize>],
    saved: &[RowSoftmax<E>],
    factors: &[E],
) -> Vec<E> {
    let isa = Isa::active();
    build(
        logits.len(),
        CHUNK_ROWS * v,
        grain(CHUNK_ROWS * v),
        |chunk, gradient| {
            let first = chunk * CHUNK_ROWS;
            let logits = &logits[first * v..][..gradient.len()];
            let (targets, saved) = (&targets[first..], &saved[first..]);
            isa.run(Backward {
                logits,
                v,
                targets,
                saved,
                factors: &factors[first..],
                gradient,
            });
        },
    )
}

struct Forward<'a, E> {
    logits: &'a [E],
    v: usize,
    targets: &'a [Option<usize>],
    saved: &'a mut [RowSoftmax<E>],
    losses: &'a mut [f64],
}

impl<E: Real> Kernel<E> for Forward<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, simd: S) {
        let rows = self.logits.chunks_exact(self.v).zip(self.targets);
        for ((row, &target), (saved, loss)) in rows.zip(self.saved.iter_mut().zip(self.losses)) {
            let Some(target) = target else { continue };
            let largest = max(simd, row);
            let shift = simd.splat(largest);
            let sum = sum_map(simd, [row], |[z]| simd.exp(simd.sub(z, shift)));
            *loss = (largest.to_f64() - row[target].to_f64()) + sum.ln();
            *saved = RowSoftmax {
                max: largest,
                reciprocal_sum: E::from_f64(1.0 / sum),
            };
        }
    }
}

struct Backward<'a, E> {
    logits: &'a [E],
    v: usize,
    targets: &'a [Option<usize>],
    saved: &'a [RowSoftmax<E>],
    factors: &'a [E],
    gradient: &'a mut [E],
}

impl<E: Real> Kernel<E> for Backward<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, simd: S) {
        let rows = self
            .logits
            .chunks_exact(self.v)
            .zip(self.gradient.chunks_exact_mut(self.v));
        let about = self.targets.iter().zip(self.saved).zip(self.factors);
        for ((row, gradient), ((&target, saved), &factor)) in rows.zip(about) {
            let Some(target) = target else { continue };
            let shift = simd.splat(saved.max);
            let scale = simd.splat(saved.reciprocal_sum * factor);
            zip_map(simd, [row], gradient, |[z]| {
                simd.mul(simd.exp(simd.sub(z, shift)), scale)
            });
            gradient[target] -= factor;
        }
    }
}
