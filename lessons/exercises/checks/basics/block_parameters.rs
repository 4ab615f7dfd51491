// Expected values: the tensors of the published checkpoints, added up.
fn checks(c: &mut Checks) {
    let gpt2 = || Block {
        channels: 768,
        heads: 12,
        kv_heads: 12,
        inner: 3_072,
        gated: false,
        biases: true,
    };
    let llama = || Block {
        channels: 4_096,
        heads: 32,
        kv_heads: 8,
        inner: 14_336,
        gated: true,
        biases: false,
    };
    c.equal("GPT-2 small: attention", || attention(&gpt2()), 2_362_368);
    c.equal("GPT-2 small: mlp", || mlp(&gpt2()), 4_722_432);
    c.teach("a bias for each output: F of the way up, C of the way down");
    c.equal("GPT-2 small: norms", || norms(&gpt2()), 3_072);
    c.equal("Llama-3.1-8B: attention", || attention(&llama()), 41_943_040);
    c.teach("k and v have K heads of D = C / H channels, a quarter of C here; q and o have all");
    c.equal("Llama-3.1-8B: mlp", || mlp(&llama()), 176_160_768);
    c.equal("Llama-3.1-8B: norms", || norms(&llama()), 8_192);
    let whole = |block: Block, blocks, rest| {
        blocks * (attention(&block) + mlp(&block) + norms(&block)) + rest
    };
    // Embeddings, positions and the last norm.
    let rest = 768 * (50_257 + 1_024 + 2);
    c.equal("the whole of GPT-2 small", || whole(gpt2(), 12, rest), 124_439_808);
    let rest = 4_096 * (2 * 128_256 + 1);
    c.equal("the whole of Llama-3.1-8B", || whole(llama(), 32, rest), 8_030_261_248);
}
