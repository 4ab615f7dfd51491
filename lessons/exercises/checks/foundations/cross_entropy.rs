// Expected values: torch.nn.functional.cross_entropy in f64 and its gradient.
fn checks(c: &mut Checks) {
    let logits = [2.0, 0.5, 3.1, 0.1, -1.0];
    c.close("the reference loss", || loss(&logits, 2), &[0.3876435131], 1e-9);
    c.close("an equal guess over 8 tokens costs ln 8", || loss(&[0.7; 8], 3), &[8f64.ln()], 1e-12);
    c.close("a target 10,000 behind costs 10,000", || loss(&[0.0, 1e4], 0), &[1e4], 1e-8);
    c.teach(
        "take the largest logit out of the exps; and no small number added inside the logarithm",
    );
    c.close("certainty costs nothing", || loss(&[1e4, 0.0], 0), &[0.0], 1e-12);
    let slopes = [0.2259043695, 0.0504060781, -0.3213457685, 0.0337882046, 0.0112471163];
    c.close("the reference slopes", || slope(&logits, 2), &slopes, 1e-9);
    c.teach("the target's share lacks something to 1, so its slope is negative: descent raises it");
    c.close("slopes sum to 0", || slope(&logits, 0).iter().sum::<f64>(), &[0.0], 1e-12);
}
