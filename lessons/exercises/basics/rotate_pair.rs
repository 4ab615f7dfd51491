//! Turn a pair of numbers by its position. Lesson: 05_attention_positional_encoding.
//!
//! ```text
//! (a, b)  →  (a cos pω - b sin pω,  b cos pω + a sin pω)
//! ```
//!
//! Rope does this to every pair of a query and of a key. The product of the two then knows how far
//! apart they stand, and nothing else.

/// The pair at position `p`, turning by `omega` radians a position.
pub fn rotate_pair([a, b]: [f64; 2], position: usize, omega: f64) -> [f64; 2] {
    todo!("the pair ({a}, {b}), {position} turns of {omega}")
}

/// The product of a query at position `m` and a key at position `n`, after both were turned.
pub fn score(q: [f64; 2], m: usize, k: [f64; 2], n: usize, omega: f64) -> f64 {
    todo!("{q:?} at {m} and {k:?} at {n}, both turning by {omega}: their dot product")
}
