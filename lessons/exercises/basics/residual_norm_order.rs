//! Put the norm in its place, after the sum or before the layer. Lesson: 07_conclusion.
//!
//! ```text
//! post-norm (2017)   norm(x + layer(x))              pre-norm (today)   x + layer(norm(x))
//! ```
//!
//! The same three parts in another order: in one the stream passes the norm, in the other it passes by.

/// A norm or a layer: a function from a vector to one of the same length.
pub type Part = fn(&[f64]) -> Vec<f64>;

/// One half of a block of 2017.
pub fn post_norm(x: &[f64], norm: Part, layer: Part) -> Vec<f64> {
    let _ = (x, norm, layer); // the parts; this line may go
    todo!("the norm comes last: what does it get?")
}

/// One half of a block of today.
pub fn pre_norm(x: &[f64], norm: Part, layer: Part) -> Vec<f64> {
    let _ = (x, norm, layer); // the parts; this line may go
    todo!("the layer reads the norm of x; what is its answer added to?")
}

/// The gradient that reaches `x` in a pre-norm half when the layer's own way back brings `through`.
pub fn pre_norm_backward(d_y: &[f64], through: &[f64]) -> Vec<f64> {
    todo!(
        "y is a sum: what comes down both ways, {d_y:?} past the layer and {through:?} through it?"
    )
}

/// Number by number.
pub fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}
