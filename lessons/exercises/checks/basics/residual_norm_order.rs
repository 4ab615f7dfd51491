// Expected values: NumPy.
fn rms(x: &[f64]) -> Vec<f64> {
    let size = (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt();
    x.iter().map(|x| x / size).collect()
}

fn layer(x: &[f64]) -> Vec<f64> {
    vec![0.5 * x[0] - x[1], x[0] + 0.25 * x[1]]
}

fn checks(c: &mut Checks) {
    let x = [3.0, -4.0];
    let expected = [1.3766197613041573, -0.3239105320715664];
    c.close("post-norm", || post_norm(&x, rms, layer), &expected, 1e-9);
    let expected = [4.555634918610405, -3.434314575050762];
    c.close("pre-norm", || pre_norm(&x, rms, layer), &expected, 1e-9);
    c.teach(
        "the answer is added to x itself; added to norm(x) the stream would be normed after all",
    );
    let three = |half: fn(&[f64], Part, Part) -> Vec<f64>| {
        (0..3).fold(x.to_vec(), |x, _| half(&x, rms, layer))
    };
    let expected = [0.8298866470007514, 1.145114908264603];
    c.close("three post-norm halves", || three(post_norm), &expected, 1e-9);
    let expected = [7.172592599376569, -1.3521159951033543];
    c.close("three pre-norm halves: the stream grows", || three(pre_norm), &expected, 1e-9);
    let down = || pre_norm_backward(&[1.0, -2.0], &[0.25, 0.5]);
    c.close("the way back", down, &[1.25, -1.5], 1e-12);
    c.teach("a sum hands its gradient to both terms unchanged");
}
