//! What attention remembers: the keys and values of the tokens read so far.
//!
//! Memory is allocated once for the longest text that will be generated; a step writes its rows
//! in place and attention reads a view, so nothing is concatenated or copied per token.

mod contiguous;

pub use contiguous::{KvCache, LayerCache};
