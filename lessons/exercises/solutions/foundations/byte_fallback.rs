//! Text that is in no vocabulary: spelled in bytes. Lesson: tiktoken_demo.
//!
//! ```text
//! "a🙂"  ->  ["a", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>"]
//! ```
//!
//! A vocabulary cannot hold every character, but the 256 bytes it can. A character that it lacks
//! becomes the bytes of its UTF-8 form; Llama's tokenizers write them as above.

/// `text` as tokens: characters that `known` holds stand for themselves, others become bytes.
pub fn byte_fallback(text: &str, known: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for c in text.chars() {
        if known.contains(c) {
            tokens.push(c.to_string());
        } else {
            let bytes = c.to_string().into_bytes();
            tokens.extend(bytes.iter().map(|byte| format!("<0x{byte:02X}>")));
        }
    }
    tokens
}

/// How many bytes of `text` one of its tokens holds on average.
pub fn bytes_per_token(text: &str, tokens: &[String]) -> f64 {
    text.len() as f64 / tokens.len() as f64
}
