//! Let query heads share keys and values. Lesson: 06_mha.
//!
//! ```text
//! H query heads in K groups of neighbours; each group reads one key-value head
//! ```
//!
//! `K = H` is multi-head attention, `K = 1` multi-query, between is grouped-query. What was shared on
//! the way up collects the gradients of all its readers on the way down.

/// The key-value head that query head `head` reads.
pub fn shared(head: usize, heads: usize, kv_heads: usize) -> usize {
    todo!("which of {kv_heads} does query head {head} of {heads} read, if neighbours share?")
}

/// How many times smaller the cache is than with `kv_heads = heads`.
pub fn saving(heads: usize, kv_heads: usize) -> usize {
    todo!("the cache holds keys and values only: {kv_heads} heads of them instead of {heads}")
}

/// The gradient of each key-value head, from what each query head says about the one it read.
///
/// `by_query [H, D]` → `[K, D]`.
pub fn collect(by_query: &[Vec<f64>], kv_heads: usize) -> Vec<Vec<f64>> {
    let (heads, size) = (by_query.len(), by_query[0].len());
    let mut gradients = vec![vec![0.0; size]; kv_heads];
    for (head, gradient) in by_query.iter().enumerate() {
        let own = &mut gradients[shared(head, heads, kv_heads)];
        for (sum, part) in own.iter_mut().zip(gradient) {
            todo!("what happens to {sum}, when this reader says {part}?");
        }
    }
    gradients
}
