//! Golden values: the tensors of the mini GPT of the course and of GPT-2 small, added up.

fn checks(c: &mut Checks) {
    c.equal("a block of width 1", || block(1), 25)
        .teach("4 · (1 + 1) attention, (4 + 4) + (4 + 1) feed-forward, 4 norms");
    c.equal("a block of width 128", || block(128), 198_272)
        .teach("12 d² = 196,608 are the matrices; the rest are biases and norms");
    c.equal("a block of GPT-2", || block(768), 7_087_872);
    c.equal("the mini GPT, V = 43", || count_parameters(43, 64, 4, 128), 807_040)
        .teach("a total that is 5,504 too large counts the head, which is the token table");
    c.equal("GPT-2 small", || count_parameters(50_257, 1_024, 12, 768), 124_439_808);
    let one_more = || count_parameters(44, 64, 4, 128) - count_parameters(43, 64, 4, 128);
    c.equal("one more token costs one row", one_more, 128);
}
