//! Cut channels into heads, and glue heads together again. Lesson: 06_mha.
//!
//! ```text
//! x [T, C]  →  heads [H, T, D], D = C / H        head h has the channels h·D, h·D + 1, … of each token
//! ```
//!
//! Both lie in memory row after row: x token by token, the heads head by head. No number changes, each
//! finds a new place.

/// D, or nothing where `heads` does not divide `channels`.
pub fn head_size(channels: usize, heads: usize) -> Option<usize> {
    todo!("D for {channels} channels and {heads} heads, None where they cannot be cut evenly")
}

/// `x [T, C]` → `[H, T, D]`.
pub fn split(x: &[f64], tokens: usize, heads: usize) -> Vec<f64> {
    let size = head_size(x.len() / tokens, heads).unwrap_or(0);
    let mut out = Vec::new();
    for head in 0..heads {
        for token in 0..tokens {
            for channel in 0..size {
                out.push(x[in_tokens([head, token, channel], heads, size)]);
            }
        }
    }
    out
}

/// `x [H, T, D]` → `[T, C]`.
pub fn concat(x: &[f64], tokens: usize, heads: usize) -> Vec<f64> {
    let size = x.len() / (tokens * heads);
    let mut out = vec![0.0; x.len()];
    for head in 0..heads {
        for token in 0..tokens {
            for channel in 0..size {
                let here = (head * tokens + token) * size + channel;
                out[in_tokens([head, token, channel], heads, size)] = x[here];
            }
        }
    }
    out
}

/// Where in `[T, C]` the number lies that head `head` has of `token` in its channel `channel`.
fn in_tokens([head, token, channel]: [usize; 3], heads: usize, size: usize) -> usize {
    todo!(
        "numbers before token {token}, before head {head} in it ({heads} heads of {size}), before {channel}"
    )
}
