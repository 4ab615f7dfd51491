//! `log p(continuation | context)`.

use llm_core::ops::IGNORE_INDEX;
use llm_core::text::hf::HfTokenizer;

use super::super::subject::Subject;
use crate::labels::Example;
use crate::{Error, Result};

/// The tokens of a context and of what follows it.
///
/// White space at the end of the context belongs to the continuation, both are encoded as one
/// text, and the context's own number of tokens says where the continuation begins: so a word
/// keeps the token that it has in running text. Without a context the tokenizer's BOS, or else its
/// EOS, stands before the continuation.
///
/// # Errors
/// Text that the tokenizer refuses, or a continuation that merges into its context.
pub fn encode_pair(
    tokenizer: &HfTokenizer,
    context: &str,
    continuation: &str,
) -> Result<(Vec<u32>, Vec<u32>)> {
    if context.is_empty() {
        let first = tokenizer.bos_id().or(tokenizer.eos_ids().first().copied());
        return Ok((first.into_iter().collect(), tokenizer.encode(continuation)?));
    }
    let bare = context.trim_end();
    let space = context.get(bare.len()..).unwrap_or_default();
    let mut whole = tokenizer.encode(&format!("{bare}{space}{continuation}"))?;
    let before = tokenizer.encode(bare)?;
    if whole.len() <= before.len() {
        let shown: String = continuation.chars().take(40).collect();
        let problem = "has no token of its own behind its context";
        return Err(Error::input(format!("continuation {shown:?}"), problem));
    }
    let after = whole.split_off(before.len());
    Ok((before, after))
}

/// The example whose loss is `−log p(continuation | context)`: what does not fit into
/// `longest` tokens is cut from the left, as a reader forgets the beginning.
///
/// # Errors
/// A continuation without tokens, or one that leaves no token before it.
pub fn pair_example(context: &[u32], continuation: &[u32], longest: usize) -> Result<Example> {
    let fail = |problem: String| Err(Error::input("continuation", problem));
    if continuation.is_empty() || context.is_empty() {
        return fail("or its context has no tokens, expected at least one each".into());
    }
    // The last token is predicted and never read, so one more than the context fits.
    let room = longest.saturating_add(1);
    if continuation.len() >= room {
        return fail(format!(
            "has {} tokens, the model reads {longest}",
            continuation.len()
        ));
    }
    let mut ids = context.to_vec();
    ids.extend_from_slice(continuation);
    let ids = ids.split_off(ids.len().saturating_sub(room));
    let hidden = ids.len() - continuation.len();
    let labels = std::iter::repeat_n(IGNORE_INDEX, hidden)
        .chain(continuation.iter().map(|&id| i64::from(id)))
        .collect();
    Ok(Example { ids, labels })
}

/// `log p` in nats of each continuation of `context`.
///
/// # Errors
/// As [`encode_pair`] and [`pair_example`], or what the model reports.
pub fn log_likelihoods(
    subject: &Subject,
    context: &str,
    continuations: &[String],
) -> Result<Vec<f64>> {
    let pairs = continuations
        .iter()
        .map(|continuation| encode_pair(&subject.codec.tokenizer, context, continuation))
        .collect::<Result<_>>()?;
    of_pairs(subject, pairs)
}

/// As [`log_likelihoods`], for tokens.
pub(super) fn of_pairs(subject: &Subject, pairs: Vec<(Vec<u32>, Vec<u32>)>) -> Result<Vec<f64>> {
    pairs
        .iter()
        .map(|(context, continuation)| {
            let example = pair_example(context, continuation, subject.context())?;
            Ok(-subject.nats(&example)?)
        })
        .collect()
}

/// The place of the largest value, the first of equal ones; `None` of nothing.
pub fn argmax(values: &[f64]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (place, &value) in values.iter().enumerate() {
        if best.is_none_or(|(_, most)| value > most) {
            best = Some((place, value));
        }
    }
    best.map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_continuation_is_scored_and_the_left_is_cut() {
        let example = pair_example(&[1, 2, 3], &[4, 5], 10).unwrap();
        assert_eq!(example.ids, [1, 2, 3, 4, 5]);
        assert_eq!(example.labels, [-100, -100, -100, 4, 5]);
        // Three tokens are read (2, 3, 4), five is predicted.
        let cut = pair_example(&[1, 2, 3], &[4, 5], 3).unwrap();
        assert_eq!(cut.ids, [2, 3, 4, 5]);
        assert_eq!(cut.supervised(), 2);
        assert!(pair_example(&[1], &[4, 5], 1).is_err());
        assert!(pair_example(&[], &[4], 9).is_err());
        assert!(pair_example(&[1], &[], 9).is_err());
    }

    #[test]
    fn equal_values_give_the_first() {
        assert_eq!(argmax(&[-3.0, -1.0, -1.0]), Some(1));
        assert_eq!(argmax(&[]), None);
    }
}
