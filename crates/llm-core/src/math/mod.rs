//! The textbook maths, with every loop visible.
//!
//! Plain `f64` and [`ndarray`]: no broadcasting tricks, no fused steps, nothing clever. Each function
//! is the *twin* of an operation in [`crate::ops`]; tests hold each pair together, in `f64`, forward
//! and backward. Read a twin to understand, use the operation to compute.
//!
//! | here | there |
//! |---|---|
//! | [`linear`] | `Ops::linear` |
//! | [`softmax`], [`attention`] | `Ops::causal_attention` |
//! | [`norm`] | `Ops::layer_norm`, `Ops::rms_norm` |
//! | [`rope`] | `Ops::rope` |
//! | [`mlp`] | `Ops::gelu`, `Ops::swiglu` |
//! | [`loss`] | `Ops::cross_entropy` |
//!
//! Gradients are written by hand beside each function and checked by [`gradient`], which needs no
//! calculus at all: it moves one number a little and looks what happens.
//!
//! Axis letters are those of [`crate::dims`].

pub mod attention;
pub mod gradient;
pub mod heads;
pub mod linear;
pub mod loss;
pub mod mlp;
pub mod norm;
pub mod perceptron;
pub mod rope;
pub mod scale;
pub mod softmax;
