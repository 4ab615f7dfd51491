// Expected values: NumPy.
fn checks(c: &mut Checks) {
    c.close("position 0", || sinusoid(0, 4), &[0.0, 1.0, 0.0, 1.0], 0.0);
    c.teach("sine first, cosine second: at angle 0 they are 0 and 1");
    let first = [0.8414709848, 0.5403023059, 0.0099998333, 0.9999500004];
    c.close("position 1, four channels", || sinusoid(1, 4), &first, 1e-9);
    c.teach(
        "the second pair of four channels turns by 10000^(-2/4) = 0.01, not by 10000^(-1/4) = 0.1",
    );
    let far = [-0.2623748537, 0.9649660285, 0.7316901708, -0.6816373625, 0.107513522, 0.9942036223];
    c.close("position 50, six channels", || sinusoid(50, 6), &far, 1e-9);
    let dot = |a: usize, b: usize| -> f64 {
        sinusoid(a, 32).iter().zip(sinusoid(b, 32)).map(|(a, b)| a * b).sum()
    };
    c.that("a distance of 7 looks the same everywhere", || (dot(0, 7) - dot(90, 97)).abs() < 1e-9);
}
