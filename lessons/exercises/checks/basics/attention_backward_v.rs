// Expected values: torch in f64, (weights @ values * d_output).sum().backward().
fn checks(c: &mut Checks) {
    let weights = vec![vec![1.0, 0.0, 0.0], vec![0.25, 0.75, 0.0], vec![0.2, 0.3, 0.5]];
    let values = vec![vec![1.0, -2.0], vec![0.5, 3.0], vec![-1.0, 0.25]];
    let d_output = vec![vec![1.0, 0.5], vec![-2.0, 1.0], vec![0.5, -1.5]];
    let own = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
    let wish = vec![vec![3.0, -1.0], vec![2.0, 5.0]];
    let unmixed = || d_values(&own, &wish);
    c.close("whoever reads one token alone passes all on", unmixed, &[3.0, -1.0, 2.0, 5.0], 1e-12);
    let expected = [0.6, 0.45, -1.35, 0.3, 0.25, -0.75];
    c.close("values", || d_values(&weights, &d_output), &expected, 1e-12);
    c.teach(
        "value s collects from every token t that read it: sum over t of weight[t][s], not [s][t]",
    );
    let one = vec![vec![0.5, 0.5]];
    let shared = || d_values(&one, &vec![vec![4.0]]);
    c.close("one query over two keys", shared, &[2.0, 2.0], 1e-12);
    let expected = [0.0, 2.0, -0.875, -4.0, 2.0, 2.25, 3.5, -4.25, -0.875];
    c.close("weights", || d_weights(&values, &d_output), &expected, 1e-12);
    c.teach(
        "a weight is worth as much as its value points where the output wants to go: a dot product",
    );
}
