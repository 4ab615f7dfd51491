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
//!
//! ```
//! use llm_core::math::rope::score;
//! let (q, k) = ([1.0, 0.5], [0.3, -2.0]);
//! assert!((score(&q, &k, 7, 4) - score(&q, &k, 1007, 1004)).abs() < 1e-9);
//! ```

use std::f64::consts::TAU;

use ndarray::{Array2, Array3, Axis};
use rand::Rng;

use crate::rng::{ChaCha8Rng, standard_normal};
use crate::{Error, Result};

/// θ of the paper, and the base of the wave lengths of [sinusoids](super::positions::sinusoids).
pub const THETA: f64 = 10_000.0;

/// Fails unless `channels` can be cut into pairs.
pub(super) fn expect_pairs(what: &str, channels: usize) -> Result<()> {
    if channels >= 2 && channels.is_multiple_of(2) {
        return Ok(());
    }
    let problem = format!(
        "{channels}, expected an even number of at least 2: channels come in pairs, one pair for \
         each frequency"
    );
    Err(Error::input(what, problem))
}

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
    each_head(x, frequencies, offset, 1.0)
}

/// The gradient with respect to `x`: the same turn backwards.
///
/// # Shapes
/// `d_y [T, H, D]`, `frequencies [D/2]` → `[T, H, D]`.
pub fn rope_backward(d_y: &Array3<f64>, frequencies: &[f64], offset: usize) -> Array3<f64> {
    // A turn changes no length and no angle between arrows; its transpose is its inverse.
    each_head(d_y, frequencies, offset, -1.0)
}

fn each_head(x: &Array3<f64>, frequencies: &[f64], offset: usize, direction: f64) -> Array3<f64> {
    let (t, h, _d) = x.dim();
    let places: Vec<f64> = (0..t).map(|token| (offset + token) as f64).collect();
    let mut y = x.clone();
    for head in 0..h {
        let one = x.index_axis(Axis(1), head).to_owned();
        let turned = turn(&one, frequencies, &places, direction);
        y.index_axis_mut(Axis(1), head).assign(&turned);
    }
    y
}

// ANCHOR: turn
/// Turns each row of one head by the place where it stands, in `direction` 1 or −1. Places need not
/// be whole numbers.
///
/// # Shapes
/// `x [T, D]`, `frequencies [D/2]`, `places [T]` → `[T, D]`.
pub fn turn(x: &Array2<f64>, frequencies: &[f64], places: &[f64], direction: f64) -> Array2<f64> {
    let (_t, d) = x.dim();
    let mut y = x.clone();
    for (token, place) in places.iter().enumerate() {
        for (i, frequency) in frequencies.iter().enumerate().take(d / 2) {
            let angle = place * frequency;
            let (sin, cos) = (direction * angle.sin(), angle.cos());
            let (a, b) = (x[[token, i]], x[[token, i + d / 2]]);
            y[[token, i]] = a * cos - b * sin;
            y[[token, i + d / 2]] = b * cos + a * sin;
        }
    }
    y
}
// ANCHOR_END: turn

// ANCHOR: relative
/// The product of a query at position m and a key at position n after [`turn`] turned both: it
/// depends on `m − n` only.
///
/// # Shapes
/// `q [D]`, `k [D]` → a number.
pub fn score(q: &[f64], k: &[f64], m: usize, n: usize) -> f64 {
    let frequencies = frequencies(q.len(), THETA);
    let turned = |x: &[f64], position: usize| {
        let row = Array2::from_shape_fn((1, x.len()), |(_, channel)| x[channel]);
        turn(&row, &frequencies, &[position as f64], 1.0)
    };
    (turned(q, m) * turned(k, n)).sum()
}
// ANCHOR_END: relative

/// The largest change of [`score`] over `draws` random pairs of arrows when both positions move
/// on by the same random number of steps, up to 2,000.
pub fn shift_error(rng: &mut ChaCha8Rng, d: usize, draws: usize) -> f64 {
    let mut largest = 0.0;
    for _ in 0..draws {
        let q: Vec<f64> = (0..d).map(|_| standard_normal(rng)).collect();
        let k: Vec<f64> = (0..d).map(|_| standard_normal(rng)).collect();
        let [m, n, shift] = [0; 3].map(|_| rng.random_range(0..=2000));
        let moved = score(&q, &k, m + shift, n + shift) - score(&q, &k, m, n);
        largest = f64::max(largest, moved.abs());
    }
    largest
}

/// How much of its circle one pair of [`turn`] has seen in training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Circle {
    /// ω, radians a position.
    pub frequency: f64,
    /// The share of the circle that positions within the trained length reach; below 1, later
    /// positions turn the pair to angles that training never showed.
    pub seen: f64,
}

/// How many of the D/2 pairs have not seen their whole circle; see [`circles`].
///
/// # Errors
/// D that is odd or 0.
pub fn unfinished(d: usize, theta: f64, trained: usize) -> Result<usize> {
    let circles = circles(d, theta, trained)?;
    Ok(circles.iter().filter(|circle| circle.seen < 1.0).count())
}

/// What the D/2 pairs of [`turn`] have seen after training on texts of `trained` tokens.
///
/// Fast pairs went round many times: later positions bring them nothing new. A slow pair stopped
/// part of the way, and the first position after the trained length turns it to where it never was:
/// relative or not, plain rope does not carry over to longer texts. Position interpolation (Chen et
/// al. 2023) divides positions so that they fit into the arc that was seen.
///
/// # Shapes
/// → `[D/2]`.
///
/// # Errors
/// D that is odd or 0.
pub fn circles(d: usize, theta: f64, trained: usize) -> Result<Vec<Circle>> {
    expect_pairs("head size", d)?;
    let last = trained.saturating_sub(1) as f64;
    let circle = |frequency: f64| Circle {
        frequency,
        seen: (last * frequency / TAU).min(1.0),
    };
    Ok(frequencies(d, theta).into_iter().map(circle).collect())
}
