//! AVX-512: 16 lanes of f32 in each of 32 registers.

use std::arch::x86_64::*;

use super::{Kernel, Simd, fold_halves};

/// The proof that this machine has x86-64-v4.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

/// An intrinsic inside a method of the token.
macro_rules! with_avx512 {
    ($call:expr) => {
        // SAFETY: the caller holds an `Avx512`, which only `detect` makes, so the machine has every
        // feature that these intrinsics need. Pointers among the arguments come from slices whose
        // length was checked, or are masked to it, in the same method.
        unsafe { $call }
    };
}

impl Avx512 {
    /// The token, if the machine has the instruction set.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("fma");
        has.then_some(Self(()))
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi2,fma")]
fn enter<K: Kernel<f32>>(simd: Avx512, kernel: K) -> K::Output {
    kernel.run(simd)
}

/// A mask of the first `len` lanes.
#[inline(always)]
fn first(len: usize) -> __mmask16 {
    if len >= Avx512::LANES {
        !0
    } else {
        (1 << len) - 1
    }
}

impl Simd for Avx512 {
    type E = f32;
    type V = __m512;
    const LANES: usize = 16;
    const TILE_ROWS: usize = 8;

    #[inline]
    fn enter<K: Kernel<f32>>(self, kernel: K) -> K::Output {
        with_avx512!(enter(self, kernel))
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        with_avx512!(_mm512_set1_ps(value))
    }

    #[inline(always)]
    fn load(self, source: &[f32]) -> __m512 {
        let source = &source[..Self::LANES];
        with_avx512!(_mm512_loadu_ps(source.as_ptr()))
    }

    #[inline(always)]
    fn load_partial(self, source: &[f32], fill: f32) -> __m512 {
        let mask = first(source.len());
        with_avx512!(_mm512_mask_loadu_ps(
            _mm512_set1_ps(fill),
            mask,
            source.as_ptr()
        ))
    }

    #[inline(always)]
    fn store(self, target: &mut [f32], v: __m512) {
        let target = &mut target[..Self::LANES];
        with_avx512!(_mm512_storeu_ps(target.as_mut_ptr(), v))
    }

    #[inline(always)]
    fn store_partial(self, target: &mut [f32], v: __m512) {
        let mask = first(target.len());
        with_avx512!(_mm512_mask_storeu_ps(target.as_mut_ptr(), mask, v))
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        with_avx512!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        with_avx512!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        with_avx512!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        with_avx512!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        with_avx512!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        with_avx512!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        with_avx512!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn neg(self, a: __m512) -> __m512 {
        with_avx512!(_mm512_xor_ps(a, _mm512_set1_ps(-0.0)))
    }

    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        with_avx512!(_mm512_andnot_ps(_mm512_set1_ps(-0.0), a))
    }

    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        with_avx512!(_mm512_sqrt_ps(a))
    }

    #[inline(always)]
    fn select_lt(self, a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
        with_avx512!(_mm512_mask_blend_ps(
            _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b),
            no,
            yes
        ))
    }

    #[inline(always)]
    fn pow2(self, n: __m512) -> __m512 {
        // 2²³ + 127 + n has the biased exponent in its lowest bits.
        let biased = self.add(n, self.splat(8_388_735.0));
        with_avx512!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(
            _mm512_castps_si512(biased)
        )))
    }

    #[inline(always)]
    fn scale_pow2(self, a: __m512, n: __m512) -> __m512 {
        with_avx512!(_mm512_scalef_ps(a, n))
    }

    #[inline(always)]
    fn transpose(self, rows: &mut [__m512]) {
        let rows = &mut rows[..Self::LANES];
        // Each step swaps halves of runs half as long: pairs of lanes, of doubles, of quarters.
        for i in (0..16).step_by(4) {
            let (r0, r1, r2, r3) = (rows[i], rows[i + 1], rows[i + 2], rows[i + 3]);
            let a = with_avx512!(_mm512_castps_pd(_mm512_unpacklo_ps(r0, r1)));
            let b = with_avx512!(_mm512_castps_pd(_mm512_unpacklo_ps(r2, r3)));
            let c = with_avx512!(_mm512_castps_pd(_mm512_unpackhi_ps(r0, r1)));
            let d = with_avx512!(_mm512_castps_pd(_mm512_unpackhi_ps(r2, r3)));
            rows[i] = with_avx512!(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)));
            rows[i + 1] = with_avx512!(_mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
            rows[i + 2] = with_avx512!(_mm512_castpd_ps(_mm512_unpacklo_pd(c, d)));
            rows[i + 3] = with_avx512!(_mm512_castpd_ps(_mm512_unpackhi_pd(c, d)));
        }
        // Quarter q of rows[4 i + j] is now column 4 q + j of rows 4 i ..
        for j in 0..4 {
            let (a, b, c, d) = (rows[j], rows[j + 4], rows[j + 8], rows[j + 12]);
            let ab_even = with_avx512!(_mm512_shuffle_f32x4::<0b10_00_10_00>(a, b));
            let ab_odd = with_avx512!(_mm512_shuffle_f32x4::<0b11_01_11_01>(a, b));
            let cd_even = with_avx512!(_mm512_shuffle_f32x4::<0b10_00_10_00>(c, d));
            let cd_odd = with_avx512!(_mm512_shuffle_f32x4::<0b11_01_11_01>(c, d));
            rows[j] = with_avx512!(_mm512_shuffle_f32x4::<0b10_00_10_00>(ab_even, cd_even));
            rows[j + 4] = with_avx512!(_mm512_shuffle_f32x4::<0b10_00_10_00>(ab_odd, cd_odd));
            rows[j + 8] = with_avx512!(_mm512_shuffle_f32x4::<0b11_01_11_01>(ab_even, cd_even));
            rows[j + 12] = with_avx512!(_mm512_shuffle_f32x4::<0b11_01_11_01>(ab_odd, cd_odd));
        }
    }

    #[inline(always)]
    fn reduce_sum(self, v: __m512) -> f32 {
        let mut lanes = [0.0; Self::LANES];
        self.store(&mut lanes, v);
        fold_halves(lanes, |a, b| a + b)
    }

    #[inline(always)]
    fn reduce_max(self, v: __m512) -> f32 {
        let mut lanes = [0.0; Self::LANES];
        self.store(&mut lanes, v);
        fold_halves(lanes, |a, b| if a > b { a } else { b })
    }
}
