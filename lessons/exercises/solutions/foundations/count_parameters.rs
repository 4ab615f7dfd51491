//! How many parameters has a GPT with V vocabulary entries, a context of T tokens, L layers and a
//! width of d?

/// A projection from `inputs` to `outputs` numbers with its biases.
fn projection(inputs: u64, outputs: u64) -> u64 {
    inputs * outputs + outputs
}

/// The parameters of one block of width `d`.
pub fn block(d: u64) -> u64 {
    let attention = 4 * projection(d, d);
    let feed_forward = projection(d, 4 * d) + projection(4 * d, d);
    let norms = 2 * (d + d);
    attention + feed_forward + norms
}

/// The parameters of the whole model.
pub fn count_parameters(v: u64, t: u64, l: u64, d: u64) -> u64 {
    v * d + t * d + l * block(d) + 2 * d
}
