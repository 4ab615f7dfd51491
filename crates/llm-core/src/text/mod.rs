//! Text to token ids and back.

pub mod bpe;
pub mod chars;
pub mod hf;
pub mod stream;
