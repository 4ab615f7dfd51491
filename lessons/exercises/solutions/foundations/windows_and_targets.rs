//! What does a language model read, and what does it have to guess?

/// The pairs (x, y) of a text, the first window first.
pub fn windows_and_targets(ids: &[usize], t: usize) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut pairs = Vec::new();
    let windows = ids.len().saturating_sub(t);
    for s in 0..windows {
        let x = ids[s..s + t].to_vec();
        let y = ids[s + 1..s + t + 1].to_vec();
        pairs.push((x, y));
    }
    pairs
}
