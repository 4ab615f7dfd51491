//! The shapes of an adapter, and what it adds to a weight. Lesson: 02_peft_lora.
//!
//! ```text
//! W [O, I]     A [R, I]     B [O, R]     ΔW = (α / R) · B A
//! ```
//!
//! Matrices lie in memory row after row: A's number in row r and column i is `a[r * inputs + i]`.

/// The shapes of A and B beside a weight of `outputs` x `inputs`.
pub fn shapes(outputs: usize, inputs: usize, r: usize) -> ([usize; 2], [usize; 2]) {
    ([r, inputs], [outputs, r])
}

/// The numbers that train.
pub fn trained(outputs: usize, inputs: usize, r: usize) -> usize {
    let (a, b) = shapes(outputs, inputs, r);
    a[0] * a[1] + b[0] * b[1]
}

/// ΔW in row `o` and column `i`.
pub fn delta(a: &[f64], b: &[f64], alpha: f64, [o, i]: [usize; 2], r: usize) -> f64 {
    let inputs = a.len() / r;
    let sum: f64 = (0..r).map(|k| product(a, b, [o, k, i], [r, inputs])).sum();
    alpha / r as f64 * sum
}

/// B in row `o` and column `k` times A in row `k` and column `i`.
fn product(a: &[f64], b: &[f64], [o, k, i]: [usize; 3], [r, inputs]: [usize; 2]) -> f64 {
    b[o * r + k] * a[k * inputs + i]
}
