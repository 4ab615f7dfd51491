//! How is the next character chosen? (`mini_gpt_generate` chooses like this.)
//!
//! - Keep the k highest scores; of equal ones the first. All others get the share 0.
//! - The kept ones share 1 by softmax(score / T).
//! - One draw: u is a random number from 0 to 1. Go through the shares in order and take each away
//!   from u; the first one that brings u below 0 is the choice.

/// The shares of all scores when only the `k` best may be chosen, at a temperature above 0.
pub fn top_k_shares(scores: &[f64], k: usize, temperature: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    // A stable sort leaves equal scores in their order.
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut shares = vec![0.0; scores.len()];
    for &index in &order[..k] {
        shares[index] =
            todo!("exp of the score over the temperature; large scores must not overflow");
    }
    let sum: f64 = shares.iter().sum();
    shares.iter().map(|share| share / sum).collect()
}

/// The index that the random number `u` (0 <= u < 1) chooses.
pub fn draw(shares: &[f64], u: f64) -> usize {
    todo!("walk along the shares until u is used up")
}
