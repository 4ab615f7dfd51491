// Expected values: NumPy.
fn checks(c: &mut Checks) {
    use std::f64::consts::FRAC_PI_2;
    c.close("position 0 turns nothing", || rotate_pair([3.0, -4.0], 0, 0.7), &[3.0, -4.0], 0.0);
    c.close("a quarter turn", || rotate_pair([1.0, 2.0], 1, FRAC_PI_2), &[-2.0, 1.0], 1e-12);
    c.teach("a quarter turn takes (1, 0) to (0, 1): check the sign of each sine");
    let expected = [0.3642960758, 2.2061931849];
    c.close("three steps of 0.1", || rotate_pair([1.0, 2.0], 3, 0.1), &expected, 1e-9);
    c.teach("the second number uses the old a, not the one that was just turned");
    let length = |[a, b]: [f64; 2]| a.hypot(b);
    c.close("no length changes", || length(rotate_pair([3.0, 4.0], 91, 0.3)), &[5.0], 1e-12);
    let (q, k) = ([0.5, -1.0], [2.0, 0.25]);
    let moved = || score(q, 107, k, 100, 0.01) - score(q, 7, k, 0, 0.01);
    c.close("the same distance, the same score", moved, &[0.0], 1e-12);
    c.teach("turn both: the query by its own position and the key by its own");
    let nearer = || (score(q, 8, k, 0, 0.5) - score(q, 7, k, 0, 0.5)).abs() > 1e-3;
    c.that("another distance, another score", nearer);
}
