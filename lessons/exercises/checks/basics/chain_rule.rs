// Expected values: complex steps in NumPy.
fn checks(c: &mut Checks) {
    let one = [[1.0, 0.0], [0.0, 1.0]];
    c.close("W changes nothing", || slopes(&one, [3.0, 5.0], [1.0, 9.0]), &[2.0, -4.0], 1e-12);
    c.teach("the slope of half a square is the number itself, with its sign");
    let w = [[1.0, -2.0], [0.5, 1.0]];
    c.close(
        "the example of the lesson",
        || slopes(&w, [3.0, 1.0], [0.0, 2.0]),
        &[1.25, -1.5],
        1e-12,
    );
    c.teach("backwards the matrix is read by columns: x₀ has the weights W[0][0] and W[1][0]");
    let apart = [[0.0, 2.0], [0.0, 0.0]];
    c.close("x₀ reaches nothing", || slopes(&apart, [7.0, 1.0], [1.0, 1.0]), &[0.0, 2.0], 1e-12);
    c.close(
        "at the goal there is no slope",
        || slopes(&w, [3.0, 1.0], [1.0, 2.5]),
        &[0.0, 0.0],
        1e-12,
    );
}
