//! One step of gradient descent, and how large it may be. Lesson: gradient_descent.
//!
//! ```text
//! w ← w - lr · slope
//! ```
//!
//! On a bowl f = ½ Σ λᵢ wᵢ² a step multiplies wᵢ by 1 - lr λᵢ. The walk arrives as long as each of
//! these factors lies between -1 and 1.

/// Moves every number of `w` one step downhill.
pub fn step(w: &mut [f64], slope: &[f64], lr: f64) {
    for (w, slope) in w.iter_mut().zip(slope) {
        *w = moved(*w, *slope, lr);
    }
}

/// Where one number goes.
fn moved(w: f64, slope: f64, lr: f64) -> f64 {
    todo!("where does {w} go, with slope {slope} and learning rate {lr}?")
}

/// The learning rate from which on a walk down the bowl of these `curvatures` does not arrive.
pub fn limit(curvatures: &[f64]) -> f64 {
    todo!("which of {curvatures:?} is the strictest, and what does it allow?")
}
