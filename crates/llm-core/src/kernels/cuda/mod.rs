//! Kernels of our own on NVIDIA GPUs, behind safe functions.
//!
//! The `.cu` files beside this one are compiled by NVRTC when the first of them is called, for the
//! oldest GPU that CUDA 13 knows; the driver makes machine code of that for the GPU at hand. They
//! compute in f32 on f32 or bf16 numbers, allocate their result and wait for nothing: calls are queued
//! on the device's stream. `tools/cuda/compile.py` compiles them without a GPU and checks their
//! arithmetic.

mod calls;
mod launch;
mod rows;
mod update;

pub(crate) use calls::*;
pub(crate) use launch::{Dense, dense};
pub use launch::{keep_memory, peak_memory};
pub(crate) use rows::*;
pub(crate) use update::*;

/// All sources, as one program.
const SOURCE: &str = concat!(
    include_str!("prelude.cuh"),
    include_str!("norm.cu"),
    include_str!("elementwise.cu"),
    include_str!("embedding.cu"),
    include_str!("cross_entropy.cu"),
    include_str!("attention.cu"),
    include_str!("adamw.cu"),
);
