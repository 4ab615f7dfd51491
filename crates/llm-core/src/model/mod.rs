//! Whole models: the one [`Decoder`], what it is made of on paper, and what that costs: parameters
//! ([`count`]), bytes ([`memory`]), arithmetic ([`flops`]).

pub mod count;
mod decoder;
mod describe;
pub mod flops;
mod init;
pub mod memory;
pub mod tiny_gpt;

pub use decoder::Decoder;
pub use describe::{TensorShape, tensor_shapes};
