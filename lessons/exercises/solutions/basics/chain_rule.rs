//! A slope through two steps. Lesson: 02_math.
//!
//! ```text
//! y = W x        loss = ½ Σ (yₘ - goalₘ)²
//! ```
//!
//! Backwards: first how the loss changes with y, then how y changes with x. Each xₙ goes into every
//! yₘ, with the weight W[m, n]; the slopes of all these ways are added.

/// A matrix of two rows.
pub type Matrix = [[f64; 2]; 2];

/// The slopes of the loss with respect to `x`.
pub fn slopes(w: &Matrix, x: [f64; 2], goal: [f64; 2]) -> [f64; 2] {
    let y = w.map(|row| row[0] * x[0] + row[1] * x[1]);
    through_matrix(w, through_loss(y, goal))
}

/// The slopes of the loss with respect to `y`.
fn through_loss(y: [f64; 2], goal: [f64; 2]) -> [f64; 2] {
    [y[0] - goal[0], y[1] - goal[1]]
}

/// The slopes with respect to x, from those with respect to y.
fn through_matrix(w: &Matrix, d_y: [f64; 2]) -> [f64; 2] {
    [0, 1].map(|n| w[0][n] * d_y[0] + w[1][n] * d_y[1])
}
