//! Blocks of 32 weights with one scale (and, in `_1` types, one smallest value) in F16.
//!
//! | type | a weight is | codes |
//! |---|---|---|
//! | Q8_0 | `d q` | -127..=127, the largest magnitude at ±127 |
//! | Q4_0 | `d (q - 8)` | 0..=15, the value with the largest magnitude at 0 |
//! | Q5_0 | `d (q - 16)` | 0..=31, the value with the largest magnitude at 0 |
//! | Q5_1 | `d q + m` | 0..=31, the smallest value at 0 and the largest at 31 |
//!
//! Scales are kept in F16 but codes are chosen with the scale before that rounding, as in
//! llama.cpp.

use super::{inverse, nibbles, peak, put, put_f16};

/// `d` F16, then 32 signed bytes.
pub(super) fn q8_0(values: &[f32], out: &mut [u8]) {
    let scale = peak(values).abs() / 127.0;
    let inverse = inverse(scale);
    put_f16(out, 0, scale);
    let codes = values.iter().map(|x| (x * inverse).round() as i8);
    put(out, 2, codes.map(|code| code.to_le_bytes()[0]));
}

/// `d` F16, then 16 bytes of two codes: weights 0..16 low, 16..32 high.
pub(super) fn q4_0(values: &[f32], out: &mut [u8]) {
    let (scale, codes) = around_zero(values, 8.0);
    put_f16(out, 0, scale);
    put(out, 2, nibbles(&codes, 32));
}

/// `d` F16, the fifth bits of 32 codes in 4 bytes, then their low four bits as in Q4_0.
pub(super) fn q5_0(values: &[f32], out: &mut [u8]) {
    let (scale, codes) = around_zero(values, 16.0);
    put_f16(out, 0, scale);
    put(out, 2, fifth_bits(&codes));
    put(out, 6, nibbles(&codes, 32));
}

/// `d` and `m` F16, then as Q5_0.
pub(super) fn q5_1(values: &[f32], out: &mut [u8]) {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = (high - low) / 31.0;
    let inverse = inverse(scale);
    let codes = values.iter().map(|x| ((x - low) * inverse + 0.5) as u8);
    let codes: Vec<u8> = codes.map(|code| code.min(31)).collect();
    put_f16(out, 0, scale);
    put_f16(out, 2, low);
    put(out, 4, fifth_bits(&codes));
    put(out, 8, nibbles(&codes, 32));
}

/// Scale and codes of `d (q - half)`; casts cut towards zero and stop at the ends of a byte.
fn around_zero(values: &[f32], half: f32) -> (f32, Vec<u8>) {
    let scale = peak(values) / -half;
    let inverse = inverse(scale);
    let top = (2.0 * half) as u8 - 1;
    let codes = values.iter().map(|x| (x * inverse + (half + 0.5)) as u8);
    (scale, codes.map(|code| code.min(top)).collect())
}

/// Bit 4 of each code, the first in the lowest bit.
fn fifth_bits(codes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let byte = |codes: &[u8]| {
        let bits = codes.iter().enumerate();
        bits.fold(0, |byte, (i, code)| byte | (((code >> 4) & 1) << i))
    };
    codes.chunks(8).map(byte)
}
