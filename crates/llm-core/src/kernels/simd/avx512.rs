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
    fn transpose(
        self,
        source: &[f32],
        source_stride: usize,
        target: &mut [f32],
        target_stride: usize,
    ) {
        // Loops over arrays and no closures: those would not all be inlined.
        let mut rows = [self.zero(); Self::LANES];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = self.load(&source[r * source_stride..]);
        }
        // Columns 4 l + j of rows 4 i .. 4 i + 4 come to lie in quarter l of fours[4 i + j].
        let mut fours = rows;
        for i in (0..Self::LANES).step_by(4) {
            let [a, b, c, d] = [rows[i], rows[i + 1], rows[i + 2], rows[i + 3]];
            let four = with_avx512!({
                let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
                let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
                let (e, f) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
                let (e, f) = (_mm512_castps_pd(e), _mm512_castps_pd(f));
                [
                    _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                    _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)),
                    _mm512_castpd_ps(_mm512_unpacklo_pd(e, f)),
                    _mm512_castpd_ps(_mm512_unpackhi_pd(e, f)),
                ]
            });
            fours[i..i + 4].copy_from_slice(&four);
        }
        for j in 0..4 {
            let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
            // Quarters 0 and 2, then 1 and 3, of two groups of rows each.
            let columns = with_avx512!({
                let (even, odd) = (
                    _mm512_shuffle_f32x4::<0x88>(a, b),
                    _mm512_shuffle_f32x4::<0xdd>(a, b),
                );
                let (even2, odd2) = (
                    _mm512_shuffle_f32x4::<0x88>(c, d),
                    _mm512_shuffle_f32x4::<0xdd>(c, d),
                );
                [
                    _mm512_shuffle_f32x4::<0x88>(even, even2),
                    _mm512_shuffle_f32x4::<0x88>(odd, odd2),
                    _mm512_shuffle_f32x4::<0xdd>(even, even2),
                    _mm512_shuffle_f32x4::<0xdd>(odd, odd2),
                ]
            });
            for (quarter, column) in columns.into_iter().enumerate() {
                self.store(&mut target[(4 * quarter + j) * target_stride..], column);
            }
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
