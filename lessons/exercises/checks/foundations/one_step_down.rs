// Expected values: torch.optim.SGD in f64, and arithmetic.
fn checks(c: &mut Checks) {
    let after = |w: [f64; 2], slope: [f64; 2], lr: f64| {
        let mut w = w;
        step(&mut w, &slope, lr);
        w
    };
    c.close("by hand", || after([0.5, -0.3], [1.0, -1.0], 0.01), &[0.49, -0.29], 1e-12);
    c.teach("a slope points uphill; the step goes the other way, in each number by its own slope");
    c.close(
        "one step of the lesson",
        || after([4.0, 0.5], [4.0, 32.0], 0.02),
        &[3.92, -0.14],
        1e-12,
    );
    c.close("the limit of one direction", || limit(&[8.0]), &[0.25], 1e-12);
    c.close("the limit of a valley", || limit(&[1.0, 64.0, 3.0]), &[0.03125], 1e-12);
    c.teach("the steepest direction runs away first, whatever the others do");
    let walk = |lr: f64| {
        let mut w = [4.0, 0.5];
        for _ in 0..1000 {
            let slope = [w[0], 64.0 * w[1]];
            step(&mut w, &slope, lr);
        }
        w[0].abs().max(w[1].abs())
    };
    c.that("just below the limit a walk arrives", || walk(0.99 * limit(&[1.0, 64.0])) < 1e-6);
    c.that("just above it the walk is lost", || walk(1.01 * limit(&[1.0, 64.0])) > 1e3);
}
