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
    let (sin, cos) = (position as f64 * omega).sin_cos();
    [a * cos - b * sin, b * cos + a * sin]
}

/// The product of a query at position `m` and a key at position `n`, after both were turned.
pub fn score(q: [f64; 2], m: usize, k: [f64; 2], n: usize, omega: f64) -> f64 {
    let (q, k) = (rotate_pair(q, m, omega), rotate_pair(k, n, omega));
    q[0] * k[0] + q[1] * k[1]
}
