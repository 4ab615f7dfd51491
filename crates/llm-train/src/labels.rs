//! Which tokens the loss counts.
//!
//! ```text
//! ids      BOS  prompt …  completion …  EOS
//! labels  -100   -100 …   completion …  EOS
//! ```
//!
//! The label of a token is the token itself where the model has to say it and -100 where it does
//! not; [`crate::batch`] moves labels by one position when it makes targets. EOS is supervised, or
//! generation would never learn to stop. Padding is never part of an example, so an EOS that is
//! also the pad token keeps its label.
//!
//! **Too long for the context**: a row keeps its first `max_length` tokens. The cut takes the end
//! of the completion and its EOS; no EOS is put in its place, since the text does not end there. A
//! row whose prompt alone fills the context has nothing left to learn from and is dropped. Both are
//! counted in [`Counts`], and a set in which nothing is left is an error.
//!
//! ```
//! use llm_train::labels::assemble;
//! let (example, truncated) = assemble(vec![1, 5, 6], vec![7, 8], Some(2), 100);
//! let example = example.ok_or("kept")?;
//! assert_eq!(example.ids, [1, 5, 6, 7, 8, 2]);
//! assert_eq!(example.labels, [-100, -100, -100, 7, 8, 2]);
//! assert!(!truncated);
//! # Ok::<(), &str>(())
//! ```

use llm_core::ops::IGNORE_INDEX;

use crate::{Error, Result};

/// Token ids with their labels, of equal length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The tokens.
    pub ids: Vec<u32>,
    /// For each token itself, or [`IGNORE_INDEX`].
    pub labels: Vec<i64>,
}

impl Example {
    /// The number of tokens that count in the loss.
    pub fn supervised(&self) -> usize {
        // The first token has nothing before it that could predict it.
        self.labels
            .iter()
            .skip(1)
            .filter(|&&label| label != IGNORE_INDEX)
            .count()
    }
}

/// What became of a data set on its way to token ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Rows or documents read.
    pub rows: usize,
    /// Examples made of them.
    pub examples: usize,
    /// Rows cut at `max_length`.
    pub truncated: usize,
    /// Rows dropped because their prompt alone fills `max_length`.
    pub dropped: usize,
    /// Tokens of all examples.
    pub tokens: usize,
    /// Tokens that count in the loss.
    pub supervised: usize,
}

/// One row from the ids of its prompt (with BOS) and completion; whether it was cut.
///
/// `None` when the cut leaves no supervised token.
pub fn assemble(
    prompt: Vec<u32>,
    completion: Vec<u32>,
    eos: Option<u32>,
    max_length: usize,
) -> (Option<Example>, bool) {
    let prompt_length = prompt.len();
    let mut ids = prompt;
    ids.extend(completion);
    ids.extend(eos);
    let supervised: Vec<bool> = (0..ids.len()).map(|place| place >= prompt_length).collect();
    masked(ids, &supervised, max_length)
}

/// One row from ids and whether each is supervised; whether it was cut.
///
/// `None` when the cut leaves no supervised token.
pub fn masked(
    mut ids: Vec<u32>,
    supervised: &[bool],
    max_length: usize,
) -> (Option<Example>, bool) {
    let truncated = ids.len() > max_length;
    ids.truncate(max_length);
    let label = |(&id, &learnt): (&u32, &bool)| if learnt { i64::from(id) } else { IGNORE_INDEX };
    let labels = ids.iter().zip(supervised).map(label).collect();
    let example = Example { ids, labels };
    (
        Some(example).filter(|example| example.supervised() > 0),
        truncated,
    )
}

/// Examples of all rows; `encode` gives the result of [`assemble`] or [`masked`] for a row.
///
/// # Errors
/// What `encode` reports, or no example left (`what` names the data).
pub fn build<R>(
    what: &str,
    rows: &[R],
    mut encode: impl FnMut(&R) -> Result<(Option<Example>, bool)>,
) -> Result<(Vec<Example>, Counts)> {
    let encoded = rows.iter().map(&mut encode).collect::<Result<Vec<_>>>()?;
    gather(what, encoded)
}

