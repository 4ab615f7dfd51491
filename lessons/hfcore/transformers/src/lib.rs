//! The files of a model folder read by hand, and the same weights under another implementation.
//!
//! 1. [`files`]: the header of a safetensors file and the merges of a tokenizer, byte by byte
//! 2. [`theirs`]: candle-transformers' Qwen3 on our tensors
//! 3. [`steps`]: the tables and loops of the lesson

pub mod files;
pub mod steps;
pub mod theirs;
