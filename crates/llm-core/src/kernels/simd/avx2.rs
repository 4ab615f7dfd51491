//! AVX2 with FMA: 8 lanes of f32 in each of 16 registers.

use std::arch::x86_64::*;

use super::{Kernel, Simd, fold_halves};

/// The proof that this machine has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

/// An intrinsic inside a method of the token.
macro_rules! with_avx2 {
    ($call:expr) => {
        // SAFETY: the caller holds an `Avx2`, which only `detect` makes, so the machine has every
        // feature that these intrinsics need. Pointers among the arguments come from slices whose
        // length was checked in the same method.
        unsafe { $call }
    };
}

impl Avx2 {
    /// The token, if the machine has the instruction set.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        has.then_some(Self(()))
    }
}

#[target_feature(enable = "avx2,fma")]
fn enter<K: Kernel<f32>>(simd: Avx2, kernel: K) -> K::Output {
    kernel.run(simd)
}

impl Simd for Avx2 {
    type E = f32;
    type V = __m256;
    const LANES: usize = 8;
    const TILE_ROWS: usize = 4;

    #[inline]
    fn enter<K: Kernel<f32>>(self, kernel: K) -> K::Output {
        with_avx2!(enter(self, kernel))
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        with_avx2!(_mm256_set1_ps(value))
    }

    #[inline(always)]
    fn load(self, source: &[f32]) -> __m256 {
        let source = &source[..Self::LANES];
        with_avx2!(_mm256_loadu_ps(source.as_ptr()))
    }

    #[inline(always)]
    fn load_partial(self, source: &[f32], fill: f32) -> __m256 {
        let mut lanes = [fill; Self::LANES];
        lanes
            .iter_mut()
            .zip(source)
            .for_each(|(lane, value)| *lane = *value);
        self.load(&lanes)
    }

    #[inline(always)]
    fn store(self, target: &mut [f32], v: __m256) {
        let target = &mut target[..Self::LANES];
        with_avx2!(_mm256_storeu_ps(target.as_mut_ptr(), v))
    }

    #[inline(always)]
    fn store_partial(self, target: &mut [f32], v: __m256) {
        let mut lanes = [0.0; Self::LANES];
        self.store(&mut lanes, v);
        target
            .iter_mut()
            .zip(lanes)
            .for_each(|(target, lane)| *target = lane);
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        with_avx2!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        with_avx2!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        with_avx2!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        with_avx2!(_mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        with_avx2!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        with_avx2!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        with_avx2!(_mm256_min_ps(a, b))
    }

    #[inline(always)]
    fn neg(self, a: __m256) -> __m256 {
        with_avx2!(_mm256_xor_ps(a, _mm256_set1_ps(-0.0)))
    }

    #[inline(always)]
    fn abs(self, a: __m256) -> __m256 {
        with_avx2!(_mm256_andnot_ps(_mm256_set1_ps(-0.0), a))
    }

    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        with_avx2!(_mm256_sqrt_ps(a))
    }

    #[inline(always)]
    fn select_lt(self, a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
        with_avx2!(_mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)))
    }

    #[inline(always)]
    fn pow2(self, n: __m256) -> __m256 {
        // 2²³ + 127 + n has the biased exponent in its lowest bits.
        let biased = self.add(n, self.splat(8_388_735.0));
        with_avx2!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(
            _mm256_castps_si256(biased)
        )))
    }

    #[inline(always)]
    fn transpose(self, rows: &mut [__m256]) {
        let rows = &mut rows[..Self::LANES];
        // Columns j and 4 + j of rows 4 i .. 4 i + 4 come to lie in the halves of rows[4 i + j].
        for i in (0..Self::LANES).step_by(4) {
            let [a, b, c, d] = [rows[i], rows[i + 1], rows[i + 2], rows[i + 3]];
            let four = with_avx2!({
                let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
                let (e, f) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
                [
                    _mm256_shuffle_ps::<0x44>(ab, cd),
                    _mm256_shuffle_ps::<0xee>(ab, cd),
                    _mm256_shuffle_ps::<0x44>(e, f),
                    _mm256_shuffle_ps::<0xee>(e, f),
                ]
            });
            rows[i..i + 4].copy_from_slice(&four);
        }
        for j in 0..4 {
            let (a, b) = (rows[j], rows[4 + j]);
            (rows[j], rows[4 + j]) = with_avx2!((
                _mm256_permute2f128_ps::<0x20>(a, b),
                _mm256_permute2f128_ps::<0x31>(a, b)
            ));
        }
    }

    #[inline(always)]
    fn reduce_sum(self, v: __m256) -> f32 {
        let mut lanes = [0.0; Self::LANES];
        self.store(&mut lanes, v);
        fold_halves(lanes, |a, b| a + b)
    }

    #[inline(always)]
    fn reduce_max(self, v: __m256) -> f32 {
        let mut lanes = [0.0; Self::LANES];
        self.store(&mut lanes, v);
        fold_halves(lanes, |a, b| if a > b { a } else { b })
    }
}
