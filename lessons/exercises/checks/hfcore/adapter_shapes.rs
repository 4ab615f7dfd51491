// Expected values: alpha / r * (B @ A) in NumPy; counts of PEFT for Qwen3-0.6B.
fn checks(c: &mut Checks) {
    c.equal("q of Qwen3-0.6B, R = 16", || shapes(2_048, 1_024, 16), ([16, 1_024], [2_048, 16]));
    c.teach("A comes first on the way: it reads what the weight reads");
    c.equal("4,096 x 4,096, R = 16", || trained(4_096, 4_096, 16), 131_072);
    c.equal(
        "28 layers of q, k and v",
        || 28 * (trained(2_048, 1_024, 16) + 2 * trained(1_024, 1_024, 16)),
        3_211_264,
    );
    let (a, b) = ([1.0, 2.0, 3.0, 0.5, -1.0, 2.0], [1.0, 0.0, 2.0, -1.0]);
    c.close("the first number", || delta(&a, &b, 4.0, [0, 0], 2), &[2.0], 1e-12);
    c.close("row 1, column 2", || delta(&a, &b, 4.0, [1, 2], 2), &[8.0], 1e-12);
    c.teach("2 · (2 · 3 - 1 · 2): row 1 of B meets column 2 of A");
    c.close("half the α, half the change", || delta(&a, &b, 2.0, [1, 1], 2), &[5.0], 1e-12);
    c.close("B of zeros changes nothing", || delta(&a, &[0.0; 4], 4.0, [1, 1], 2), &[0.0], 0.0);
}
