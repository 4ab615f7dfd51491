// Expected values: ROUGE-1 of rouge-score 0.1.2 for texts without punctuation.
fn checks(c: &mut Checks) {
    c.equal("three of four words", || common("to carry blood", "to carry blood away"), 3);
    c.equal("a word said three times", || common("blood blood blood", "carry blood"), 1);
    c.teach("the reference has it once, so it can be met once");
    c.close(
        "precision 1, recall 3/4",
        || f1("to carry blood", "to carry blood away"),
        &[6.0 / 7.0],
        1e-12,
    );
    c.close("precision 1/3, recall 1/2", || f1("blood blood blood", "carry blood"), &[0.4], 1e-12);
    c.teach("the harmonic mean, 2 p r / (p + r): saying a word often does not pay");
    c.close("another order", || f1("blood to carry", "to Carry Blood"), &[1.0], 1e-12);
    c.close("nothing in common", || f1("see light", "carry blood"), &[0.0], 0.0);
    c.close("silence", || f1("", "carry blood"), &[0.0], 0.0);
}
