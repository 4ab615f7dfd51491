// Expected values: Python's str.encode("utf-8").
fn checks(c: &mut Checks) {
    let latin = "abcdefghijklmnopqrstuvwxyz ";
    c.equal("known characters", || byte_fallback("a cat", latin), ["a", " ", "c", "a", "t"]);
    c.equal(
        "an emoji is four bytes",
        || byte_fallback("a🙂", latin),
        ["a", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>"],
    );
    c.equal("é is two", || byte_fallback("né", latin), ["n", "<0xC3>", "<0xA9>"]);
    c.teach("c as u32 is the number of the character (0xE9 for é); its UTF-8 bytes are C3 A9");
    c.equal("a byte below 16 has two digits", || byte_fallback("\n", latin), ["<0x0A>"]);
    c.teach("{:02X} pads with zero; <0xA> would be another token");
    let two = || vec!["<0xC3>".to_owned(), "<0xA9>".to_owned()];
    c.close("bytes per token of é in bytes", || bytes_per_token("é", &two()), &[1.0], 1e-12);
    c.teach("é is one character and two bytes: text.len() counts bytes, chars().count() does not");
    let words = || vec!["the".to_owned(), " cat".to_owned()];
    c.close("bytes per token of words", || bytes_per_token("the cat", &words()), &[3.5], 1e-12);
}
