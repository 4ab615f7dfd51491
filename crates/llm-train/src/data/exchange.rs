//! The control: the same prompts with exchanged answers.

use std::collections::{BTreeSet, HashMap};

use llm_core::rng::{Purpose, stream};
use rand::seq::SliceRandom;

use super::Row;
use crate::{Error, Result};

/// Gives every row another answer of the set.
///
/// The distinct answers are put in a circle, in an order chosen by `seed`, and each becomes the
/// next one. Rows with equal answers keep equal answers, so the control is as easy to learn as the
/// original and has the same words; only what belongs to what is gone.
///
/// # Errors
/// Fewer than two distinct answers: there is nothing to exchange.
pub fn exchange_answers(rows: &mut [Row], seed: u64) -> Result<()> {
    let distinct: BTreeSet<&str> = rows.iter().map(Row::completion).collect();
    let mut circle: Vec<String> = distinct.into_iter().map(str::to_owned).collect();
    if circle.len() < 2 {
        let problem = "has one distinct answer, expected two or more to exchange";
        return Err(Error::input(
            "`shuffle_answers`: the training data",
            problem,
        ));
    }
    circle.shuffle(&mut stream(seed, Purpose::Data));
    let next = circle.iter().cycle().skip(1);
    let becomes: HashMap<&str, &String> = circle.iter().map(String::as_str).zip(next).collect();
    for row in rows {
        let answer = becomes.get(row.completion()).copied();
        if let (Some(last), Some(answer)) = (row.messages.last_mut(), answer) {
            last.content.clone_from(answer);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::data::Message;

    fn rows(answers: &[&str]) -> Vec<Row> {
        let row = |(index, answer): (usize, &&str)| Row {
            messages: [("user", "?"), ("assistant", *answer)]
                .map(|(role, content)| Message {
                    role: role.into(),
                    content: content.into(),
                })
                .into(),
            path: Arc::new(PathBuf::from("a.jsonl")),
            line: index + 1,
        };
        answers.iter().enumerate().map(row).collect()
    }

    fn exchanged(answers: &[&str], seed: u64) -> Vec<String> {
        let mut rows = rows(answers);
        exchange_answers(&mut rows, seed).unwrap();
        rows.iter().map(|row| row.completion().to_owned()).collect()
    }

    #[test]
    fn no_row_keeps_its_answer_and_equal_answers_stay_equal() {
        let before = ["a", "b", "a", "c", "d", "b"];
        for seed in 0..20 {
            let after = exchanged(&before, seed);
            assert!(
                before.iter().zip(&after).all(|(old, new)| old != new),
                "{seed}: {after:?}"
            );
            assert_eq!(
                (&after[0], &after[1]),
                (&after[2], &after[5]),
                "{seed}: {after:?}"
            );
            let distinct: BTreeSet<_> = after.iter().collect();
            assert_eq!(distinct.len(), 4, "{seed}: {after:?}");
        }
        assert_eq!(exchanged(&before, 3), exchanged(&before, 3));
        assert!((0..20).any(|seed| exchanged(&before, seed) != exchanged(&before, 0)));
    }

    #[test]
    fn one_answer_cannot_be_exchanged() {
        assert!(exchange_answers(&mut rows(&["a", "a"]), 7).is_err());
    }
}
