//! How many parameters has a GPT with V vocabulary entries, a context of T tokens, L layers and a
//! width of d? (`mini_gpt_train` prints the count of its model.)
//!
//! - A block: q, k, v and output projections d -> d; a feed-forward layer d -> 4d -> d; two layer
//!   norms. Every projection has biases, a norm has a scale and a shift.
//! - The model: a table of V tokens, a table of T positions, L blocks, one more norm. The head is
//!   the token table.

/// The parameters of one block of width `d`.
pub fn block(d: u64) -> u64 {
    todo!("four projections, two more with 4d on one side, two norms")
}

/// The parameters of the whole model.
pub fn count_parameters(v: u64, t: u64, l: u64, d: u64) -> u64 {
    todo!("two tables, the blocks, the last norm")
}
