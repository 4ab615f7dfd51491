// Expected values: by hand.
fn checks(c: &mut Checks) {
    let row = || labels(&[7, 8, 9], &[4, 5], 2, 2);
    c.equal("prompt, answer, EOS, padding", row, vec![-100, -100, -100, 4, 5, 2, -100, -100]);
    c.teach("EOS is learnt: a model that never saw it does not know when to stop");
    c.equal("EOS that is padding too", || labels(&[7], &[4], 0, 2), vec![-100, 4, 0, -100, -100]);
    c.teach("mask by place, not by id: the pad token may be the EOS that has to be learnt");
    c.equal("an answer of no tokens", || labels(&[7], &[], 2, 0), vec![-100, 2]);
    c.equal("targets are moved by one", || targets(&[-100, -100, 4, 2]), vec![-100, 4, 2]);
    c.teach("the position of the last prompt token has to say the first token of the answer");
    c.equal("one label has no target", || targets(&[5]), Vec::<i64>::new());
}
