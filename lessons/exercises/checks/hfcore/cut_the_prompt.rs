// Expected values: by hand.
fn checks(c: &mut Checks) {
    c.equal("a prompt of three", || new_tokens(&[7, 8, 9, 4, 5, 2], 3, &[2]), vec![4, 5]);
    c.teach("with the prompt in front, no answer would ever match");
    c.equal("an end token in the prompt", || new_tokens(&[7, 2, 9, 4, 2], 3, &[2]), vec![4]);
    c.teach("chat templates end turns inside of the prompt: look behind it only");
    c.equal("two end tokens", || new_tokens(&[7, 4, 3, 5, 2], 1, &[2, 3]), vec![4]);
    c.equal("no end: the allowance ran out", || new_tokens(&[7, 4, 5], 1, &[2]), vec![4, 5]);
    c.equal("nothing was said", || new_tokens(&[7, 8], 2, &[2]), Vec::<u32>::new());
    c.that("spaces at the ends", || exact_match(" the newton.\n", "the newton."));
    c.that("another word", || !exact_match("the joule.", "the newton."));
}
