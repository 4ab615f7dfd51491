// Expected values: torch.softmax in f64.
fn checks(c: &mut Checks) {
    let scores = [2.0, 1.0, 0.5, -1.0, 3.0];
    let shares = [0.229406284, 0.0843938556, 0.0511874609, 0.0114214663, 0.6235909332];
    c.close("the reference shares", || softmax(&scores), &shares, 1e-9);
    c.close("they sum to 1", || softmax(&scores).iter().sum::<f64>(), &[1.0], 1e-12);
    let large = [0.2594964603, 0.7053845127, 0.035119027];
    c.close("scores of a thousand", || softmax(&[1000.0, 1001.0, 998.0]), &large, 1e-9);
    c.teach("exp of a large number is infinite: take the largest score off all of them first");
    let low = [0.7310585786, 0.2689414214];
    c.close("scores of minus a thousand", || softmax(&[-1000.0, -1001.0]), &low, 1e-9);
    c.teach(
        "without the shift both exps are 0, and 0 / 0 is no number; a shift of 0 is not enough",
    );
    let hidden = [1.0, f64::NEG_INFINITY, 0.0];
    let shares = [0.7310585786, 0.0, 0.2689414214];
    c.close("a hidden score gets nothing", || softmax(&hidden), &shares, 1e-9);
}
