//! Seeded dropout.

use candle_core::Tensor;

use crate::Result;

/// `0` for a dropped element, `1 / (1 − p)` for a kept one: a hash of `seed` and `index`
/// (the finalizer of SplitMix64, Steele et al. 2014) decides.
pub(crate) fn keep_factor(seed: u64, index: u64, p: f64) -> f64 {
    let mut z = seed ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    let unit = (z >> 11) as f64 / (1u64 << 53) as f64;
    if unit < p { 0.0 } else { 1.0 / (1.0 - p) }
}

pub(super) fn dropout(x: &Tensor, p: f64, seed: u64) -> Result<Tensor> {
    super::composed::dropout(x, p, seed)
}
