//! Vectors of numbers on every instruction set, from one algorithm text.
//!
//! A kernel is a struct of its inputs with a `Kernel::run` that is generic over `Simd`; an
//! [`Isa`] runs it inside a function compiled for that instruction set, into which all of it is
//! inlined (so `run` and every generic helper below it is `#[inline(always)]`).
//!
//! A `Simd` value is a token: only a successful run-time check makes one, hence its methods are
//! safe. f64 always takes the portable path, the reference that every other set is tested against.
//!
//! ```
//! use llm_core::kernels::simd::{Isa, with_isa};
//! let sets = Isa::available();
//! assert_eq!(sets[0], Isa::active());
//! assert!(sets.contains(&Isa::Portable));
//! with_isa(Isa::Portable, || assert_eq!(Isa::active(), Isa::Portable));
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pair_dot;
mod portable;
mod real;
#[cfg(test)]
mod tests;
mod tile_dot;

use std::cell::Cell;
use std::sync::OnceLock;

use candle_core::WithDType;

pub(crate) use pair_dot::PairDot;
pub(crate) use real::Real;
pub(crate) use tile_dot::{
    TILE, TILE_SLOTS, TILES_ACROSS, TileCorner, TileDot, TileOrder, TileSource,
};

/// The widest vector of any instruction set, in elements.
pub(crate) const MAX_LANES: usize = 16;

/// The instruction sets that kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// x86-64-v4: 16 lanes of f32.
    Avx512,
    /// x86-64-v3 with FMA: 8 lanes of f32.
    Avx2,
    /// aarch64: 4 lanes of f32.
    Neon,
    /// Arrays that the compiler turns into whatever every machine of the target has.
    Portable,
}

thread_local! {
    static FORCED: Cell<Option<Isa>> = const { Cell::new(None) };
}

impl Isa {
    /// What this machine can run, best first; [`Isa::Portable`] is always last.
    pub fn available() -> Vec<Self> {
        let sets = [Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];
        sets.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// What kernels started by this thread run on: the best set, or that of [`with_isa`].
    pub fn active() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        FORCED.get().unwrap_or_else(|| {
            *BEST.get_or_init(|| Self::available().first().copied().unwrap_or(Self::Portable))
        })
    }

    /// Whether this machine has the instruction set.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::Avx512::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::Avx2::detect().is_some(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => neon::Neon::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            #[cfg(not(target_arch = "aarch64"))]
            Self::Neon => false,
            Self::Portable => true,
        }
    }

    /// Runs `kernel` on this set; on the portable one where the machine or the number type has
    /// no other.
    pub(crate) fn run<E: Real, K: Kernel<E>>(self, kernel: K) -> K::Output {
        E::dispatch(self, kernel)
    }
}

/// Runs `kernel` on the set that is [active](Isa::active).
pub(crate) fn dispatch<E: Real, K: Kernel<E>>(kernel: K) -> K::Output {
    Isa::active().run(kernel)
}

/// Runs `work` with every kernel that this thread starts forced onto `isa`, for tests and
/// comparisons. A set that the machine lacks becomes [`Isa::Portable`].
pub fn with_isa<R>(isa: Isa, work: impl FnOnce() -> R) -> R {
    struct Restore(Option<Isa>);
    impl Drop for Restore {
        fn drop(&mut self) {
            FORCED.set(self.0);
        }
    }
    let isa = if isa.is_available() {
        isa
    } else {
        Isa::Portable
    };
    let _restore = Restore(FORCED.replace(Some(isa)));
    work()
}

/// An algorithm with its inputs, to be run on any instruction set.
pub(crate) trait Kernel<E: Real> {
    /// What the algorithm returns.
    type Output;

    /// The algorithm. Mark it `#[inline(always)]`, or it is compiled without the instruction set.
    fn run<S: Simd<E = E>>(self, simd: S) -> Self::Output;
}

