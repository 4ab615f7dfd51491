//! Cut the prompt off before an answer is compared. Lesson: 05_finetuned_model_inference.
//!
//! ```text
//! returned   prompt tokens … new tokens … EOS …
//! ```
//!
//! Generation returns one list. What was said is what stands behind the prompt and before the first end
//! token; white space around an answer says nothing.

/// The new tokens of `returned`, up to the first of `ends`.
pub fn new_tokens(returned: &[u32], prompt: usize, ends: &[u32]) -> Vec<u32> {
    let new = &returned[prompt.min(returned.len())..];
    let stop = new.iter().position(|id| todo!("does {id} end an answer? {ends:?}"));
    todo!("{new:?} up to place {stop:?}, or all of them")
}

/// Whether an answer is the expected one.
pub fn exact_match(answer: &str, expected: &str) -> bool {
    todo!("{answer:?} and {expected:?} without white space at their ends")
}
