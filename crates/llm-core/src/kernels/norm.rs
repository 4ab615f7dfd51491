//! Root-mean-square norm and layer norm, forward and backward.
//!
//! With `n = (x − μ) · ρ`, `ρ = 1 / √(mean((x − μ)²) + ε)`, both are `y = n w + b`; the
//! root-mean-square norm has `μ = 0` and no `b`. For the gradient `g` of `y`, with `h = g w`:
//!
//! ```text
//! dx = ρ (h − mean(h) − n mean(h n))      (no mean(h) without centring)
//! dw = Σ_rows g n        db = Σ_rows g
//! ```
//!
//! Sums over rows run in chunks of a fixed number of rows, added in order: the gradient of the
//! parameters does not depend on the number of threads.

use candle_core::WithDType;

use super::pool::{Chunks, for_each};
use super::rows::{add_map, grain, sum_map, zip_map};
use super::simd::{Isa, Kernel, Real, Simd};

/// Rows that one task normalises, and whose parameter gradients it sums.
const CHUNK_ROWS: usize = 32;

/// What one row was normalised with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowStats {
    /// μ
    mean: f64,
    /// ρ
    reciprocal_std: f64,
}

/// A norm over rows of `weight.len()` elements.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a, E> {
    /// `w [C]`
    pub(crate) weight: &'a [E],
    /// `b [C]`
    pub(crate) bias: Option<&'a [E]>,
    /// ε, inside the root
    pub(crate) eps: f64,
    /// Whether the mean is taken out: layer norm.
    pub(crate) centred: bool,
}

/// Gradients of a norm.
pub(crate) struct NormGradients<E> {
    /// `[N, C]`
    pub(crate) x: Vec<E>,
    /// `[C]`
    pub(crate) weight: Vec<E>,
    /// `[C]`
    pub(crate) bias: Vec<E>,
}

impl<'a, E> Norm<'a, E> {
    /// The root-mean-square norm: no mean taken out, no shift.
    pub(crate) fn root_mean_square(weight: &'a [E], eps: f64) -> Self {
        Self {
            weight,
            bias: None,
            eps,
            centred: false,
        }
    }
}

impl<E: Real> Norm<'_, E> {
    /// `y` and what each row was normalised with.
    ///
    /// # Shapes
    /// `x [N, C]` → `[N, C]`, `[N]`.
    pub(crate) fn forward(&self, x: &[E]) -> (Vec<E>, Vec<RowStats>) {
        let c = self.weight.len();
        let mut y = vec![E::ZERO; x.len()];
        let mut stats = vec![RowStats::default(); x.len() / c.max(1)];
        if !y.is_empty() {
            let isa = Isa::active();
            let outputs = (
                Chunks::new(&mut y, CHUNK_ROWS * c),
                Chunks::new(&mut stats, CHUNK_ROWS),
            );
            for_each(outputs, grain(CHUNK_ROWS * c), |chunk, (y, stats)| {
                let x = &x[chunk * CHUNK_ROWS * c..][..y.len()];
                isa.run(Forward {
                    norm: self,
                    x,
                    y,
                    stats,
                });
            });
        }
        (y, stats)
    }

    /// Gradients for the gradient `dy` of `y`.
    ///
    /// # Shapes
    /// `x` and `dy [N, C]`, `stats [N]`.
    pub(crate) fn backward(&self, x: &[E], stats: &[RowStats], dy: &[E]) -> NormGradients<E> {
        let c = self.weight.len();
        let mut dx = vec![E::ZERO; x.len()];
        let mut sums = vec![E::ZERO; x.len().div_ceil(CHUNK_ROWS * c.max(1)) * 2 * c];
        if !dx.is_empty() {
            let isa = Isa::active();
            let outputs = (
                Chunks::new(&mut dx, CHUNK_ROWS * c),
                Chunks::new(&mut sums, 2 * c),
            );
            for_each(outputs, grain(CHUNK_ROWS * c), |chunk, (dx, sums)| {
                let first = chunk * CHUNK_ROWS;
                let (x, dy) = (&x[first * c..][..dx.len()], &dy[first * c..][..dx.len()]);
                let stats = &stats[first..][..dx.len() / c];
                isa.run(Backward {
                    norm: self,
                    x,
                    stats,
                    dy,
                    dx,
                    sums,
                });
            });
        }
        let (mut weight, mut bias) = (vec![E::ZERO; c], vec![E::ZERO; c]);
        for chunk in sums.chunks(2 * c.max(1)) {
            let (dw, db) = chunk.split_at(c);
            weight.iter_mut().zip(dw).for_each(|(sum, &x)| *sum += x);
            bias.iter_mut().zip(db).for_each(|(sum, &x)| *sum += x);
        }
        NormGradients {
            x: dx,
            weight,
            bias,
        }
    }
}

