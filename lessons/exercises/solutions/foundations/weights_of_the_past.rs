//! The weights that one head of causal attention gives the past. Lesson: attention_demo.
//!
//! ```text
//! weights[t] = softmax over s ≤ t of (q[t] · k[s] / √D);   0 for s > t
//! ```
//!
//! Each row spends exactly 1 on itself and what came before.

/// One head: a query and a key of D = 4 numbers for each token. Returns the T × T weights row by row.
pub fn weights(q: &[[f64; 4]], k: &[[f64; 4]]) -> Vec<f64> {
    let mut all = Vec::new();
    for (t, query) in q.iter().enumerate() {
        let score = |key: &[f64; 4]| -> f64 {
            let product: f64 = query.iter().zip(key).map(|(a, b)| a * b).sum();
            product / (key.len() as f64).sqrt()
        };
        let masked = |s: usize| -> f64 { if s <= t { score(&k[s]) } else { f64::NEG_INFINITY } };
        let scores: Vec<f64> = (0..k.len()).map(masked).collect();
        all.extend(softmax(&scores));
    }
    all
}

/// Shares of 1; a score of -inf gets exactly 0.
fn softmax(scores: &[f64]) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let total: f64 = exps.iter().sum();
    exps.iter().map(|exp| exp / total).collect()
}
