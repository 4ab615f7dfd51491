//! The first of each row, and what became of the others.

use std::collections::HashMap;

use super::check::{Progress, each, next_row, read_again};
use super::forms::{Digests, Kind, Ladder};
use super::near::{BUDGET_BYTES, Bands, Compare, NearPair, pairs, shingles};
use super::read::Input;
use super::report::Place;
use crate::{Error, Result};

/// Which rows count as the same.
#[derive(Clone, Copy, Debug)]
pub struct Same {
    /// Equal rows: by this kind or a stricter one.
    pub kind: Kind,
    /// Nearly equal rows: from this index of Jaccard on, compared with rows that are kept.
    pub near: Option<f64>,
}

/// Why a row goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// It is the same as the other one.
    Equal(Kind),
    /// It is nearly the same, with this index of Jaccard.
    Near(f64),
}

/// A row that goes, and the kept row that stays for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropped {
    /// The row's number over all files, from 0.
    pub row: u32,
    /// Where it stands.
    pub at: Place,
    /// Where the row stands that is kept.
    pub of: Place,
    /// Why.
    pub reason: Reason,
}

/// What goes and what stays.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// All rows.
    pub rows: usize,
    /// The rows that go, by their numbers.
    pub dropped: Vec<Dropped>,
}

/// Finds the rows that are the same as an earlier one. Prompt and answer count together.
///
/// # Errors
/// A row that training would refuse, no rows, or a file that cannot be read.
pub fn plan(inputs: &[Input], same: Same, progress: Progress) -> Result<Plan> {
    let mut places: Vec<Place> = Vec::new();
    let mut ladder = Ladder::default();
    let mut bands = Bands::default();
    let mut gone: Vec<(u32, u32, Reason)> = Vec::new();
    each(inputs, "reading", progress, |entry| {
        let row = next_row(places.len())?;
        let sample = entry.usable()?;
        places.push(entry.at.clone());
        let digests = Digests::of(&sample.texts()).up_to(same.kind);
        if let Some((of, kind)) = ladder.find(&digests) {
            gone.push((row, of, Reason::Equal(kind)));
            return Ok(());
        }
        ladder.insert(&digests, row);
        if same.near.is_some() {
            bands.add(row, &shingles(&sample.texts()));
        }
        Ok(())
    })?;
    if places.is_empty() {
        return Err(Error::input("data", "has no rows, expected at least one"));
    }
    if let Some(threshold) = same.near {
        let compare = Compare {
            threshold,
            removing: true,
            budget_bytes: BUDGET_BYTES,
        };
        let rows = places.len();
        let found = pairs(&bands.sort(), compare, |visit| {
            read_again(inputs, rows, progress, visit)
        })?;
        merge(&mut gone, &found);
    }
    let place = |row: u32| places.get(row as usize).cloned();
    let dropped = gone.into_iter().filter_map(|(row, of, reason)| {
        Some(Dropped {
            row,
            at: place(row)?,
            of: place(of)?,
            reason,
        })
    });
    Ok(Plan {
        rows: places.len(),
        dropped: dropped.collect(),
    })
}

/// Adds the nearly equal rows. What equals a row that goes for another one, goes for that one too.
fn merge(gone: &mut Vec<(u32, u32, Reason)>, found: &[NearPair]) {
    let near: HashMap<u32, &NearPair> = found.iter().map(|pair| (pair.row, pair)).collect();
    for (_, of, reason) in gone.iter_mut() {
        if let Some(pair) = near.get(of) {
            (*of, *reason) = (pair.of, Reason::Near(pair.jaccard));
        }
    }
    let pairs = found.iter();
    gone.extend(pairs.map(|pair| (pair.row, pair.of, Reason::Near(pair.jaccard))));
    gone.sort_by_key(|(row, ..)| *row);
}
