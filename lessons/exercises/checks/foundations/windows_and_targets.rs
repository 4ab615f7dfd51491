//! Golden values: the seven windows of "hello hello" in the ids of its sorted characters.

const HELLO: [usize; 11] = [2, 1, 3, 3, 4, 0, 2, 1, 3, 3, 4];

fn checks(c: &mut Checks) {
    c.equal(
        "the first window of hello hello",
        || windows_and_targets(&HELLO, 4)[0].clone(),
        (vec![2, 1, 3, 3], vec![1, 3, 3, 4]),
    )
    .teach("y is the same length as x, and begins with x's second id");
    c.equal("its windows: N - T", || windows_and_targets(&HELLO, 4).len(), 7)
        .teach("8 windows read to the last id, behind which there is nothing to guess");
    c.equal(
        "the last window",
        || windows_and_targets(&HELLO, 4).pop(),
        Some((vec![2, 1, 3, 3], vec![1, 3, 3, 4])),
    );
    c.equal(
        "windows of one id",
        || windows_and_targets(&[7, 8, 9], 1),
        vec![(vec![7], vec![8]), (vec![8], vec![9])],
    );
    c.equal("a text of T ids has no window", || windows_and_targets(&[1, 2, 3], 3).len(), 0);
    c.equal("nor has a shorter one", || windows_and_targets(&[1], 3).len(), 0)
        .teach("usize has no numbers below 0: 1 - 3 panics, saturating_sub stays at 0");
}
