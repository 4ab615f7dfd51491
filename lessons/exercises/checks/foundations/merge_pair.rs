// Expected values: the merges of the sentence in the reference: a+t six times, then at+space five.
fn checks(c: &mut Checks) {
    let text = "the cat sat on the mat the cat the cat sat";
    let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
    let [a, t, space] = [b'a', b't', b' '].map(u32::from);
    c.equal("a+t in the sentence", || count_pair(&bytes, (a, t)), 6);
    c.equal("7+7 in 7 7 7", || count_pair(&[7, 7, 7], (7, 7)), 1);
    c.teach("the middle 7 belongs to the first pair; after a pair go on two places further");
    c.equal("7+7 in 7 7 7 7", || count_pair(&[7, 7, 7, 7], (7, 7)), 2);
    c.equal("merged", || merge_pair(&[7, 8, 9, 7, 8], (7, 8), 50), vec![50, 9, 50]);
    c.equal("7 7 7 merged", || merge_pair(&[7, 7, 7], (7, 7), 50), vec![50, 7]);
    c.teach("[50, 50] would make four tokens out of three; [50] loses the last one");
    c.equal("the last token stays", || merge_pair(&[9, 7], (7, 8), 50), vec![9, 7]);
    c.equal("nothing to merge", || merge_pair(&[], (7, 8), 50), vec![]);
    c.equal(
        "two rounds: 42 tokens, then 36, then 31",
        || {
            let once = merge_pair(&bytes, (a, t), 256);
            let again = merge_pair(&once, (256, space), 257);
            [once.len(), count_pair(&once, (256, space)), again.len()]
        },
        [36, 5, 31],
    );
}
