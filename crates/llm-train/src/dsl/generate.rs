//! Questions with their queries.
//!
//! A *combination* is a query without its numbers. All combinations of a kind of question are
//! put in an order by the seed; the first of them train, the next ones are held out, so no
//! combination is in both parts. Each word of a held-out row does stand in training, in other
//! combinations: what is measured is whether the language was learned, not the rows.

use llm_core::rng::{ChaCha8Rng, Purpose, stream};
use rand::Rng;
use rand::seq::SliceRandom;

use super::{End, FIELDS, GOODS, PLACES, Query, Step};

/// A question with its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The question.
    pub prompt: String,
    /// The query.
    pub query: Query,
}

/// Rows of both parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Rows to train on.
    pub train: Vec<Pair>,
    /// Rows of other combinations.
    pub held_out: Vec<Pair>,
}

/// What a question asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tally,
    Names,
    KeepNames,
    KeepTally,
    Sum,
    Best,
    Top,
}

/// The kinds, each with its share of the rows.
const KINDS: [(Kind, usize); 7] = [
    (Kind::Tally, 1),
    (Kind::Names, 1),
    (Kind::KeepNames, 2),
    (Kind::KeepTally, 2),
    (Kind::Sum, 2),
    (Kind::Best, 2),
    (Kind::Top, 2),
];
/// The shares' sum.
const SHARES: usize = 12;
/// Combinations of the smallest kind for each of its shares: goods times places.
const MOST_PER_SHARE: usize = GOODS.len() * PLACES.len();

/// How a field is spoken of: more than, less than, most, least, and what it is counted in.
const WORDS: [[&str; 5]; 4] = [
    ["heavier", "lighter", "heaviest", "lightest", "kilos"],
    ["older", "newer", "oldest", "newest", "years"],
    ["dearer", "cheaper", "dearest", "cheapest", "coins"],
    ["longer", "shorter", "longest", "shortest", "feet"],
];

/// A kind's fields, sides, goods and place, before numbers and wording.
#[derive(Clone, Copy)]
struct Combination {
    field: usize,
    more: bool,
    goods: &'static str,
    place: &'static str,
}

/// `train` and `held_out` rows, or a few less so that each kind has its share: both are rounded
/// down to a multiple of 12, and bounded by what the smallest kind has combinations for.
///
/// ```
/// let split = llm_train::dsl::generate(24, 12, 7);
/// assert_eq!((split.train.len(), split.held_out.len()), (24, 12));
/// assert_eq!(split, llm_train::dsl::generate(24, 12, 7));
/// ```
pub fn generate(train: usize, held_out: usize, seed: u64) -> Split {
    let mut rng = stream(seed, Purpose::Data);
    let train_each = (train / SHARES).min(MOST_PER_SHARE);
    let held_each = (held_out / SHARES).min(MOST_PER_SHARE - train_each);
    let mut split = Split {
        train: Vec::new(),
        held_out: Vec::new(),
    };
    for (kind, share) in KINDS {
        let mut all = combinations(kind);
        all.shuffle(&mut rng);
        let mut rows = all.into_iter().map(|one| row(kind, one, &mut rng));
        split.train.extend(rows.by_ref().take(train_each * share));
        split.held_out.extend(rows.take(held_each * share));
    }
    split.train.shuffle(&mut rng);
    split.held_out.shuffle(&mut rng);
    split
}

/// Rows as JSONL of `prompt` and `completion`.
pub fn to_lines(rows: &[Pair]) -> String {
    rows.iter()
        .map(|row| {
            let completion = row.query.to_string();
            let line = serde_json::json!({ "prompt": row.prompt, "completion": completion });
            format!("{line}\n")
        })
        .collect()
}

/// Every combination of a kind.
fn combinations(kind: Kind) -> Vec<Combination> {
    let (fields, sides): (usize, &[bool]) = match kind {
        Kind::Tally | Kind::Names => (1, &[true]),
        Kind::Sum => (FIELDS.len(), &[true]),
        _ => (FIELDS.len(), &[true, false]),
    };
    let mut all = Vec::new();
    for field in 0..fields {
        for &more in sides {
            for goods in GOODS {
                all.extend(PLACES.map(|place| Combination {
                    field,
                    more,
                    goods,
                    place,
                }));
            }
        }
    }
    all
}