/// One instruction set for one number type. The value is the proof that the machine has it.
///
/// Lane order is memory order everywhere. Methods that take slices panic when a slice is shorter
/// than [`Simd::LANES`], except the `_partial` ones.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// The number type of a lane.
    type E: Real;
    /// A register.
    type V: Copy;
    /// Lanes of a register.
    const LANES: usize;
    /// Rows of the matrix tile that fits the register file beside three columns of registers.
    const TILE_ROWS: usize;

    /// Runs `kernel` inside a function compiled for this set.
    fn enter<K: Kernel<Self::E>>(self, kernel: K) -> K::Output;

    /// Every lane `value`.
    fn splat(self, value: Self::E) -> Self::V;
    /// The first lanes of `source`.
    fn load(self, source: &[Self::E]) -> Self::V;
    /// As much of `source` as there is, then `fill`.
    fn load_partial(self, source: &[Self::E], fill: Self::E) -> Self::V;
    /// Writes all lanes to the start of `target`.
    fn store(self, target: &mut [Self::E], v: Self::V);
    /// Writes as many lanes as `target` takes.
    fn store_partial(self, target: &mut [Self::E], v: Self::V);

    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a − b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`, rounded once where the machine has it, else twice (portable).
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a > b ? a : b`; `b` if either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a < b ? a : b`; `b` if either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `−a`, the sign bit flipped.
    fn neg(self, a: Self::V) -> Self::V;
    /// `|a|`.
    fn abs(self, a: Self::V) -> Self::V;
    /// `√a`, correctly rounded.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// Per lane `a < b ? yes : no`; `no` if either is NaN.
    fn select_lt(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// `2ⁿ` for integral `n` in the exponent range of normal numbers.
    fn pow2(self, n: Self::V) -> Self::V;
    /// Transposes a square of LANES rows and columns in memory: `target[c · target_stride + r] =
    /// source[r · source_stride + c]`.
    #[inline(always)]
    fn transpose_block(
        self,
        source: &[Self::E],
        source_stride: usize,
        target: &mut [Self::E],
        target_stride: usize,
    ) {
        let mut rows = [self.zero(); MAX_LANES];
        for (r, row) in rows.iter_mut().take(Self::LANES).enumerate() {
            *row = self.load(&source[r * source_stride..]);
        }
        self.transpose(&mut rows[..Self::LANES]);
        for (c, &column) in rows.iter().take(Self::LANES).enumerate() {
            self.store(&mut target[c * target_stride..], column);
        }
    }
    /// `a · 2ⁿ` for integral `n` from −150 to 128, rounded once.
    #[inline(always)]
    fn scale_pow2(self, a: Self::V, n: Self::V) -> Self::V {
        // In two steps, as 2ⁿ need not be a normal number. The first product is exact and the
        // second rounds once, so denormals come out right.
        let half = math::round(self, self.mul(n, self.splat(Self::E::from_f64(0.5))));
        self.mul(self.mul(a, self.pow2(half)), self.pow2(self.sub(n, half)))
    }
    /// Lane `j` of `rows[i]` and lane `i` of `rows[j]` change places, for `LANES` rows.
    #[inline(always)]
    fn transpose(self, rows: &mut [Self::V]) {
        let mut lanes = [[Self::E::ZERO; MAX_LANES]; MAX_LANES];
        for (row, lanes) in rows.iter().zip(&mut lanes) {
            self.store(lanes, *row);
        }
        for (j, row) in rows.iter_mut().enumerate() {
            let mut column = [Self::E::ZERO; MAX_LANES];
            for (x, lanes) in column.iter_mut().zip(&lanes) {
                *x = lanes[j];
            }
            *row = self.load(&column);
        }
    }
    /// The sum of all lanes, halves added to halves.
    fn reduce_sum(self, v: Self::V) -> Self::E;
    /// The greatest lane, halves against halves.
    fn reduce_max(self, v: Self::V) -> Self::E;

    /// Runs `work` inside a function compiled for this set. The compiler decides whether to
    /// inline the closure; [`Simd::enter`] leaves it no choice.
    #[inline(always)]
    fn vectorize<R, F: FnOnce() -> R>(self, work: F) -> R {
        self.enter(Call(work))
    }

    /// Every lane zero.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(Self::E::ZERO)
    }

    /// `eᵃ`. f32: at most 1 ulp off (2 ulp on the portable path), exact at 0, −∞ and +∞, NaN
    /// stays, denormal results are kept. f64: the standard library's.
    #[inline(always)]
    fn exp(self, a: Self::V) -> Self::V {
        Self::E::exp_lanes(self, a)
    }

    /// `1 / (1 + e⁻ᵃ)`, accurate relative to the result on both sides of zero.
    #[inline(always)]
    fn sigmoid(self, a: Self::V) -> Self::V {
        let one = self.splat(Self::E::ONE);
        self.div(one, self.add(one, self.exp(self.neg(a))))
    }

    /// `f` of every lane, one at a time.
    #[inline(always)]
    fn map_lanes(self, a: Self::V, f: impl Fn(Self::E) -> Self::E) -> Self::V {
        let mut lanes = [Self::E::ZERO; MAX_LANES];
        self.store(&mut lanes, a);
        lanes[..Self::LANES]
            .iter_mut()
            .for_each(|lane| *lane = f(*lane));
        self.load(&lanes)
    }
}

/// A closure as a kernel.
struct Call<F>(F);

impl<E: Real, R, F: FnOnce() -> R> Kernel<E> for Call<F> {
    type Output = R;

    #[inline(always)]
    fn run<S: Simd<E = E>>(self, _simd: S) -> R {
        (self.0)()
    }
}

/// Folds the lanes of an array in a fixed tree: the upper half onto the lower until one is left.
#[inline(always)]
fn fold_halves<E: Copy, const N: usize>(mut lanes: [E; N], f: impl Fn(E, E) -> E) -> E {
    let mut half = N / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}
