//! The row that the first Transformer adds at a position. Lesson: 05_attention_positional_encoding.
//!
//! ```text
//! PE[2i] = sin(p ωᵢ)      PE[2i + 1] = cos(p ωᵢ)      ωᵢ = 10000^(-2i/C)
//! ```
//!
//! A pair of channels is one hand of a clock; each pair turns slower than the one before.

/// The C numbers of position `p`.
pub fn sinusoid(position: usize, channels: usize) -> Vec<f64> {
    let mut row = Vec::new();
    for pair in 0..channels / 2 {
        let angle = position as f64 * frequency(pair, channels);
        row.extend(hand(angle));
    }
    row
}

/// The two channels of a pair.
fn hand(angle: f64) -> [f64; 2] {
    todo!("where does a hand point at angle {angle}?")
}

/// How far the hand of a pair turns from one position to the next.
fn frequency(pair: usize, channels: usize) -> f64 {
    todo!("ω of pair {pair} for C = {channels}")
}
