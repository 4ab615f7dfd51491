//! AVX512-BF16: products of pairs of bf16, summed in f32.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Lanes of a register, and registers side by side in a panel.
#[cfg(target_arch = "x86_64")]
const LANES: usize = 16;
#[cfg(target_arch = "x86_64")]
const REGISTERS: usize = 3;

/// The proof that this machine has AVX512-BF16 beside x86-64-v4.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PairDot(());

impl PairDot {
    /// The token, if the machine has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            let wide = super::Isa::Avx512.is_available();
            (wide && is_x86_feature_detected!("avx512bf16")).then_some(Self(()))
        }
        #[cfg(not(target_arch = "x86_64"))]
        None
    }

    /// `sums [R, 48] += a [pairs][R] · b [pairs][48]` for R of 8, 4, 2 or 1, pairs in slots.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn add_rows(self, rows: usize, a: &[f32], b: &[f32], sums: &mut [f32]) {
        // SAFETY: the caller holds a `PairDot`, so the machine has the features of `add_tile`.
        unsafe {
            match rows {
                8 => add_tile::<8>(a, b, sums),
                4 => add_tile::<4>(a, b, sums),
                2 => add_tile::<2>(a, b, sums),
                _ => add_tile::<1>(a, b, sums),
            }
        }
    }

    /// There is no such machine.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn add_rows(self, _rows: usize, _a: &[f32], _b: &[f32], _sums: &mut [f32]) {}
}

/// A function of its own, so that the sums stay in registers over the whole loop.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
fn add_tile<const R: usize>(a: &[f32], b: &[f32], sums: &mut [f32]) {
    const WIDTH: usize = REGISTERS * LANES;
    let sums = &mut sums[..R * WIDTH];
    let mut tile = [[_mm512_setzero_ps(); REGISTERS]; R];
    for (tile, sums) in tile.iter_mut().zip(sums.chunks_exact(WIDTH)) {
        *tile = load_width(sums);
    }
    for (a, b) in a.chunks_exact(R).zip(b.chunks_exact(WIDTH)) {
        let [b0, b1, b2] = load_width(b);
        let b = [pairs(b0), pairs(b1), pairs(b2)];
        for (tile, &a) in tile.iter_mut().zip(a) {
            let a = pairs(_mm512_set1_ps(a));
            for (sum, &b) in tile.iter_mut().zip(&b) {
                *sum = _mm512_dpbf16_ps(*sum, a, b);
            }
        }
    }
    for (tile, sums) in tile.iter().zip(sums.chunks_exact_mut(WIDTH)) {
        for (&v, sums) in tile.iter().zip(sums.chunks_exact_mut(LANES)) {
            // SAFETY: the chunk has as many elements as the register has lanes.
            unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), v) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn load_width(source: &[f32]) -> [__m512; REGISTERS] {
    let source = &source[..REGISTERS * LANES];
    let start = source.as_ptr();
    // SAFETY: the slice holds all lanes of all registers.
    unsafe {
        [
            _mm512_loadu_ps(start),
            _mm512_loadu_ps(start.add(LANES)),
            _mm512_loadu_ps(start.add(2 * LANES)),
        ]
    }
}

/// The same register, read as pairs.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn pairs(slots: __m512) -> __m512bh {
    // SAFETY: both are 64 bytes in which every bit pattern is a value.
    unsafe { std::mem::transmute::<__m512, __m512bh>(slots) }
}
