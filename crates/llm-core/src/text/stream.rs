//! Text from ids that arrive one at a time.
//!
//! A token may end inside a character, and some decoders write a space before a word only if
//! another word stands before it. The stream holds back what a later token could still change, so
//! that its parts joined are the text that decoding all ids at once gives.
//!
//! ```
//! use llm_core::text::stream::Utf8Buffer;
//! let mut buffer = Utf8Buffer::default();
//! assert_eq!(buffer.push(&[b'a', 0xC3]), "a");
//! assert_eq!(buffer.push(&[0xA9]), "é");
//! assert_eq!(buffer.push(&[0xE2, 0x82]) + &buffer.finish(), "\u{FFFD}");
//! ```

use super::hf::HfTokenizer;
use crate::Result;

/// Turns bytes into text as they come; what is no UTF-8 becomes U+FFFD, as in
/// [`String::from_utf8_lossy`] of all bytes.
#[derive(Clone, Debug, Default)]
pub struct Utf8Buffer {
    /// The start of a character, at most three bytes.
    pending: Vec<u8>,
}

impl Utf8Buffer {
    /// The text that `bytes` complete.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        let mut done = 0;
        while done < self.pending.len() {
            match std::str::from_utf8(&self.pending[done..]) {
                Ok(valid) => {
                    text.push_str(valid);
                    done = self.pending.len();
                }
                Err(error) => {
                    let valid = &self.pending[done..done + error.valid_up_to()];
                    text.push_str(&String::from_utf8_lossy(valid));
                    done += error.valid_up_to();
                    let Some(bad) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    done += bad;
                }
            }
        }
        self.pending.drain(..done);
        text
    }

    /// What is left at the end: one U+FFFD if a character was cut.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// Decodes the ids of one text as they are generated.
#[derive(Clone, Debug)]
pub struct Utf8Stream<'a> {
    tokenizer: &'a HfTokenizer,
    skip_special: bool,
    buffer: Utf8Buffer,
    /// For decoders that are not byte level: the last id that is out, as context, and those held.
    held: Vec<u32>,
    out: usize,
}

impl<'a> Utf8Stream<'a> {
    /// A stream that leaves special tokens out if `skip_special`.
    pub fn new(tokenizer: &'a HfTokenizer, skip_special: bool) -> Self {
        let (buffer, held) = (Utf8Buffer::default(), Vec::new());
        Self {
            tokenizer,
            skip_special,
            buffer,
            held,
            out: 0,
        }
    }

    /// The text that `id` completes; often empty, never half a character.
    ///
    /// # Errors
    /// An id that no token has.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.tokenizer.check_id(id)?;
        if self.skip_special && self.tokenizer.is_special(id) {
            return Ok(String::new());
        }
        if let Some(bytes) = self.tokenizer.byte_level_bytes(id) {
            return Ok(self.buffer.push(&bytes));
        }
        self.held.push(id);
        // A byte token may be part of a character whose other bytes are still to come, and a run
        // of byte tokens is text only if all of it is UTF-8.
        if self.tokenizer.is_byte_fallback(id) {
            return Ok(String::new());
        }
        let text = self.release()?;
        self.held = vec![id];
        self.out = 1;
        Ok(text)
    }

    /// What is left at the end. The stream can be used for another text afterwards.
    ///
    /// # Errors
    /// A decoder that gives up.
    pub fn finish(&mut self) -> Result<String> {
        let text = if self.held.len() > self.out {
            self.release()?
        } else {
            String::new()
        };
        self.held.clear();
        self.out = 0;
        Ok(text + &self.buffer.finish())
    }

    /// The text of the held ids behind their context. The decoder sees the context too, so it
    /// puts the space where the whole text has it.
    fn release(&self) -> Result<String> {
        let before = self
            .tokenizer
            .decode_any(&self.held[..self.out], self.skip_special)?;
        let whole = self.tokenizer.decode_any(&self.held, self.skip_special)?;
        Ok(whole
            .strip_prefix(before.as_str())
            .unwrap_or(&whole)
            .to_owned())
    }
}
