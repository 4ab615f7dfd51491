//! NEON: 4 lanes of f32 in each of 32 registers.

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::{Kernel, Simd, fold_halves};

/// The proof that this machine has NEON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neon(());

/// An intrinsic inside a method of the token.
macro_rules! with_neon {
    ($call:expr) => {
        // SAFETY: the caller holds a `Neon`, which only `detect` makes, so the machine has the
        // feature that these intrinsics need. Pointers among the arguments come from slices whose
        // length was checked in the same method.
        unsafe { $call }
    };
}

impl Neon {
    /// The token, if the machine has the instruction set.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

#[target_feature(enable = "neon")]
fn enter<K: Kernel<f32>>(simd: Neon, kernel: K) -> K::Output {
    kernel.run(simd)
}

impl Simd for Neon {
    type E = f32;
    type V = float32x4_t;
    const LANES: usize = 4;
    const TILE_ROWS: usize = 8;

    #[inline]
    fn enter<K: Kernel<f32>>(self, kernel: K) -> K::Output {
        with_neon!(enter(self, kernel))
    }

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        with_neon!(vdupq_n_f32(value))
    }

    #[inline(always)]
    fn load(self, source: &[f32]) -> float32x4_t {
        let source = &source[..Self::LANES];
        with_neon!(vld1q_f32(source.as_ptr()))
    }

    #[inline(always)]
    fn load_partial(self, source: &[f32], fill: f32) -> float32x4_t {
        let mut lanes = [fill; Self::LANES];
        lanes
            .iter_mut()
            .zip(source)
            .for_each(|(lane, value)| *lane = *value);
        self.load(&lanes)
    }

    #[inline(always)]
    fn store(self, target: &mut [f32], v: float32x4_t) {
        let target = &mut target[..Self::LANES];
        with_neon!(vst1q_f32(target.as_mut_ptr(), v))
    }

    #[inline(always)]
    fn store_partial(self, target: &mut [f32], v: float32x4_t) {
        let mut lanes = [0.0; Self::LANES];
        self.store(&mut lanes, v);
        target
            .iter_mut()
            .zip(lanes)
            .for_each(|(target, lane)| *target = lane);
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        with_neon!(vaddq_f32(a, b))
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        with_neon!(vsubq_f32(a, b))
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        with_neon!(vmulq_f32(a, b))
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        with_neon!(vdivq_f32(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // The addend comes first here.
        with_neon!(vfmaq_f32(c, a, b))
    }

    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // Not `vmaxq_f32`, which gives NaN whenever either is.
        with_neon!(vbslq_f32(vcgtq_f32(a, b), a, b))
    }

    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        with_neon!(vbslq_f32(vcltq_f32(a, b), a, b))
    }

    #[inline(always)]
    fn neg(self, a: float32x4_t) -> float32x4_t {
        with_neon!(vnegq_f32(a))
    }

    #[inline(always)]
    fn abs(self, a: float32x4_t) -> float32x4_t {
        with_neon!(vabsq_f32(a))
    }

    #[inline(always)]
    fn sqrt(self, a: float32x4_t) -> float32x4_t {
        with_neon!(vsqrtq_f32(a))
    }

    #[inline(always)]
    fn select_lt(
        self,
        a: float32x4_t,
        b: float32x4_t,
        yes: float32x4_t,
        no: float32x4_t,
    ) -> float32x4_t {
        with_neon!(vbslq_f32(vcltq_f32(a, b), yes, no))
    }

    #[inline(always)]
    fn pow2(self, n: float32x4_t) -> float32x4_t {
        // 2²³ + 127 + n has the biased exponent in its lowest bits.
        let biased = self.add(n, self.splat(8_388_735.0));
        with_neon!(vreinterpretq_f32_u32(vshlq_n_u32::<23>(
            vreinterpretq_u32_f32(biased)
        )))
    }

    #[inline(always)]
    fn reduce_sum(self, v: float32x4_t) -> f32 {
        let mut lanes = [0.0; Self::LANES];
        self.store(&mut lanes, v);
        fold_halves(lanes, |a, b| a + b)
    }

    #[inline(always)]
    fn reduce_max(self, v: float32x4_t) -> f32 {
        let mut lanes = [0.0; Self::LANES];
        self.store(&mut lanes, v);
        fold_halves(lanes, |a, b| if a > b { a } else { b })
    }
}
