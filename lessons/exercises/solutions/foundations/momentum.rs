//! A heavy ball instead of a walker. Lesson: gradient_descent.
//!
//! ```text
//! v ← β v + slope
//! w ← w - lr · v
//! ```
//!
//! Slopes that point the same way step after step add up, slopes that alternate cancel.

/// Moves `w` one step; `speed` is v, what the ball remembers, zero at the start.
pub fn step(w: &mut [f64], speed: &mut [f64], slope: &[f64], (lr, beta): (f64, f64)) {
    for ((w, speed), slope) in w.iter_mut().zip(speed.iter_mut()).zip(slope) {
        *speed = faster(*speed, *slope, beta);
        *w -= distance(*speed, *slope, lr);
    }
}

/// The new speed of one number.
fn faster(speed: f64, slope: f64, beta: f64) -> f64 {
    beta * speed + slope
}

/// How far one number moves.
fn distance(speed: f64, _slope: f64, lr: f64) -> f64 {
    // The slope has already gone into the speed.
    lr * speed
}

/// How many times as far as a plain step the ball finally goes on a slope that never changes.
pub fn boost(beta: f64) -> f64 {
    1.0 / (1.0 - beta)
}
