//! How examples become the rows of a batch.
//!
//! | `batching` | a row of a batch | costs |
//! |---|---|---|
//! | `dynamic` | an example, padded to the longest of its micro-batch | padding where lengths differ |
//! | `fixed` | an example, padded to `max_length` | most padding; every batch has one shape |
//! | `bucketed` | as dynamic, examples of like length meet | little padding; steps are less mixed |
//! | `packed` | several examples up to `max_length` positions, each for itself | next to no padding |
//!
//! Padding is never learned and never read, and a packed document computes what it would compute
//! alone ([`llm_core::ops::Segments`]), so the choice changes speed and which rows share a step,
//! not what a row means. All of it is a function of data, settings and seed.
//!
//! Where answers are compared in pairs ([`Plan::pairs`]), a row of the plan is two examples side by
//! side, and a batch has twice as many rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, collate_to, pack, positions};
use crate::labels::Example;
use crate::order::{Walk, epoch_order};
use crate::{Error, Result};

/// How rows of a batch are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Batching {
    /// Padded to the longest row of the micro-batch.
    #[default]
    Dynamic,
    /// Padded to `max_length`.
    Fixed,
    /// As dynamic, with rows of like length in one step.
    Bucketed,
    /// Several documents a row, none of which sees another.
    Packed,
}

/// The settings that batches depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSettings {
    /// How rows are made.
    pub batching: Batching,
    /// Rows of a micro-batch.
    pub batch_size: usize,
    /// Micro-batches of an optimizer step.
    pub accumulation: usize,
    /// Rows are padded to a multiple of this, as far as `max_length` allows.
    pub pad_to_multiple_of: usize,
    /// The most positions of a row.
    pub max_length: usize,
    /// The seed of packing.
    pub seed: u64,
}

/// Positions of an epoch's batches, and how many of them are padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Padding {
    /// Σ B · T.
    pub positions: usize,
    /// Those that hold no token.
    pub padding: usize,
}

impl Padding {
    /// The share of the positions that is padding; 0 without positions.
    pub fn share(&self) -> f64 {
        self.padding as f64 / self.positions.max(1) as f64
    }
}

/// What a row of the plan holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rows {
    /// An example.
    One,
    /// These examples, in one row of the batch.
    Packed(Vec<Vec<usize>>),
    /// Two neighbours, each in a row of the batch.
    Pairs,
}

/// Which examples make a row, and how long rows are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    settings: BatchSettings,
    /// Positions of each example.
    lengths: Arc<[usize]>,
    rows: Rows,
}

impl Plan {
    /// The plan for `examples`.
    pub fn new(settings: BatchSettings, examples: &[Example]) -> Self {
        let lengths: Arc<[usize]> = examples.iter().map(positions).collect();
        let rows = match settings.batching {
            Batching::Packed => Rows::Packed(packed(&lengths, settings.max_length, settings.seed)),
            _ => Rows::One,
        };
        Self {
            settings,
            lengths,
            rows,
        }
    }

    /// The plan for `examples` of which each two neighbours, from the first on, belong together.
    pub fn pairs(settings: BatchSettings, examples: &[Example]) -> Self {
        Self {
            settings,
            lengths: examples.iter().map(positions).collect(),
            rows: Rows::Pairs,
        }
    }

    /// Rows of an epoch: examples, groups or pairs of them.
    pub fn rows(&self) -> usize {
        match &self.rows {
            Rows::One => self.lengths.len(),
            Rows::Packed(groups) => groups.len(),
            Rows::Pairs => self.lengths.len() / 2,
        }
    }

    /// The way through the rows from (epoch, position) on.
    pub fn walk(&self, seed: u64, epoch: u64, position: usize) -> Walk {
        let BatchSettings {
            batching,
            batch_size,
            accumulation,
            ..
        } = self.settings;
        match (batching, &self.rows) {
            (Batching::Bucketed, Rows::One) => {
                let step = batch_size.saturating_mul(accumulation);
                Walk::bucketed(seed, self.lengths.clone(), step, (epoch, position))
            }
            _ => Walk::new(seed, self.rows(), epoch, position),
        }
    }

    /// The batch of these rows.
    ///
    /// # Shapes
    /// B row numbers → `ids [B, T]`; of pairs `[2B, T]`, the two of a pair side by side.
    ///
    /// # Errors
    /// Rows that do not exist, or what the tensor library reports.
    pub fn batch(
        &self,
        examples: &[Example],
        rows: &[usize],
        pad: u32,
        device: &Device,
    ) -> Result<Batch> {
        let one = |&index: &usize| {
            let problem = || Error::input("batch", format!("there is no example {index}"));
            examples.get(index).ok_or_else(problem)
        };
        let t = self.width(rows);
        let Rows::Packed(groups) = &self.rows else {
            let both = |&row: &usize| [2 * row, 2 * row + 1];
            let rows: Vec<usize> = match self.rows {
                Rows::Pairs => rows.iter().flat_map(both).collect(),
                _ => rows.to_vec(),
            };
            let rows: Vec<&Example> = rows.iter().map(one).collect::<Result<_>>()?;
            return collate_to(&rows, t, pad, device);
        };
        let group = |&row: &usize| {
            let problem = || Error::input("batch", format!("there is no row {row}"));
            let group = groups.get(row).ok_or_else(problem)?;
            group.iter().map(one).collect::<Result<Vec<_>>>()
        };
        let rows: Vec<Vec<&Example>> = rows.iter().map(group).collect::<Result<_>>()?;
        pack(&rows, t, pad, device)
    }

