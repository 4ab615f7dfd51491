// Expected values: torch.nn.functional.scaled_dot_product_attention(.., enable_gqa=True) pairs heads
// as repeat_interleave does.
fn checks(c: &mut Checks) {
    let all = |heads, kv_heads| -> Vec<usize> {
        (0..heads).map(|head| shared(head, heads, kv_heads)).collect()
    };
    let groups = [0, 0, 0, 0, 1, 1, 1, 1];
    c.equal("8 query heads, 2 key-value heads", || all(8, 2), groups);
    c.teach("0, 1, 0, 1, … deals heads out like cards; the checkpoints of published models have neighbours share");
    c.equal("K = H: each its own", || all(4, 4), [0, 1, 2, 3]);
    c.equal("K = 1: all the same", || all(4, 1), [0, 0, 0, 0]);
    c.equal("8 heads, 2 groups", || saving(8, 2), 4);
    c.equal("Qwen3-0.6B: 16 and 8", || saving(16, 8), 2);
    let by_query = [[1.0, 2.0], [10.0, 20.0], [0.5, 0.5], [-1.0, 1.5]].map(Vec::from);
    c.close("gradients of two heads", || collect(&by_query, 2), &[11.0, 22.0, -0.5, 2.0], 1e-12);
    c.teach("each reader moves the shared numbers: their wishes add up, none replaces another");
    c.close("of one head", || collect(&by_query, 1), &[10.5, 24.0], 1e-12);
}
