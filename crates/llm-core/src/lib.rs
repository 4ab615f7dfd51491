//! The core: text → tokens → tensors → model → logits → the next token.
//!
//! Read in this order; each module page gives the formula, the shapes and the source.
//!
//! 1. [`text`]: characters, byte-level BPE, Hugging Face tokenizers, chat templates
//! 2. [`math`]: the textbook maths with every loop visible (ndarray, f64); the oracle of all below
//! 3. [`ops`]: the same functions as differentiable tensor operations, fused and composed
//! 4. [`nn`]: linear, norm, attention, feed-forward and block layers made of ops
//! 5. [`model`]: `TinyGpt` and the one `Decoder` for GPT-2, Llama, Mistral, Qwen2 and Qwen3
//! 6. [`lora`]: low-rank adapters on any projection; [`soft_prompt`]: learnt vectors before a text
//! 7. [`cache`], [`generate`], [`sample`]: from a prompt to new tokens
//!
//! Around them: [`config`] (Hugging Face `config.json`), [`device`], [`dims`] (the axis letters),
//! [`rng`] (seeded streams), [`profile`] (where the time goes) and `kernels` (the CPU code under
//! [`ops`]).
//! Nothing here prints, awaits or opens a socket.

pub mod config;
pub mod device;
pub mod dims;
pub mod error;
pub mod rng;

pub mod cache;
pub mod generate;
pub mod kernels;
pub mod lora;
pub mod math;
pub mod model;
pub mod nn;
pub mod ops;
pub mod params;
pub mod profile;
pub mod sample;
pub mod soft_prompt;
pub mod text;

pub use error::{Error, Result};
