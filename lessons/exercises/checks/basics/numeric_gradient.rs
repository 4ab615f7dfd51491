// Expected values: NumPy; the derivatives of x², x³ and x y by calculus.
fn checks(c: &mut Checks) {
    let square = |x: &[f64]| x[0] * x[0];
    c.close("x² at 3", || numeric_gradient(square, &[3.0], 1e-5), &[6.0], 1e-8);
    c.teach("the two places are 2 h apart, not h");
    let cube = |x: &[f64]| x[0].powi(3);
    c.close("x³ at 2 with h = 0.1", || numeric_gradient(cube, &[2.0], 0.1), &[12.01], 1e-9);
    c.teach("a coarse h has an error of h²: (9.261 - 6.859) / 0.2 is 12.01");
    let product = |x: &[f64]| x[0] * x[1] + 5.0 * x[2];
    let gradient = || numeric_gradient(product, &[2.0, -3.0, 7.0], 1e-5);
    c.close("x y + 5 z at (2, -3, 7)", gradient, &[-3.0, 2.0, 5.0], 1e-8);
    c.teach("only one number moves at a time, and it moves back before the next");
    let lse = |x: &[f64]| x.iter().map(|x| x.exp()).sum::<f64>().ln();
    let shares = [
        0.22940628401739954,
        0.08439385556553813,
        0.05118746089185854,
        0.011421466346391884,
        0.6235909331788119,
    ];
    let gradient = || numeric_gradient(lse, &[2.0, 1.0, 0.5, -1.0, 3.0], 1e-5);
    c.close("ln Σ exp has softmax as its gradient", gradient, &shares, 1e-9);
}
