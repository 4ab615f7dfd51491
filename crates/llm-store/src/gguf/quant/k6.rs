//! Q6_K: 256 weights in sixteen groups of 16, each `d s q`, with `s` a signed byte, `q` in
//! -32..=31 and `d` in F16.
//!
//! ```text
//! 128 bytes of low four bits │ 64 bytes of high two bits │ 16 signed scales │ d F16
//! ```
//!
//! A group's scale is the best of nineteen spacings of the codes by least squares, in which a
//! weight `x` counts `x²`.

use super::{peak, put, put_f16};

/// Weights of a group.
const GROUP: usize = 16;
/// Codes are -HALF..HALF.
const HALF: f32 = 32.0;
/// A group whose largest weight is below this is all zeros.
const NOTHING: f32 = 1e-15;

/// One group as `scale q`; the codes are stored with [`HALF`] added.
struct Fit {
    scale: f32,
    codes: [u8; GROUP],
}

/// One block of Q6_K, 210 bytes.
pub(super) fn q6_k(values: &[f32], out: &mut [u8]) {
    let (groups, _) = values.as_chunks::<GROUP>();
    let mut fits: Vec<Fit> = groups.iter().map(fit).collect();
    let scales: Vec<f32> = fits.iter().map(|fit| fit.scale).collect();
    let largest = peak(&scales);
    if largest.abs() < NOTHING {
        return; // the bytes are zeros already
    }
    let inverse = -128.0 / largest;
    let d = put_f16(out, 208, 1.0 / inverse);
    for (i, (fit, group)) in fits.iter_mut().zip(groups).enumerate() {
        let scale = (inverse * fit.scale).round_ties_even().min(127.0) as i8;
        put(out, 192 + i, scale.to_le_bytes());
        let step = d * f32::from(scale);
        if step != 0.0 {
            fit.codes = group.map(|x| code(x / step));
        }
    }
    let codes: Vec<u8> = fits.iter().flat_map(|fit| fit.codes).collect();
    // Each 128 weights stand in four columns of 32
    for (half, codes) in codes.chunks_exact(128).enumerate() {
        let (columns, _) = codes.as_chunks::<32>();
        let [a, b, c, d] = columns else { return };
        let low = |first: &[u8; 32], second: &[u8; 32]| -> Vec<u8> {
            let pairs = first.iter().zip(second);
            pairs.map(|(x, y)| (x & 15) | ((y & 15) << 4)).collect()
        };
        put(out, half * 64, low(a, c));
        put(out, half * 64 + 32, low(b, d));
        let high = (0..32)
            .map(|j| (a[j] >> 4) | ((b[j] >> 4) << 2) | ((c[j] >> 4) << 4) | ((d[j] >> 4) << 6));
        put(out, 128 + half * 32, high);
    }
}

/// The nearest code, stored with [`HALF`] added.
fn code(value: f32) -> u8 {
    (value.round_ties_even().clamp(-HALF, HALF - 1.0) + HALF) as u8
}

/// The best scale of a group that the search finds.
fn fit(values: &[f32; GROUP]) -> Fit {
    let peak = peak(values);
    if peak.abs() < NOTHING {
        return Fit {
            scale: 0.0,
            codes: [0; GROUP],
        };
    }
    let first = -HALF / peak;
    let (sum_qx, sum_qq) = sums(values, first);
    let scale = if sum_qq == 0.0 { 0.0 } else { sum_qx / sum_qq };
    let mut best = Fit {
        scale,
        codes: values.map(|x| code(first * x)),
    };
    // What least squares explain of the weighted squares: the more, the better
    let mut explained = scale * sum_qx;
    for step in (-9i8..=9).filter(|&step| step != 0) {
        let spacing = -(HALF + 0.1 * f32::from(step)) / peak;
        let (sum_qx, sum_qq) = sums(values, spacing);
        if sum_qq > 0.0 && sum_qx * sum_qx > explained * sum_qq {
            let scale = sum_qx / sum_qq;
            explained = scale * sum_qx;
            best = Fit {
                scale,
                codes: values.map(|x| code(spacing * x)),
            };
        }
    }
    best
}

/// Σ w x q and Σ w q² with w = x², for the codes of a spacing.
fn sums(values: &[f32; GROUP], spacing: f32) -> (f32, f32) {
    let (mut sum_qx, mut sum_qq) = (0.0, 0.0);
    for &x in values {
        let q = f32::from(code(spacing * x)) - HALF;
        let w = x * x;
        sum_qx += w * x * q;
        sum_qq += w * q * q;
    }
    (sum_qx, sum_qq)
}
