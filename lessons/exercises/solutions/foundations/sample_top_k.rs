//! How is the next character chosen?

/// The shares of all scores when only the `k` best may be chosen, at a temperature above 0.
pub fn top_k_shares(scores: &[f64], k: usize, temperature: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    // A stable sort leaves equal scores in their order.
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let best = scores[order[0]];
    let mut shares = vec![0.0; scores.len()];
    for &index in &order[..k] {
        shares[index] = ((scores[index] - best) / temperature).exp();
    }
    let sum: f64 = shares.iter().sum();
    shares.iter().map(|share| share / sum).collect()
}

/// The index that the random number `u` (0 <= u < 1) chooses.
pub fn draw(shares: &[f64], u: f64) -> usize {
    let mut left = u;
    for (index, share) in shares.iter().enumerate() {
        left -= share;
        if left < 0.0 {
            return index;
        }
    }
    // Rounding can leave a sliver behind the last share.
    shares.len() - 1
}
