//! The CPU code under [`crate::ops`]: one algorithm text, run on the best instruction set.
//!
//! - [`simd`]: vectors of f32 or f64 behind one trait; AVX-512, AVX2, NEON and portable code
//! - [`pool`]: work shared out over Candle's worker threads, with results that do not depend on
//!   how many there are
//!
//! Every `unsafe` block of the crate is below this module. A kernel takes and returns slices and
//! is safe to call; what it must not do is let one output depend on which thread, which
//! neighbours or how many rows were computed with it.
#![expect(
    unsafe_code,
    reason = "intrinsics and disjoint writes need it; each block is justified"
)]

pub mod adamw;
pub mod allocator;
pub mod peak;
pub mod pool;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the kernels that use all of it come next")
)]
pub mod simd;

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod columns;
pub(crate) mod cross_entropy;
pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod gemm;
pub(crate) mod heads;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod rope;
pub(crate) mod rows;
mod scratch;
