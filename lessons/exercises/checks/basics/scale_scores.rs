// Expected values: NumPy.
fn checks(c: &mut Checks) {
    let long = |d: usize| scores(&vec![1.0; d], &[vec![1.0; d]]);
    c.close("arrows of one number need no scaling", || long(1), &[1.0], 1e-12);
    c.close("arrows of 64 ones score 8", || long(64), &[8.0], 1e-12);
    c.teach(
        "divided by D itself, all scores of long arrows would shrink to nothing: take the root",
    );
    c.close("arrows of 1,024 ones score 32", || long(1024), &[32.0], 1e-9);
    let keys = [vec![1.0, 0.0, 1.0], vec![0.0, 2.0, -1.0], vec![-1.5, 0.5, 0.25]];
    let expected = [1.4433756729740645, -2.3094010767585034, -0.4330127018922193];
    c.close("three keys", || scores(&[0.5, -1.0, 2.0], &keys), &expected, 1e-12);
    c.teach(
        "each number of the query meets the number of the key in the same place, and all add up",
    );
    c.close("no keys, no scores", || scores(&[1.0], &[]), &[], 0.0);
}