/// A row of a combination: its numbers and its wording are drawn.
fn row(kind: Kind, combination: Combination, rng: &mut ChaCha8Rng) -> Pair {
    let Combination {
        field,
        more,
        goods,
        place,
    } = combination;
    let name = FIELDS.get(field).copied().unwrap_or_default();
    let limit = rng.random_range(2..=60u16);
    let top = match kind {
        Kind::Top => rng.random_range(2..=9u16),
        _ => 1,
    };
    let keep = Step::Keep {
        field: name,
        over: more,
        number: limit,
    };
    let rank = Step::Rank {
        field: name,
        up: !more,
        top,
    };
    let (steps, end) = match kind {
        Kind::Tally => (vec![], End::Tally),
        Kind::Names => (vec![], End::Names),
        Kind::KeepNames => (vec![keep], End::Names),
        Kind::KeepTally => (vec![keep], End::Tally),
        Kind::Sum => (vec![], End::Sum(name)),
        Kind::Best | Kind::Top => (vec![rank], End::Names),
    };
    let numbers = (limit, top);
    Pair {
        prompt: question(kind, combination, numbers, rng.random_range(0..2usize)),
        query: Query {
            goods,
            place: Some(place),
            steps,
            end,
        },
    }
}

/// One of the two wordings of a question.
fn question(
    kind: Kind,
    combination: Combination,
    (limit, top): (u16, u16),
    wording: usize,
) -> String {
    let Combination {
        field,
        more,
        goods,
        place,
    } = combination;
    let [over, under, most, least, unit] = WORDS.get(field).copied().unwrap_or_default();
    let (than, best) = if more { (over, most) } else { (under, least) };
    let name = FIELDS.get(field).copied().unwrap_or_default();
    let first = wording == 0;
    match kind {
        Kind::Tally if first => format!("How many {goods}s are there in the {place}?"),
        Kind::Tally => format!("Count the {goods}s in the {place}."),
        Kind::Names if first => format!("List all {goods}s in the {place}."),
        Kind::Names => format!("Which {goods}s do we have in the {place}?"),
        Kind::KeepNames if first => {
            format!("List the {goods}s in the {place} that are {than} than {limit} {unit}.")
        }
        Kind::KeepNames => {
            format!("Which {goods}s in the {place} are {than} than {limit} {unit}?")
        }
        Kind::KeepTally if first => {
            format!("How many {goods}s in the {place} are {than} than {limit} {unit}?")
        }
        Kind::KeepTally => {
            format!("Count the {goods}s in the {place} that are {than} than {limit} {unit}.")
        }
        Kind::Sum if first => format!("What is the total {name} of the {goods}s in the {place}?"),
        Kind::Sum => format!("Add up the {name} of all {goods}s in the {place}."),
        Kind::Best if first => format!("Which is the {best} {goods} in the {place}?"),
        Kind::Best => format!("Name the {best} {goods} in the {place}."),
        Kind::Top if first => format!("List the {top} {best} {goods}s in the {place}."),
        Kind::Top => format!("Which are the {top} {best} {goods}s in the {place}?"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_combination_or_prompt_is_in_both_parts_and_every_query_parses() {
        for seed in 0..5 {
            let split = generate(600, 120, seed);
            assert_eq!((split.train.len(), split.held_out.len()), (600, 120));
            let combinations = |rows: &[Pair]| -> BTreeSet<String> {
                rows.iter().map(|row| row.query.combination()).collect()
            };
            let (train, held) = (combinations(&split.train), combinations(&split.held_out));
            assert_eq!((train.len(), held.len()), (600, 120), "seed {seed}");
            assert!(train.is_disjoint(&held), "seed {seed}");
            for row in split.train.iter().chain(&split.held_out) {
                assert_eq!(Query::parse(&row.query.to_string()).unwrap(), row.query);
            }
            let prompts: BTreeSet<&str> = split
                .train
                .iter()
                .chain(&split.held_out)
                .map(|row| row.prompt.as_str())
                .collect();
            assert_eq!(prompts.len(), 720, "seed {seed}");
        }
        assert_ne!(generate(600, 120, 1), generate(600, 120, 2));
    }

    #[test]
    fn every_word_of_a_held_out_query_was_trained_on() {
        let split = generate(1200, 240, 7);
        let words = |rows: &[Pair]| -> BTreeSet<String> {
            let queries = rows.iter().map(|row| row.query.combination());
            queries
                .flat_map(|query| query.split(' ').map(str::to_owned).collect::<Vec<_>>())
                .collect()
        };
        assert!(words(&split.held_out).is_subset(&words(&split.train)));
    }

    #[test]
    fn more_rows_than_there_are_combinations_are_not_made_up() {
        let split = generate(1 << 20, 1 << 20, 7);
        assert_eq!(split.train.len(), MOST_PER_SHARE * SHARES);
        assert_eq!(split.held_out.len(), 0);
    }
}