/// `n = (x − μ) ρ` in lanes. The mean is a rounded value and what rounding left over:
/// `(x − high) − low` keeps the digits of a small deviation from a large mean.
#[derive(Clone, Copy)]
struct Normed<V> {
    high: V,
    low: V,
    rho: V,
}

impl<V: Copy> Normed<V> {
    #[inline(always)]
    fn new<S: Simd<V = V>>(simd: S, mean: f64, rho: f64) -> Self {
        let high = S::E::from_f64(mean);
        Self {
            high: simd.splat(high),
            low: simd.splat(S::E::from_f64(mean - high.to_f64())),
            rho: simd.splat(S::E::from_f64(rho)),
        }
    }

    /// `x − μ`
    #[inline(always)]
    fn centre<S: Simd<V = V>>(&self, simd: S, x: V) -> V {
        simd.sub(simd.sub(x, self.high), self.low)
    }

    /// `(x − μ) ρ`
    #[inline(always)]
    fn at<S: Simd<V = V>>(&self, simd: S, x: V) -> V {
        simd.mul(self.centre(simd, x), self.rho)
    }
}

struct Forward<'a, E> {
    norm: &'a Norm<'a, E>,
    x: &'a [E],
    y: &'a mut [E],
    stats: &'a mut [RowStats],
}

impl<E: Real> Kernel<E> for Forward<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, simd: S) {
        let c = self.norm.weight.len();
        let rows = self.x.chunks_exact(c).zip(self.y.chunks_exact_mut(c));
        for ((x, y), stats) in rows.zip(self.stats) {
            *stats = self.norm.forward_row(simd, x, y);
        }
    }
}

struct Backward<'a, E> {
    norm: &'a Norm<'a, E>,
    x: &'a [E],
    stats: &'a [RowStats],
    dy: &'a [E],
    dx: &'a mut [E],
    /// dw, then db
    sums: &'a mut [E],
}

impl<E: Real> Kernel<E> for Backward<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, simd: S) {
        let c = self.norm.weight.len();
        let rows = self.x.chunks_exact(c).zip(self.dy.chunks_exact(c));
        for (((x, dy), &stats), dx) in rows.zip(self.stats).zip(self.dx.chunks_exact_mut(c)) {
            self.norm.backward_row(simd, (x, stats, dy), dx, self.sums);
        }
    }
}

impl<E: Real> Norm<'_, E> {
    #[inline(always)]
    fn forward_row<S: Simd<E = E>>(&self, simd: S, x: &[E], y: &mut [E]) -> RowStats {
        let c = x.len() as f64;
        let mean = if self.centred {
            sum_map(simd, [x], |[x]| x) / c
        } else {
            0.0
        };
        let centred = Normed::new(simd, mean, 1.0);
        let variance = sum_map(simd, [x], |[x]| {
            let x = centred.centre(simd, x);
            simd.mul(x, x)
        }) / c;
        let reciprocal_std = 1.0 / (variance + self.eps).sqrt();
        let normed = Normed::new(simd, mean, reciprocal_std);
        match self.bias {
            Some(bias) => zip_map(simd, [x, self.weight, bias], y, |[x, w, b]| {
                simd.mul_add(normed.at(simd, x), w, b)
            }),
            None => zip_map(simd, [x, self.weight], y, |[x, w]| {
                simd.mul(normed.at(simd, x), w)
            }),
        }
        RowStats {
            mean,
            reciprocal_std,
        }
    }

    #[inline(always)]
    fn backward_row<S: Simd<E = E>>(
        &self,
        simd: S,
        (x, stats, dy): (&[E], RowStats, &[E]),
        dx: &mut [E],
        sums: &mut [E],
    ) {
        let c = x.len() as f64;
        let w = self.weight;
        let normed = Normed::new(simd, stats.mean, stats.reciprocal_std);
        let along = sum_map(simd, [x, w, dy], |[x, w, g]| {
            simd.mul(simd.mul(g, w), normed.at(simd, x))
        }) / c;
        let level = if self.centred {
            sum_map(simd, [w, dy], |[w, g]| simd.mul(g, w)) / c
        } else {
            0.0
        };
        let (along, level) = (
            simd.splat(E::from_f64(-along)),
            simd.splat(E::from_f64(level)),
        );
        zip_map(simd, [x, w, dy], dx, |[x, w, g]| {
            let h = simd.sub(simd.mul(g, w), level);
            simd.mul(simd.mul_add(normed.at(simd, x), along, h), normed.rho)
        });
        let (dw, db) = sums.split_at_mut(x.len());
        add_map(simd, [x, dy], dw, |[x, g]| simd.mul(g, normed.at(simd, x)));
        if self.bias.is_some() {
            add_map(simd, [dy], db, |[g]| g);
        }
    }
}
