//! Q4_K and Q5_K: 256 weights in eight groups of 32, each `s q - m`, where `s` and `m` are
//! numbers of 6 bits times one scale each for the block.
//!
//! ```text
//! d F16 │ dmin F16 │ 12 bytes: eight s and eight m of 6 bits │ Q5_K: 32 bytes of fifth bits │ 128 bytes of four bits
//! ```
//!
//! A group's line is found by a search: several spacings of the codes are tried, for each the
//! weighted least squares give `s` and `m`, and the line with the least weighted error wins. Large
//! weights count more: a weight `x` has the importance `rms + |x|`.

use super::{nibbles, put, put_f16};

/// Weights of a group.
const GROUP: usize = 32;
/// Groups of a block.
const GROUPS: usize = 8;
/// The largest number of 6 bits.
const TOP: f32 = 63.0;

/// Which spacings of the codes a search tries: `(top + first + stride i) / range` for each step.
struct Search {
    /// The largest code.
    top: f32,
    first: f32,
    stride: f32,
    steps: u8,
}

const Q4: Search = Search {
    top: 15.0,
    first: -1.0,
    stride: 0.1,
    steps: 20,
};

const Q5: Search = Search {
    top: 31.0,
    first: -0.5,
    stride: 0.1,
    steps: 15,
};

/// One group as `scale q - least`.
#[derive(Clone, Copy)]
struct Line {
    scale: f32,
    least: f32,
    codes: [u8; GROUP],
}

/// One block of Q4_K, 144 bytes.
pub(super) fn q4_k(values: &[f32], out: &mut [u8]) {
    let codes = block(values, &Q4, out);
    put(out, 16, nibbles(&codes, 2 * GROUP));
}

/// One block of Q5_K, 176 bytes.
pub(super) fn q5_k(values: &[f32], out: &mut [u8]) {
    let codes = block(values, &Q5, out);
    // Byte j holds the fifth bits of the j-th weight of every group, the first group's lowest
    let fifth = |j: usize| {
        let codes = codes.iter().skip(j).step_by(GROUP).enumerate();
        codes.fold(0, |byte, (group, code)| byte | ((code >> 4) << group))
    };
    put(out, 16, (0..GROUP).map(fifth));
    put(out, 48, nibbles(&codes, 2 * GROUP));
}

/// Writes the scales of a block and returns the codes of its weights.
fn block(values: &[f32], search: &Search, out: &mut [u8]) -> Vec<u8> {
    let (groups, _) = values.as_chunks::<GROUP>();
    let mut lines: Vec<Line> = groups.iter().map(|group| fit(group, search)).collect();
    let largest = |of: fn(&Line) -> f32| lines.iter().map(of).fold(0.0f32, f32::max);
    let (scale, least) = (largest(|line| line.scale), largest(|line| line.least));
    let d = put_f16(out, 0, scale / TOP);
    let d_least = put_f16(out, 2, least / TOP);
    let mut scales = [0; GROUPS];
    let mut leasts = [0; GROUPS];
    for (i, line) in lines.iter_mut().enumerate().take(GROUPS) {
        scales[i] = six_bits(line.scale, scale);
        leasts[i] = six_bits(line.least, least);
        let (s, m) = (d * f32::from(scales[i]), d_least * f32::from(leasts[i]));
        if s != 0.0 {
            line.codes = groups[i].map(|x| nearest((x + m) / s, search.top));
        }
    }
    put(out, 4, packed(&scales, &leasts));
    lines.iter().flat_map(|line| line.codes).collect()
}

/// `value` as a share of `largest` in 63 steps.
fn six_bits(value: f32, largest: f32) -> u8 {
    let inverse = if largest > 0.0 { TOP / largest } else { 0.0 };
    nearest(inverse * value, TOP)
}

/// The nearest whole number in 0..=`top`, halves to even.
fn nearest(value: f32, top: f32) -> u8 {
    value.round_ties_even().clamp(0.0, top) as u8
}

/// Sixteen numbers of 6 bits: of the first four pairs all six bits, with the high two bits of the
/// last four above them; then the low four bits of the last four pairs.
fn packed(scales: &[u8; GROUPS], leasts: &[u8; GROUPS]) -> [u8; 12] {
    let mut bytes = [0; 12];
    for i in 0..4 {
        bytes[i] = scales[i] | ((scales[i + 4] >> 4) << 6);
        bytes[i + 4] = leasts[i] | ((leasts[i + 4] >> 4) << 6);
        bytes[i + 8] = (scales[i + 4] & 15) | ((leasts[i + 4] & 15) << 4);
    }
    bytes
}

/// The best line through a group that the search finds.
fn fit(values: &[f32; GROUP], search: &Search) -> Line {
    let squares = values.iter().fold(0.0f32, |sum, x| sum + x * x);
    let rms = (squares / GROUP as f32).sqrt();
    let weights = values.map(|x| rms + x.abs());
    let (mut sum_w, mut sum_x) = (0.0f32, 0.0f32);
    for (w, x) in weights.iter().zip(values) {
        sum_w += w;
        sum_x += w * x;
    }
    let low = values.iter().copied().fold(0.0f32, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if high == low {
        return Line {
            scale: 0.0,
            least: -low,
            codes: [0; GROUP],
        };
    }
    let spacing = search.top / (high - low);
    let mut best = Line {
        scale: 1.0 / spacing,
        least: -low,
        codes: values.map(|x| nearest(spacing * (x - low), search.top)),
    };
    let mut least_error = error(&best, values, &weights);
    for step in 0..=search.steps {
        // The range is that of the best line so far, whose smallest value may have moved
        let low = -best.least;
        let spacing = (search.first + search.stride * f32::from(step) + search.top) / (high - low);
        let codes = values.map(|x| nearest(spacing * (x - low), search.top));
        let Some(line) = least_squares(codes, values, &weights, (sum_w, sum_x)) else {
            continue;
        };
        let error = error(&line, values, &weights);
        if error < least_error {
            (best, least_error) = (line, error);
        }
    }
    best
}

/// The line with the least weighted squares for given codes; `None` where all codes are the same.
fn least_squares(
    codes: [u8; GROUP],
    values: &[f32; GROUP],
    weights: &[f32; GROUP],
    (sum_w, sum_x): (f32, f32),
) -> Option<Line> {
    let (mut sum_q, mut sum_qq, mut sum_qx) = (0.0f32, 0.0f32, 0.0f32);
    for ((&code, x), w) in codes.iter().zip(values).zip(weights) {
        let q = f32::from(code);
        sum_q += w * q;
        sum_qq += w * q * q;
        sum_qx += w * q * x;
    }
    let determinant = sum_w * sum_qq - sum_q * sum_q;
    // Also false for a NaN
    if determinant > 0.0 {
        let scale = (sum_w * sum_qx - sum_x * sum_q) / determinant;
        let low = (sum_qq * sum_x - sum_q * sum_qx) / determinant;
        // A line may not start above zero: what is subtracted has no sign
        let (scale, low) = match low > 0.0 {
            true => (sum_qx / sum_qq, 0.0),
            false => (scale, low),
        };
        let least = -low;
        return Some(Line {
            scale,
            least,
            codes,
        });
    }
    None
}

/// The weighted squares of what a line leaves over.
fn error(line: &Line, values: &[f32; GROUP], weights: &[f32; GROUP]) -> f32 {
    let mut sum = 0.0;
    for ((&code, x), w) in line.codes.iter().zip(values).zip(weights) {
        let difference = line.scale * f32::from(code) - line.least - x;
        sum += w * (difference * difference);
    }
    sum
}
