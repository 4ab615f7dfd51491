// Expected values: numpy.where(numpy.tri(T, S, S - T), scores, -inf).
fn checks(c: &mut Checks) {
    const HIDDEN: f64 = f64::NEG_INFINITY;
    let square =
        || mask_future(vec![vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0], vec![7.0, 8.0, 9.0]]);
    let expected = [1.0, HIDDEN, HIDDEN, 4.0, 5.0, HIDDEN, 7.0, 8.0, 9.0];
    c.close("three tokens", square, &expected, 0.0);
    c.teach("a score of 0 is not hidden: exp(0) is 1. And a token may read itself");
    let shares = || {
        let row = &square()[0];
        let exps: Vec<f64> = row.iter().map(|score| score.exp()).collect();
        exps.iter().map(|exp| exp / exps.iter().sum::<f64>()).collect::<Vec<f64>>()
    };
    c.close("the first token gives itself everything", shares, &[1.0, 0.0, 0.0], 0.0);
    c.teach("a large negative number is not enough: the share has to be exactly 0 for every score");
    let newest = || mask_future(vec![vec![1.0, 2.0, 3.0, 4.0]]);
    c.close("one new token after three in the cache reads all", newest, &[1.0, 2.0, 3.0, 4.0], 0.0);
    c.teach("the only query stands at position S - 1, not at 0");
    let two = || mask_future(vec![vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0]]);
    c.close("two new tokens after one", two, &[1.0, 2.0, HIDDEN, 4.0, 5.0, 6.0], 0.0);
    let tiny = || mask_future(vec![vec![-1e300, 1e300], vec![0.0, 0.0]]);
    c.close("scores of any size", tiny, &[-1e300, HIDDEN, 0.0, 0.0], 0.0);
}
