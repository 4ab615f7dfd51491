// Expected values: exp of torch's masked mean in f64.
fn checks(c: &mut Checks) {
    let (losses, targets) = ([0.5, 9.0, 1.5, 2.0], [7, -100, 0, 3]);
    c.close(
        "the mean leaves out what is ignored",
        || mean_loss(&losses, &targets),
        &[4.0 / 3.0],
        1e-12,
    );
    c.teach("4 / 3: the loss of 9 is not in the sum, and there are three tokens, not four");
    c.close("perplexity of the batch", || perplexity(&losses, &targets), &[3.7936678947], 1e-9);
    c.teach("first the mean, then one exp; the mean of the exps would be 4.5065");
    let equal = [8f64.ln(); 5];
    c.close("8 equal chances", || perplexity(&equal, &[1, 2, 3, 4, 5]), &[8.0], 1e-9);
    c.close("certainty", || perplexity(&[0.0, 0.0], &[0, 0]), &[1.0], 1e-12);
}