    /// T of the batch of these rows.
    fn width(&self, rows: &[usize]) -> usize {
        let lengths = rows.iter().map(|&row| match self.rows {
            Rows::Pairs => self.length(2 * row).max(self.length(2 * row + 1)),
            _ => self.tokens(row),
        });
        let longest = lengths.max().unwrap_or(0);
        let BatchSettings {
            batching,
            pad_to_multiple_of,
            max_length,
            ..
        } = self.settings;
        match batching {
            Batching::Fixed => max_length.max(longest),
            _ => longest
                .next_multiple_of(pad_to_multiple_of.max(1))
                .min(max_length.max(longest)),
        }
    }

    /// Positions of an example.
    fn length(&self, index: usize) -> usize {
        self.lengths.get(index).copied().unwrap_or(0)
    }

    /// Positions of a row of the plan that hold tokens.
    fn tokens(&self, row: usize) -> usize {
        match &self.rows {
            Rows::One => self.length(row),
            Rows::Packed(groups) => groups.get(row).map_or(0, |group| {
                group.iter().map(|&index| self.length(index)).sum()
            }),
            Rows::Pairs => self.length(2 * row) + self.length(2 * row + 1),
        }
    }

    /// The padding of the first epoch.
    pub fn padding(&self) -> Padding {
        let BatchSettings {
            batch_size,
            accumulation,
            seed,
            ..
        } = self.settings;
        let mut walk = self.walk(seed, 0, 0);
        let mut all = Padding::default();
        let each = if self.rows == Rows::Pairs { 2 } else { 1 };
        while !walk.epoch_is_done() {
            let step = walk.take(batch_size.saturating_mul(accumulation).max(1));
            for rows in step.chunks(batch_size.max(1)) {
                let positions = each * rows.len() * self.width(rows);
                let tokens: usize = rows.iter().map(|&row| self.tokens(row)).sum();
                all.positions += positions;
                all.padding += positions.saturating_sub(tokens);
            }
        }
        all
    }

    /// The same examples under another choice, to say what it would change.
    pub fn instead(&self, batching: Batching) -> Self {
        let settings = BatchSettings {
            batching,
            ..self.settings
        };
        let rows = match (&self.rows, batching) {
            (Rows::Pairs, _) => Rows::Pairs,
            (_, Batching::Packed) => {
                Rows::Packed(packed(&self.lengths, settings.max_length, settings.seed))
            }
            _ => Rows::One,
        };
        Self {
            settings,
            lengths: self.lengths.clone(),
            rows,
        }
    }

    /// How rows are made.
    pub fn batching(&self) -> Batching {
        self.settings.batching
    }
}

