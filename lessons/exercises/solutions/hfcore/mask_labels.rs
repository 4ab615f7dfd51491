//! Which tokens does fine-tuning learn? Lesson: 03_dataset_plus_finetune_full.
//!
//! ```text
//! ids      prompt …    answer …   EOS   padding …
//! labels   -100 …      answer …   EOS   -100 …
//! ```
//!
//! The label of a token is the token itself where the model has to say it, and -100 where it has not.

/// What does not count.
const IGNORED: i64 = -100;

/// The label of a token that the model has to say.
fn learnt(id: u32) -> i64 {
    i64::from(id)
}

/// The labels of prompt, answer, EOS and `padding` more tokens, one for each.
pub fn labels(prompt: &[u32], answer: &[u32], eos: u32, padding: usize) -> Vec<i64> {
    let before = vec![IGNORED; prompt.len()];
    let said: Vec<i64> = answer.iter().chain([&eos]).map(|&id| learnt(id)).collect();
    let after = vec![IGNORED; padding];
    [before, said, after].concat()
}

/// The target of each position but the last: the label of the token behind it.
pub fn targets(labels: &[i64]) -> Vec<i64> {
    labels.iter().skip(1).copied().collect()
}
