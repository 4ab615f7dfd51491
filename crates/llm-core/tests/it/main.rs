//! The integration tests of llm-core, one binary.

mod decoder;
// `cfg(test)` tells clippy that helpers of tests are tests too.
#[cfg(test)]
mod text_bpe;
#[cfg(test)]
mod text_chars;
