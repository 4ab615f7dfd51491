//! The textbook maths, with every loop visible.
//!
//! Plain `f64` and [`ndarray`]: no broadcasting tricks, no fused steps, nothing clever. Each function
//! is the *twin* of an operation in [`crate::ops`]; tests hold each pair together, in `f64`, forward
//! and backward. Read a twin to understand, use the operation to compute.
//!
//! | here | there |
//! |---|---|
//! | [`linear`] | `Ops::linear` |
//! | [`softmax`], [`attention`], [`self_attention`] | `Ops::causal_attention` |
//! | [`norm`] | `Ops::layer_norm`, `Ops::rms_norm` |
//! | [`rope`], [`positions`] | `Ops::rope` |
//! | [`mlp`] | `Ops::gelu`, `Ops::swiglu` |
//! | [`heads`], [`multi_head`] | `Ops::causal_attention`, `nn::Attention` |
//! | [`layers`], [`block`] | `nn::Block` |
//! | [`loss`] | `Ops::cross_entropy` |
//! | [`probe`] | `Ops::causal_attention`, looked into |
//! | [`descent`] | `llm_train::optimizer` |
//!
//! Gradients are written by hand beside each function and checked by [`gradient`], which needs no
//! calculus at all: it moves one number a little and looks what happens.
//!
//! Axis letters are those of [`crate::dims`].

pub mod arrays;
pub mod attention;
pub mod audit;
pub mod block;
pub mod descent;
pub mod flow;
pub mod gradient;
pub mod heads;
pub mod layers;
pub mod linear;
pub mod loss;
pub mod mlp;
pub mod multi_head;
pub mod norm;
pub mod parameters;
pub mod perceptron;
pub mod positions;
pub mod probe;
pub mod recall;
pub mod rope;
pub mod scale;
pub mod self_attention;
pub mod softmax;
pub mod two_words;
pub mod vectors;
