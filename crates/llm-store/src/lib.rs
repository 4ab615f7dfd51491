//! Model, adapter and checkpoint files: strict readers, atomic writers.
//!
//! Every file is treated as hostile: sizes are checked before anything is allocated, names stay
//! inside their folder, and a mistake is an error that names the file. Every write is whole or
//! absent: it is built under a temporary name, flushed to the disk and renamed.
//!
//! Read in this order:
//!
//! 1. [`safetensors`]: the header's checks, tensors in and out
//! 2. [`folder`]: a Hugging Face model folder, single or sharded; [`names`] is its name table
//! 3. [`save`]: writes such a folder
//! 4. [`adapter`]: LoRA adapters in PEFT's layout
//! 5. [`merge()`]: an adapter's update added into its model
//! 6. [`recast()`]: a folder in another number type
//! 7. [`gguf`]: llama.cpp's file: header, blocks of fewer bits, tokenizer, export
//! 8. [`atomic`], [`hash`], [`manifest`]: what checkpoints are made of

pub mod adapter;
pub mod atomic;
pub mod error;
mod fault;
mod files;
pub mod folder;
pub mod gguf;
pub mod hash;
pub mod manifest;
pub mod merge;
pub mod names;
pub mod recast;
pub mod safetensors;
pub mod save;

pub use error::{Error, Result};
pub use folder::ModelFolder;
pub use merge::merge;
pub use recast::recast;
pub use save::{SaveOptions, save_model};
