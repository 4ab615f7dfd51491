//! Golden values: the shapes of published models; `deeper inspect kv` prints the same.

fn checks(c: &mut Checks) {
    c.equal("one layer, one head of size 1, 1 byte", || bytes_per_token(1, 1, 1, 1), 2)
        .teach("a key and a value: two numbers");
    c.equal("Qwen3-0.6B in bf16", || bytes_per_token(28, 8, 128, 2), 114_688);
    c.equal("Llama-3.1-8B in bf16", || bytes_per_token(32, 8, 128, 2), 131_072);
    c.equal("GPT-2 small in f32", || bytes_per_token(12, 12, 64, 4), 73_728);
    c.equal("40,960 tokens of Qwen3-0.6B", || cache_bytes(114_688, 40_960, 1), 4_697_620_480);
    let batch = || cache_bytes(bytes_per_token(32, 8, 128, 2), 2_048, 16);
    c.equal("16 texts of 2,048 tokens, Llama-3.1-8B", batch, 4_294_967_296)
        .teach("every text of a batch has a cache of its own");
}