/// Examples of rows that are encoded already, each as [`assemble`] or [`masked`] returned it.
///
/// # Errors
/// No example (`what` names the data).
pub fn gather(what: &str, encoded: Vec<(Option<Example>, bool)>) -> Result<(Vec<Example>, Counts)> {
    let mut examples = Vec::with_capacity(encoded.len());
    let mut counts = Counts {
        rows: encoded.len(),
        ..Counts::default()
    };
    for (example, truncated) in encoded {
        counts.truncated += usize::from(truncated);
        counts.dropped += usize::from(example.is_none());
        examples.extend(example);
    }
    if examples.is_empty() {
        let problem = format!(
            "no token to learn from: {} rows, {} of them with a prompt that fills max_length",
            counts.rows, counts.dropped
        );
        return Err(Error::input(what, problem));
    }
    let counts = count(counts, &examples);
    Ok((examples, counts))
}

/// Windows of a token stream for pretraining: each predicts `length` tokens, and each token of the
/// stream but the first is predicted exactly once (windows share one token at their seam).
///
/// # Errors
/// A stream of fewer than two tokens (`what` names the data), or a `length` of 0.
pub fn windows(what: &str, stream: &[u32], length: usize) -> Result<(Vec<Example>, Counts)> {
    if stream.len() < 2 || length == 0 {
        let problem = format!(
            "{} tokens in windows of {length}, expected two or more",
            stream.len()
        );
        return Err(Error::input(what, problem));
    }
    let window = |start: usize| {
        let ids = stream[start..(start + length + 1).min(stream.len())].to_vec();
        let labels = ids.iter().map(|&id| i64::from(id)).collect();
        Example { ids, labels }
    };
    let examples: Vec<Example> = (0..stream.len() - 1).step_by(length).map(window).collect();
    let counts = count(
        Counts {
            rows: 1,
            ..Counts::default()
        },
        &examples,
    );
    Ok((examples, counts))
}

fn count(counts: Counts, examples: &[Example]) -> Counts {
    Counts {
        examples: examples.len(),
        tokens: examples.iter().map(|example| example.ids.len()).sum(),
        supervised: examples.iter().map(Example::supervised).sum(),
        ..counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EOS: u32 = 2;

    #[test]
    fn exactly_completion_and_eos_are_supervised() {
        let (example, truncated) = assemble(vec![1, 9, 9], vec![5, 6], Some(EOS), 6);
        let example = example.unwrap();
        assert_eq!(example.ids.len(), example.labels.len());
        assert_eq!(example.labels, [-100, -100, -100, 5, 6, 2]);
        assert_eq!(example.supervised(), 3);
        assert!(!truncated);
    }

    #[test]
    fn a_cut_takes_the_end_and_adds_no_eos() {
        let (example, truncated) = assemble(vec![1, 9], vec![5, 6, 7], Some(EOS), 4);
        assert_eq!(example.unwrap().ids, [1, 9, 5, 6]);
        assert!(truncated);
    }

    #[test]
    fn a_prompt_that_fills_the_context_is_dropped_and_counted() {
        let rows = [
            (vec![1; 4], vec![5]),
            (vec![1; 3], vec![5]),
            (vec![1; 9], vec![5]),
        ];
        let encode = |row: &(Vec<u32>, Vec<u32>), longest: usize| {
            assemble(row.0.clone(), row.1.clone(), Some(EOS), longest)
        };
        let (examples, counts) = build("data", &rows, |row| Ok(encode(row, 4))).unwrap();
        assert_eq!(examples.len(), 1);
        assert_eq!((counts.rows, counts.truncated, counts.dropped), (3, 3, 2));
        assert_eq!((counts.tokens, counts.supervised), (4, 1));
        let error = build("data", &rows, |row| Ok(encode(row, 3))).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("3 rows"), "{error}");
    }

    #[test]
    fn windows_predict_each_token_once() {
        for (n, length) in [(2, 1), (10, 3), (11, 5), (12, 5), (7, 100)] {
            let stream: Vec<u32> = (0..n).collect();
            let (examples, counts) = windows("text", &stream, length).unwrap();
            let predicted: Vec<u32> = examples.iter().flat_map(|e| e.ids[1..].to_vec()).collect();
            assert_eq!(predicted, stream[1..], "{n} {length}");
            assert_eq!(counts.supervised, stream.len() - 1);
            assert!(examples.iter().all(|e| e.ids.len() <= length + 1));
        }
        assert!(windows("text", &[1], 4).is_err());
    }
}
