//! How many bytes does a KV cache take?

/// The bytes that one more token costs.
pub fn bytes_per_token(layers: u64, kv_heads: u64, head_dim: u64, bytes: u64) -> u64 {
    let keys_and_values = 2;
    keys_and_values * layers * kv_heads * head_dim * bytes
}

/// The bytes of `sequences` texts of `tokens` tokens each, of which one token costs `per_token`.
pub fn cache_bytes(per_token: u64, tokens: u64, sequences: u64) -> u64 {
    per_token * tokens * sequences
}
