//! Rotary positions (Su et al. 2021): turn each pair of numbers by an angle that grows with the
//! position.
//!
//! ```text
//! (a, b) at position p  →  (a cos pω − b sin pω,  b cos pω + a sin pω)
//! ```
//!
//! Turning both arrows of a dot product by the same angle leaves the product alone. So `q·k` of a
//! query at position m and a key at position n depends on `m − n` only: the model sees distances.
//! The first half of a head is paired with the second (Hugging Face's order).

use ndarray::{Array2, Array3};

/// The speeds `ω_i = θ^(−2i/D)`: the first pair turns fast, the last hardly at all.
///
/// # Shapes
/// → `[D/2]`.
pub fn frequencies(d: usize, theta: f64) -> Vec<f64> {
    (0..d / 2)
        .map(|i| theta.powf(-2.0 * i as f64 / d as f64))
        .collect()
}

/// Turns every head of every token; row `t` stands at position `offset + t`.
///
/// # Shapes
/// `x [T, H, D]`, `frequencies [D/2]` → `[T, H, D]`.
pub fn rope(x: &Array3<f64>, frequencies: &[f64], offset: usize) -> Array3<f64> {
    turn(x, frequencies, offset, 1.0)
}

/// The gradient with respect to `x`: the same turn backwards.
///
/// # Shapes
/// `d_y [T, H, D]`, `frequencies [D/2]` → `[T, H, D]`.
pub fn rope_backward(d_y: &Array3<f64>, frequencies: &[f64], offset: usize) -> Array3<f64> {
    // A turn changes no length and no angle between arrows; its transpose is its inverse.
    turn(d_y, frequencies, offset, -1.0)
}

fn turn(x: &Array3<f64>, frequencies: &[f64], offset: usize, direction: f64) -> Array3<f64> {
    let (t, h, d) = x.dim();
    let mut y = x.clone();
    for token in 0..t {
        for head in 0..h {
            for (i, frequency) in frequencies.iter().enumerate().take(d / 2) {
                let angle = (offset + token) as f64 * frequency;
                let (sin, cos) = (direction * angle.sin(), angle.cos());
                let (a, b) = (x[[token, head, i]], x[[token, head, i + d / 2]]);
                y[[token, head, i]] = a * cos - b * sin;
                y[[token, head, i + d / 2]] = b * cos + a * sin;
            }
        }
    }
    y
}

/// The sinusoidal table of the first Transformer (Vaswani et al. 2017), which is added to the
/// embeddings: even channels `sin(p ω)`, odd channels `cos(p ω)`.
///
/// # Shapes
/// → `[positions, C]`.
pub fn sinusoids(positions: usize, c: usize) -> Array2<f64> {
    let frequencies = frequencies(c, 10_000.0);
    Array2::from_shape_fn((positions, c), |(position, channel)| {
        let angle = position as f64 * frequencies.get(channel / 2).copied().unwrap_or(0.0);
        if channel % 2 == 0 {
            angle.sin()
        } else {
            angle.cos()
        }
    })
}
