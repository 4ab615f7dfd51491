//! Tokens as a person can read them: spaces to be seen, borders between them.
//!
//! ```
//! use llm_core::text::visible::{token, tokens};
//! assert_eq!(tokens([&b"the"[..], b" cat"], false), "the|·cat");
//! assert_eq!(tokens([&b"the"[..], b" cat"], true), "the|_cat");
//! assert_eq!(token("é".as_bytes(), false), "é");
//! assert_eq!(token(&"é".as_bytes()[..1], false), "\\xC3"); // half a character
//! ```

/// The bytes of one token. A space is `·`, or `_` where only `ascii` may be used; control
/// characters are escaped, and bytes that are no whole character are written as `\xF0`.
pub fn token(bytes: &[u8], ascii: bool) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                ' ' => text.push(if ascii { '_' } else { '·' }),
                c if c.is_control() => text.extend(c.escape_default()),
                c if ascii && !c.is_ascii() => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02X}");
        }
    }
    text
}

/// Several tokens with a border `|` between them.
pub fn tokens(parts: impl IntoIterator<Item = impl AsRef<[u8]>>, ascii: bool) -> String {
    let parts = parts.into_iter().map(|part| token(part.as_ref(), ascii));
    parts.collect::<Vec<_>>().join("|")
}
