//! Read the length of a safetensors header, and do not believe it. Lesson: 01_transformers.
//!
//! ```text
//! 8 bytes, little-endian: N │ N bytes of JSON │ numbers
//! ```
//!
//! Little-endian: the first byte counts ones, the second 256s, and so on. A file may lie: what it says
//! has to fit into what is there.

/// The number that eight bytes stand for.
pub fn length(bytes: [u8; 8]) -> u64 {
    todo!("add up {bytes:?}, each 256 times as much as the one before")
}

/// Where the numbers begin, or nothing where the header does not fit into a file of `size` bytes.
pub fn data_start(bytes: [u8; 8], size: u64) -> Option<u64> {
    let n = length(bytes);
    todo!("8 + {n} if that is at most {size}, and no overflow on the way")
}
