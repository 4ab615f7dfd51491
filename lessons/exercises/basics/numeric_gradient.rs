//! A gradient without calculus: move one number a little and look. Lesson: 02_math.
//!
//! ```text
//! slope along xᵢ ≈ (f(x + h eᵢ) - f(x - h eᵢ)) / 2h
//! ```
//!
//! eᵢ is the step along axis i. Looking to both sides makes the error shrink with h², looking to one
//! side only with h. All other numbers stay where they are.

/// The slope of `f` at `x` along each axis.
pub fn numeric_gradient(f: impl Fn(&[f64]) -> f64, x: &[f64], h: f64) -> Vec<f64> {
    let along = |axis| {
        let above = f(&moved(x, axis, h));
        let below = f(&moved(x, axis, -h));
        slope(below, above, h)
    };
    (0..x.len()).map(along).collect()
}

/// A copy of `x` whose number at `axis` is moved by `by`.
fn moved(x: &[f64], axis: usize, by: f64) -> Vec<f64> {
    todo!("what becomes of {x:?} if number {axis} is moved by {by}, the first being 0?")
}

/// The slope between two places that lie `h` below and `h` above.
fn slope(below: f64, above: f64, h: f64) -> f64 {
    todo!("from {below} to {above}: how much a step, and how far apart are they with h = {h}?")
}
