//! How many bytes does a KV cache take? (`mini_gpt_generate` keeps one while it writes.)
//!
//! To write the next token, attention needs the keys and the values of all earlier tokens. They
//! are kept, so that they are computed once: for each layer, for each key-value head, head_dim
//! numbers of each kind. A number takes 4 bytes in f32 and 2 in bf16.

/// The bytes that one more token costs.
pub fn bytes_per_token(layers: u64, kv_heads: u64, head_dim: u64, bytes: u64) -> u64 {
    todo!("what is kept for one token, over all layers?")
}

/// The bytes of `sequences` texts of `tokens` tokens each, of which one token costs `per_token`.
pub fn cache_bytes(per_token: u64, tokens: u64, sequences: u64) -> u64 {
    todo!("every token of every text")
}