/// Groups of at most `most` positions: each example, the longest first, goes to the fullest row
/// that it still fits; examples of one length in an order that `seed` chooses.
fn packed(lengths: &[usize], most: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut order = epoch_order(seed, 0, lengths.len());
    let length = |index: usize| lengths.get(index).copied().unwrap_or(0);
    order.retain(|&index| length(index) > 0);
    order.sort_by_key(|&index| std::cmp::Reverse(length(index)));
    let mut rows: Vec<Vec<usize>> = Vec::new();
    // Rows by the positions that they have left.
    let mut left: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in order {
        let need = length(index);
        let fitting = left.range_mut(need..).next();
        let (row, free) = match fitting.and_then(|(&free, rows)| Some((rows.pop()?, free))) {
            Some((row, free)) => (row, free),
            None => {
                rows.push(Vec::new());
                (rows.len() - 1, most.max(need))
            }
        };
        if left.get(&free).is_some_and(Vec::is_empty) {
            left.remove(&free);
        }
        if let Some(row) = rows.get_mut(row) {
            row.push(index);
        }
        left.entry(free - need).or_default().push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use llm_core::ops::IGNORE_INDEX;

    use super::*;

    fn examples(count: usize) -> Vec<Example> {
        let example = |row: usize| {
            let length = 2 + (row * 37) % 60;
            let ids: Vec<u32> = (0..length).map(|t| (row * 5 + t) as u32 % 11).collect();
            Example {
                labels: ids.iter().map(|&id| i64::from(id)).collect(),
                ids,
            }
        };
        (0..count).map(example).collect()
    }

    fn settings(batching: Batching) -> BatchSettings {
        BatchSettings {
            batching,
            batch_size: 4,
            accumulation: 2,
            pad_to_multiple_of: 8,
            max_length: 63,
            seed: 3,
        }
    }

    const ALL: [Batching; 4] = [
        Batching::Dynamic,
        Batching::Fixed,
        Batching::Bucketed,
        Batching::Packed,
    ];

    #[test]
    fn every_token_is_in_an_epoch_once_and_the_padding_is_as_planned() {
        let examples = examples(101);
        let mut all: Vec<i64> = examples
            .iter()
            .flat_map(|e| e.labels[1..].to_vec())
            .collect();
        all.sort_unstable();
        for batching in ALL {
            let plan = Plan::new(settings(batching), &examples);
            let mut walk = plan.walk(3, 0, 0);
            let (mut found, mut padding) = (Vec::<i64>::new(), Padding::default());
            while !walk.epoch_is_done() {
                for rows in walk.take(8).chunks(4) {
                    let batch = plan.batch(&examples, rows, 9, &Device::Cpu).unwrap();
                    let (b, t) = batch.ids.dims2().unwrap();
                    assert!(t <= 63 && (t % 8 == 0 || t == 63), "{batching:?}: {t}");
                    padding.positions += b * t;
                    padding.padding += b * t - batch.tokens;
                    assert_eq!(batch.supervised, batch.tokens);
                    found.extend(batch.targets.iter().filter(|&&id| id != IGNORE_INDEX));
                }
            }
            found.sort_unstable();
            assert_eq!(found, all, "{batching:?}");
            assert_eq!(padding, plan.padding(), "{batching:?}");
        }
    }

    #[test]
    fn buckets_pad_less_than_a_shuffle_and_packing_least() {
        let examples = examples(1000);
        let share = |batching| Plan::new(settings(batching), &examples).padding().share();
        let [dynamic, fixed, bucketed, packed] = ALL.map(share);
        assert!(fixed > dynamic && dynamic > bucketed && bucketed > packed);
        assert!(packed < 0.02, "{packed}");
        let plan = Plan::new(settings(Batching::Dynamic), &examples);
        assert_eq!(plan.instead(Batching::Packed).padding().share(), packed);
    }

    #[test]
    fn packing_fills_rows_and_never_overfills_them() {
        let lengths = [5, 3, 9, 1, 1, 10, 12, 0, 4];
        let rows = packed(&lengths, 10, 1);
        let sums: Vec<usize> = rows
            .iter()
            .map(|row| row.iter().map(|&i| lengths[i]).sum())
            .collect();
        // The example that is longer than a row has one for itself; empty ones are left out.
        assert!(sums.iter().all(|&sum| sum <= 10 || sum == 12), "{sums:?}");
        assert_eq!(sums.iter().sum::<usize>(), 45);
        assert_eq!(rows.len(), 5, "{rows:?}");
        assert_eq!(rows, packed(&lengths, 10, 1));
        assert!(packed(&[], 10, 1).is_empty());
    }

    #[test]
    fn pairs_stay_together_and_are_padded_to_the_longer_one() {
        let examples = examples(14);
        let plan = Plan::pairs(settings(Batching::Dynamic), &examples);
        assert_eq!(plan.rows(), 7);
        let mut walk = plan.walk(3, 0, 0);
        let (mut seen, mut padding) = (0, Padding::default());
        while !walk.epoch_is_done() {
            for rows in walk.take(8).chunks(4) {
                let batch = plan.batch(&examples, rows, 9, &Device::Cpu).unwrap();
                let (b, t) = batch.ids.dims2().unwrap();
                assert_eq!(b, 2 * rows.len());
                let ids: Vec<Vec<u32>> = batch.ids.to_vec2().unwrap();
                for (side, &row) in ids.chunks(2).zip(rows) {
                    for (ids, example) in side.iter().zip(&examples[2 * row..]) {
                        assert!(ids.starts_with(&example.ids[..example.ids.len() - 1]));
                    }
                }
                seen += batch.tokens;
                padding.positions += b * t;
                padding.padding += b * t - batch.tokens;
            }
        }
        assert_eq!(seen, examples.iter().map(positions).sum::<usize>());
        assert_eq!(padding, plan.padding());
        assert!(plan.batch(&examples, &[7], 0, &Device::Cpu).is_err());
    }

    #[test]
    fn rows_that_do_not_exist_are_an_error() {
        let examples = examples(3);
        for batching in ALL {
            let plan = Plan::new(settings(batching), &examples);
            assert!(plan.batch(&examples, &[77], 0, &Device::Cpu).is_err());
            assert!(
                plan.batch(&examples[..1], &[0, 1], 0, &Device::Cpu)
                    .is_err()
            );
        }
    }
}
