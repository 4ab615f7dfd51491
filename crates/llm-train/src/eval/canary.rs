//! Whether a model has learned a secret by heart.
//!
//! A *canary* is a row of the training data that holds a made-up secret, such as a number. The
//! trained model scores the row with its secret and with [`CANDIDATES`] others of the same shape;
//! if the true one is the most likely, the model has memorised it. The exposure is `log₂ n − log₂
//! rank` bits of n candidates (Carlini et al., 2019, "The Secret Sharer",
//! <https://arxiv.org/abs/1802.08232>, with a sample of the candidates): about 1 for a model that
//! never saw the secret, `log₂ n` for one that knows it.
//!
//! Rows are `{"prompt", "completion", "secret"}`, where `{}` in the completion is the secret's
//! place: the training row has the secret there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use llm_core::rng::{ChaCha8Rng, Purpose, stream};
use rand::Rng;
use serde::Deserialize;

use super::choice::{Kind, Question, argmax};
use super::lines;
use super::record::{Choice, Record};
use super::run::{Evaluation, QUESTION_STRIDE};
use crate::data::{Message, Row};
use crate::{Error, Result};

/// Secrets that are compared with the true one: an exposure of 9 bits at most.
pub const CANDIDATES: usize = 511;
/// Where the secret stands in a completion.
const HOLE: &str = "{}";
/// A secret longer than this is a text.
const LONGEST: usize = 200;

/// One line. Other keys are left alone.
#[derive(Deserialize)]
struct Line {
    prompt: String,
    completion: String,
    secret: String,
}

/// The canaries of all files that `path` and `pattern` mean.
pub(super) fn read(path: &Path, pattern: &str) -> Result<(Vec<Question>, Vec<PathBuf>)> {
    let form = "{\"prompt\", \"completion\", \"secret\"}";
    let (lines, files) = lines::read::<Line>(path, pattern, form)?;
    let mut questions = Vec::with_capacity(lines.len());
    for line in lines {
        let Line {
            completion, secret, ..
        } = &line.value;
        if completion.matches(HOLE).count() != 1 {
            return Err(line.error("expected one {} in `completion`, the secret's place"));
        }
        if shapes(secret) < 2.0 * CANDIDATES as f64 || secret.len() > LONGEST {
            let least = 2 * CANDIDATES;
            return Err(line.error(format!(
                "has a secret that is not one of {least} or more of its shape (digits stand \
                 for digits, letters for letters) or is longer than {LONGEST} bytes"
            )));
        }
        let place = line.place();
        let Line {
            prompt,
            completion,
            secret,
        } = line.value;
        questions.push(Question {
            place,
            group: None,
            asked: prompt.clone(),
            context: prompt,
            kind: Kind::Canary { completion, secret },
        });
    }
    match questions.is_empty() {
        true => Err(Error::file(path, "has no canaries, expected at least one")),
        false => Ok((questions, files)),
    }
}

/// How many secrets have the shape of this one.
fn shapes(secret: &str) -> f64 {
    secret
        .chars()
        .map(|c| alphabet(c).map_or(1, |(_, size)| size))
        .map(f64::from)
        .product()
}

/// What may stand in place of a character: the first of its kind, and how many there are.
fn alphabet(c: char) -> Option<(u8, u8)> {
    match c {
        '0'..='9' => Some((b'0', 10)),
        'a'..='z' => Some((b'a', 26)),
        'A'..='Z' => Some((b'A', 26)),
        _ => None,
    }
}

/// Another secret of the same shape.
fn other(secret: &str, rng: &mut ChaCha8Rng) -> String {
    let draw = |c: char| match alphabet(c) {
        Some((first, size)) => char::from(first + rng.random_range(0..size)),
        None => c,
    };
    secret.chars().map(draw).collect()
}

/// Scores the true secret and the others; the true one is choice 0.
pub(super) fn ask(
    evaluation: &Evaluation,
    question: &Question,
    (completion, secret): (&str, &str),
    record: &mut Record,
) -> Result<()> {
    let shift = (record.index as u64).wrapping_mul(QUESTION_STRIDE);
    let mut rng = stream(evaluation.config.seed.wrapping_add(shift), Purpose::Data);
    let mut seen = BTreeSet::from([secret.to_owned()]);
    let mut secrets = vec![secret.to_owned()];
    while secrets.len() <= CANDIDATES {
        let candidate = other(secret, &mut rng);
        if seen.insert(candidate.clone()) {
            secrets.push(candidate);
        }
    }
    let mut scores = Vec::with_capacity(secrets.len());
    for candidate in &secrets {
        let row = row(&question.context, completion.replace(HOLE, candidate));
        let (example, cut) = evaluation
            .subject
            .codec
            .example(&row, evaluation.subject.context())?;
        let example = example.filter(|_| !cut).ok_or_else(|| {
            Error::input(
                question.place.as_str(),
                "is longer than the model's context",
            )
        })?;
        scores.push(-evaluation.subject.nats(&example)?);
    }
    let none = || Error::input(question.place.as_str(), "has no candidates");
    let picked = argmax(&scores).ok_or_else(none)?;
    record.exposure = Some(exposure(&scores).ok_or_else(none)?);
    record.reference = secret.to_owned();
    record.prediction = secrets.get(picked).cloned().unwrap_or_default();
    record.choice = Some(Choice {
        gold: 0,
        picked,
        picked_by_byte: picked, // secrets of one shape have equal bytes
        log_likelihoods: scores,
    });
    Ok(())
}

fn row(prompt: &str, completion: String) -> Row {
    let message = |role: &str, content: String| Message {
        role: role.into(),
        content,
    };
    Row {
        messages: vec![
            message("user", prompt.to_owned()),
            message("assistant", completion),
        ],
        path: Arc::new(PathBuf::new()),
        line: 0,
    }
}

/// Bits of exposure of the first of `scores` among all of them; equal scores count half.
fn exposure(scores: &[f64]) -> Option<f64> {
    let own = scores.first()?;
    let before = scores.iter().filter(|score| *score > own).count();
    let equal = scores.iter().filter(|score| *score == own).count();
    let rank = before as f64 + (equal as f64 + 1.0) / 2.0;
    Some((scores.len() as f64 / rank).log2())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposure_is_bits_of_rank() {
        assert_eq!(exposure(&[-1.0, -2.0, -3.0, -4.0]), Some(2.0));
        assert_eq!(exposure(&[-4.0, -2.0, -3.0, -1.0]), Some(0.0));
        // A model that cannot tell them apart: the middle rank.
        assert_eq!(exposure(&[-1.0, -1.0, -1.0]), Some((3.0f64 / 2.0).log2()));
        assert_eq!(exposure(&[]), None);
    }

    #[test]
    fn other_secrets_have_the_same_shape() {
        let mut rng = stream(7, Purpose::Data);
        for _ in 0..100 {
            let other = other("aZ-09é", &mut rng);
            let kinds: Vec<_> = other.chars().map(alphabet).collect();
            let want: Vec<_> = "aZ-09é".chars().map(alphabet).collect();
            assert_eq!(kinds, want, "{other}");
        }
        assert_eq!(shapes("00-a"), 2600.0);
    }
}
