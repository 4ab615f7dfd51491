// Expected values: numpy.matmul.
fn checks(c: &mut Checks) {
    let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let right = [7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
    c.close("a row by a column", || matmul(&left[..3], &right[..3], [1, 3, 1]), &[50.0], 1e-12);
    let out = [58.0, 64.0, 139.0, 154.0];
    c.close("[2, 3] by [3, 2]", || matmul(&left, &right, [2, 3, 2]), &out, 1e-12);
    c.teach("down a column of the right matrix: a step moves to its next row, the column stays");
    let out = [27.0, 30.0, 33.0, 61.0, 68.0, 75.0, 95.0, 106.0, 117.0];
    c.close("[3, 2] by [2, 3]", || matmul(&left, &right, [3, 2, 3]), &out, 1e-12);
    c.teach("a row of the left matrix has K numbers, one of the right has N");
    let one = [1.0, 0.0, 0.0, 1.0];
    let square = [1.0, 2.0, 3.0, 4.0];
    c.close("by the identity", || matmul(&square, &one, [2, 2, 2]), &square, 1e-12);
    c.close(
        "the other way round",
        || matmul(&square, &square, [2, 2, 2]),
        &[7.0, 10.0, 15.0, 22.0],
        1e-12,
    );
}
