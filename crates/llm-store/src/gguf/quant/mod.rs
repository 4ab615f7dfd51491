//! Weights in blocks of fewer bits.
//!
//! [`small`] has blocks of 32 with one scale, byte for byte as the `gguf` package of llama.cpp
//! makes them; [`k4`] and [`k6`] have blocks of 256 whose scales are quantized themselves, by the
//! search of llama.cpp's reference code (`ggml-quants.c`), without an importance matrix. Candle's
//! quantizers of K blocks use an older, coarser search; its readers are what the tests check ours
//! with.

pub mod k4;
pub mod k6;
pub mod small;

use half::{bf16, f16};

use super::types::GgmlType;

/// The largest number of F16, which is also the type of every block's scale.
pub const MAX_F16: f32 = 65_504.0;

/// `values` in the form of `kind`, whole blocks in their order; `None` for a type that is not
/// written here or a number of values that is not whole blocks. Work is shared out over `threads`;
/// the bytes do not depend on how many there are.
///
/// Values beyond ±[`MAX_F16`] have no place in any type but F32, BF16; see [`fits`].
///
/// # Shapes
/// Any; rows are whole blocks, so that a block never crosses a row.
pub fn quantize(kind: GgmlType, values: &[f32], threads: usize) -> Option<Vec<u8>> {
    let encode = encoder(kind)?;
    if !values.len().is_multiple_of(kind.block()) {
        return None;
    }
    let blocks = values.len() / kind.block();
    let share = blocks.div_ceil(threads.max(1)).max(1);
    let mut bytes = vec![0; blocks * kind.block_bytes()];
    std::thread::scope(|scope| {
        let inputs = values.chunks(share * kind.block());
        let outputs = bytes.chunks_mut(share * kind.block_bytes());
        for (input, output) in inputs.zip(outputs) {
            let mut work = move || {
                let blocks = input.chunks_exact(kind.block());
                let places = output.chunks_exact_mut(kind.block_bytes());
                blocks
                    .zip(places)
                    .for_each(|(block, place)| encode(block, place));
            };
            match threads {
                0 | 1 => work(),
                _ => drop(scope.spawn(work)),
            }
        }
    });
    Some(bytes)
}

/// Whether `kind` can hold every one of `values`: the index of the first that it cannot.
///
/// # Errors
/// The index.
pub fn fits(kind: GgmlType, values: &[f32]) -> Result<(), usize> {
    if matches!(kind, GgmlType::F32 | GgmlType::BF16) {
        return Ok(());
    }
    let beyond = values.iter().position(|value| value.abs() > MAX_F16);
    beyond.map_or(Ok(()), Err)
}

/// Writes one block of values into the bytes of one block.
type Encode = fn(&[f32], &mut [u8]);

fn encoder(kind: GgmlType) -> Option<Encode> {
    Some(match kind {
        GgmlType::F32 => |values, out| put(out, 0, values.iter().flat_map(|x| x.to_le_bytes())),
        GgmlType::F16 => |values, out| {
            put(
                out,
                0,
                values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()),
            );
        },
        GgmlType::BF16 => |values, out| {
            put(
                out,
                0,
                values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()),
            );
        },
        GgmlType::Q8_0 => small::q8_0,
        GgmlType::Q4_0 => small::q4_0,
        GgmlType::Q5_0 => small::q5_0,
        GgmlType::Q5_1 => small::q5_1,
        GgmlType::Q4_K => k4::q4_k,
        GgmlType::Q5_K => k4::q5_k,
        GgmlType::Q6_K => k6::q6_k,
        _ => return None,
    })
}

/// Writes `bytes` into `out` from `start` on; what does not fit is dropped.
fn put(out: &mut [u8], start: usize, bytes: impl IntoIterator<Item = u8>) {
    let places = out.iter_mut().skip(start);
    places.zip(bytes).for_each(|(place, byte)| *place = byte);
}

/// Writes `value` as F16 at `start` and returns what was kept of it.
fn put_f16(out: &mut [u8], start: usize, value: f32) -> f32 {
    let kept = f16::from_f32(value);
    put(out, start, kept.to_le_bytes());
    kept.to_f32()
}

/// Pairs of codes of 4 bits: the first half of each `group` of codes low, its second half high.
fn nibbles(codes: &[u8], group: usize) -> impl Iterator<Item = u8> + '_ {
    codes.chunks_exact(group).flat_map(move |group_codes| {
        let (low, high) = group_codes.split_at(group / 2);
        low.iter()
            .zip(high)
            .map(|(low, high)| (low & 15) | (high << 4))
    })
}

/// The value with the largest magnitude, the first of several; 0 of none.
fn peak(values: &[f32]) -> f32 {
    let mut peak = 0.0f32;
    for &value in values {
        if value.abs() > peak.abs() {
            peak = value;
        }
    }
    peak
}

/// 1 / `x`, or 0 of 0.
fn inverse(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}
