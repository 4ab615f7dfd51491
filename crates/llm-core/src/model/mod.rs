//! Whole models: the one [`Decoder`], and what it is made of on paper.

mod decoder;
mod describe;
mod init;
pub mod tiny_gpt;

pub use decoder::Decoder;
pub use describe::{TensorShape, tensor_shapes};
