//! Training, validation and test rows that share no question.
//!
//! The part of a row follows from a hash of its *group*: by default its question as
//! [`Kind::Nfkc`] says, else the value of one of its keys. So a row that is added never moves another
//! one, and each seed gives another division. The price is that shares are those of chance: the more
//! groups, the closer.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::check::{Progress, each};
use super::forms::{Digest, Kind, digest, normal_form};
use super::read::{Entry, Input};
use super::report::Place;
use crate::{Error, Result};

/// The names of the parts, in the order of their shares.
pub const PARTS: [&str; 3] = ["train", "valid", "test"];
/// Shares may sum to 1 this closely: 0.7 + 0.2 + 0.1 is not 1 in binary.
const SUM_TOLERANCE: f64 = 1e-9;
/// Row pairs that an error names.
const SHOWN: usize = 3;

/// How rows are divided.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares([f64; 3]);

impl Shares {
    /// Two or three shares for [`PARTS`].
    ///
    /// # Errors
    /// Shares that are negative or no numbers, that do not sum to 1, or another number of them.
    pub fn new(shares: &[f64]) -> Result<Self> {
        let fail = |problem: String| Err(Error::input("ratios", problem));
        let shares = match shares {
            [train, valid] => [*train, *valid, 0.0],
            [train, valid, test] => [*train, *valid, *test],
            other => return fail(format!("{} numbers, expected two or three", other.len())),
        };
        if !shares.iter().all(|share| (0.0..=1.0).contains(share)) {
            return fail("expected numbers from 0 to 1".into());
        }
        let sum: f64 = shares.iter().sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return fail(format!("sum to {sum}, expected 1"));
        }
        Ok(Self(shares))
    }

    /// The share of each part.
    pub fn get(&self) -> [f64; 3] {
        self.0
    }

    /// The part of a group under `seed`: a place in [`PARTS`].
    pub fn part_of(&self, group: &str, seed: u64) -> usize {
        let mut hasher = Sha256::new();
        // The name is part of the result: changing it would move every row
        hasher.update(b"llm-deeper split");
        hasher.update(seed.to_le_bytes());
        hasher.update(group.as_bytes());
        let bytes = hasher.finalize();
        let first = bytes.iter().take(8);
        let number = first.fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        // 53 bits: what an f64 holds exactly
        let unit = (number >> 11) as f64 / (1_u64 << 53) as f64;
        let mut below = 0.0;
        for (part, share) in self.0.iter().enumerate() {
            below += share;
            if unit < below {
                return part;
            }
        }
        // The sum of the shares may be a rounding below 1: the last part that has any
        self.0.iter().rposition(|share| *share > 0.0).unwrap_or(0)
    }
}

/// The part of every row.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// For each row in order, a place in [`PARTS`].
    pub parts: Vec<u8>,
    /// Rows of each part.
    pub rows: [usize; 3],
    /// Groups of each part.
    pub groups: [usize; 3],
}

/// Divides the rows of `inputs` by their question, or by the value of the key `by`.
///
/// # Errors
/// A row that training would refuse or that lacks the key; no rows; and with a key, the same
/// question in groups of different parts, by which the parts would not be disjoint.
pub fn plan(
    inputs: &[Input],
    by: Option<&str>,
    shares: &Shares,
    seed: u64,
    progress: Progress,
) -> Result<Plan> {
    let mut plan = Plan::default();
    let mut groups: HashSet<Digest> = HashSet::new();
    let mut questions: HashMap<Digest, (u8, Place)> = HashMap::new();
    let mut shared = Vec::new();
    each(inputs, "dividing", progress, |entry| {
        let question = normal_form(&entry.usable()?.question(), Kind::Nfkc);
        let group = match by {
            None => question.clone(),
            Some(key) => value_of(&entry, key)?,
        };
        let part = shares.part_of(&group, seed);
        let short = u8::try_from(part).unwrap_or_default();
        if let Some(count) = plan.groups.get_mut(part)
            && groups.insert(digest(&[&group]))
        {
            *count += 1;
        }
        if let Some(count) = plan.rows.get_mut(part) {
            *count += 1;
        }
        plan.parts.push(short);
        // Without a key, equal questions are one group
        if by.is_some() {
            let first = questions.entry(digest(&[&question]));
            let (other, place) = first.or_insert_with(|| (short, entry.at.clone()));
            if *other != short {
                shared.push(format!("{} and {}", place, entry.at));
            }
        }
        Ok(())
    })?;
    match (plan.parts.is_empty(), by) {
        (true, _) => Err(Error::input("data", "has no rows, expected at least one")),
        (false, Some(key)) if !shared.is_empty() => Err(shared_questions(key, &shared)),
        _ => Ok(plan),
    }
}

fn shared_questions(key: &str, pairs: &[String]) -> Error {
    let first: Vec<&str> = pairs.iter().take(SHOWN).map(String::as_str).collect();
    let more = match pairs.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let problem = format!(
        "puts the same question into two parts: {}{more}; expected a key that is the same for them",
        first.join(", ")
    );
    Error::input(format!("by `{key}`"), problem)
}

/// The value of a key as text.
fn value_of(entry: &Entry, key: &str) -> Result<String> {
    let fail = |problem: String| Error::line(entry.at.path.as_ref(), entry.at.line, problem);
    let value: Value = serde_json::from_slice(&entry.raw)
        .map_err(|_| fail("is no line of JSON, which a key needs".into()))?;
    match value.get(key) {
        None | Some(Value::Null) => Err(fail(format!("has no `{key}` to divide by"))),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Ok(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_two_or_three_that_sum_to_one() {
        assert_eq!(Shares::new(&[0.9, 0.1]).unwrap().get(), [0.9, 0.1, 0.0]);
        assert!(Shares::new(&[0.7, 0.2, 0.1]).is_ok());
        for bad in [
            &[][..],
            &[1.0],
            &[0.5, 0.6],
            &[1.5, -0.5],
            &[f64::NAN, 1.0],
            &[0.25; 4],
        ] {
            assert_eq!(Shares::new(bad).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }

    /// Three standard deviations of a share of a half over 10,000 groups.
    const CHANCE: f64 = 0.015;

    #[test]
    fn groups_fall_into_parts_by_their_shares() {
        let shares = Shares::new(&[0.8, 0.15, 0.05]).unwrap();
        let mut counts = [0.0; 3];
        for group in 0..10_000 {
            counts[shares.part_of(&format!("group {group}"), 7)] += 1.0 / 10_000.0;
        }
        for (got, want) in counts.iter().zip(shares.get()) {
            assert!((got - want).abs() < CHANCE, "{got} for {want}");
        }
        let none = Shares::new(&[0.0, 1.0, 0.0]).unwrap();
        assert!((0..1000).all(|group| none.part_of(&group.to_string(), 7) == 1));
    }

    /// The division is a contract with files that people have. Python's hashlib gives the same.
    #[test]
    fn known_groups_stay_in_their_parts() {
        let shares = Shares::new(&[0.5, 0.3, 0.2]).unwrap();
        let groups = [
            "",
            "a",
            "b",
            "c",
            "d",
            "e",
            "what is water?",
            "水とは何ですか",
        ];
        let parts = |seed| groups.map(|group| shares.part_of(group, seed));
        assert_eq!(parts(7), [0, 0, 1, 1, 2, 0, 0, 0]);
        assert_eq!(parts(8), [2, 1, 0, 0, 1, 2, 0, 0]);
    }
}
