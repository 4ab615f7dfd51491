//! The integration tests of llm-core, one binary.
//!
//! `cfg(test)` tells clippy that helpers of tests are tests too.

#[cfg(test)]
mod adamw;
#[cfg(test)]
mod arithmetic;
#[cfg(test)]
mod attention;
#[cfg(test)]
mod attention_module;
#[cfg(test)]
mod bpe_lesson;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod checkpointing;
#[cfg(test)]
mod decoder;
#[cfg(test)]
mod dora;
#[cfg(test)]
mod formula;
#[cfg(test)]
mod frozen_nodes;
#[cfg(test)]
mod gradients;
#[cfg(test)]
mod half;
#[cfg(test)]
mod kernel_shapes;
#[cfg(test)]
mod kernel_strides;
#[cfg(test)]
mod kernel_values;
#[cfg(test)]
mod linear;
#[cfg(test)]
mod lora_parity;
#[cfg(test)]
mod math;
#[cfg(test)]
mod math_arrays;
#[cfg(test)]
mod math_block;
#[cfg(test)]
mod math_descent;
#[cfg(test)]
mod math_heads;
#[cfg(test)]
mod math_loss;
#[cfg(test)]
mod math_positions;
#[cfg(test)]
mod math_vectors;
#[cfg(test)]
mod mutants;
#[cfg(test)]
mod ops;
#[cfg(test)]
mod ops_accuracy;
#[cfg(test)]
mod ops_bits;
#[cfg(test)]
mod ops_edges;
#[cfg(test)]
mod packed;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod soft_prompt;
#[cfg(test)]
mod text_bpe;
#[cfg(test)]
mod text_chars;
#[cfg(test)]
mod text_chat;
#[cfg(test)]
mod text_hf;
#[cfg(test)]
mod text_labels;
