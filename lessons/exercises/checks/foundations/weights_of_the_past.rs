// Inputs and weights: head 0 of torch's scaled_dot_product_attention in f64, is_causal=True.
fn checks(c: &mut Checks) {
    let q = [
        [-0.964, 0.757, -2.034, -0.914],
        [0.71, 1.156, -2.158, -0.498],
        [0.328, -0.609, 1.591, -1.191],
        [0.355, -1.048, 1.406, -0.022],
        [-0.372, -1.718, 1.682, 0.753],
        [0.754, 1.138, 0.349, -0.639],
    ];
    let k = [
        [-0.819, -0.333, 0.853, -0.407],
        [-0.154, 0.814, 0.645, 1.695],
        [-2.09, 0.857, -0.482, 0.135],
        [0.838, 1.083, 1.039, 0.155],
        [1.61, -0.283, -0.141, 0.799],
        [-0.551, 2.161, 1.019, 2.176],
    ];
    let expected = [
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.3543265351, 0.6456734649, 0.0, 0.0, 0.0, 0.0],
        [0.7506836686, 0.1431048888, 0.1062114427, 0.0, 0.0, 0.0],
        [0.4147748961, 0.2160261476, 0.0689999965, 0.3001989598, 0.0, 0.0],
        [0.396239232, 0.2421434091, 0.0720631019, 0.1246476741, 0.164906583, 0.0],
        [0.098338607, 0.1195673363, 0.0798566535, 0.3548544468, 0.1445795241, 0.2028034323],
    ];
    let row_sum = |t: usize| weights(&q, &k)[6 * t..][..6].iter().sum::<f64>();
    c.close("every row spends exactly 1", || [0, 1, 2, 3, 4, 5].map(row_sum), &[1.0; 6], 1e-12);
    c.teach("hide the future before softmax: weights set to 0 afterwards leave rows below 1");
    let future = || {
        let all = weights(&q, &k);
        (0..36).filter(|at| at % 6 > at / 6).all(|at| all[at] == 0.0)
    };
    c.that("weights of the future are exactly 0", future);
    c.teach("key s may be read by query t where s <= t; a hidden score is -inf, not 0");
    c.close("the weights of head 0", || weights(&q, &k), &expected.concat(), 1e-9);
    c.teach("the products are divided by the root of D = 4");
    c.close("one token reads itself", || weights(&q[..1], &k[..1]), &[1.0], 0.0);
}
