//! The order in which rows are seen.
//!
//! Each epoch is its own shuffle, a function of the seed and the epoch alone: a run that resumes at
//! (epoch, position) sees the rows that it would have seen. Where rows of like length shall meet
//! ([`bucketed_order`]), the lengths have a say too, and they follow from the data.

use std::sync::Arc;

use llm_core::rng::{Purpose, stream};
use rand::seq::SliceRandom;

/// How far the seeds of successive epochs are apart (an odd constant, the golden ratio in 64 bits).
const EPOCH_STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

/// The order of `rows` rows in `epoch`.
///
/// ```
/// let order = llm_train::order::epoch_order(7, 0, 5);
/// assert_eq!(order, llm_train::order::epoch_order(7, 0, 5));
/// assert_ne!(order, llm_train::order::epoch_order(7, 1, 5));
/// ```
pub fn epoch_order(seed: u64, epoch: u64, rows: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    let seed = seed.wrapping_add(epoch.wrapping_mul(EPOCH_STRIDE));
    order.shuffle(&mut stream(seed, Purpose::Shuffle));
    order
}

/// Steps whose rows are sorted together: enough for neighbours of like length, few enough that an
/// epoch stays mixed.
const BUCKET_STEPS: usize = 64;
/// Makes the order of steps another random choice than that of rows.
const STEPS_SALT: u64 = 0xA076_1D64_78BD_642F;

/// As [`epoch_order`], with rows of like length side by side: the shuffled rows are sorted by
/// `lengths` in runs of 64 steps of `step` rows each, and the steps of the whole epoch
/// are shuffled. What is left over at the end of an epoch stays there.
///
/// ```
/// let lengths = [9, 1, 8, 2, 9, 1];
/// let order = llm_train::order::bucketed_order(7, 0, &lengths, 2);
/// for step in order.chunks(2) {
///     assert!(lengths[step[0]].abs_diff(lengths[step[1]]) <= 6);
/// }
/// ```
pub fn bucketed_order(seed: u64, epoch: u64, lengths: &[usize], step: usize) -> Vec<usize> {
    let step = step.max(1);
    let mut order = epoch_order(seed, epoch, lengths.len());
    let whole = order.len() / step * step;
    let last = order.split_off(whole);
    for bucket in order.chunks_mut(step.saturating_mul(BUCKET_STEPS)) {
        bucket.sort_by_key(|&row| lengths.get(row).copied().unwrap_or_default());
    }
    let mut steps: Vec<&[usize]> = order.chunks(step).collect();
    let seed = seed.wrapping_add(epoch.wrapping_mul(EPOCH_STRIDE)) ^ STEPS_SALT;
    steps.shuffle(&mut stream(seed, Purpose::Shuffle));
    steps.concat().into_iter().chain(last).collect()
}

/// Rows of like length side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Buckets {
    lengths: Arc<[usize]>,
    step: usize,
}

/// Where a run stands in its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    seed: u64,
    rows: usize,
    buckets: Option<Buckets>,
    epoch: u64,
    position: usize,
    order: Vec<usize>,
}

impl Walk {
    /// The walk over `rows` rows from the beginning of `epoch` plus `position` rows.
    pub fn new(seed: u64, rows: usize, epoch: u64, position: usize) -> Self {
        Self {
            seed,
            rows,
            buckets: None,
            epoch,
            position,
            order: epoch_order(seed, epoch, rows),
        }
    }

    /// The walk in [`bucketed_order`] by `lengths`, for steps of `step` rows, from (epoch, position)
    /// as `at`.
    pub fn bucketed(seed: u64, lengths: Arc<[usize]>, step: usize, at: (u64, usize)) -> Self {
        let (epoch, position) = at;
        Self {
            seed,
            rows: lengths.len(),
            order: bucketed_order(seed, epoch, &lengths, step),
            buckets: Some(Buckets { lengths, step }),
            epoch,
            position,
        }
    }

    fn order_of(&self, epoch: u64) -> Vec<usize> {
        match &self.buckets {
            Some(buckets) => bucketed_order(self.seed, epoch, &buckets.lengths, buckets.step),
            None => epoch_order(self.seed, epoch, self.rows),
        }
    }

    /// The next `count` rows of this epoch, fewer at its end; a finished epoch starts the next one.
    pub fn take(&mut self, count: usize) -> Vec<usize> {
        if self.position >= self.rows {
            self.epoch += 1;
            self.position = 0;
            self.order = self.order_of(self.epoch);
        }
        let end = self.position.saturating_add(count).min(self.rows);
        let rows = self.order[self.position..end].to_vec();
        self.position = end;
        rows
    }

    /// The epoch, counted from 0.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Rows of this epoch already taken.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Whether this epoch has no rows left.
    pub fn epoch_is_done(&self) -> bool {
        self.position >= self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_sees_each_row_once() {
        for rows in [1, 2, 7, 100] {
            for epoch in 0..3 {
                let mut order = epoch_order(3, epoch, rows);
                order.sort_unstable();
                assert_eq!(order, (0..rows).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn buckets_hold_each_row_once_and_differ_less() {
        let lengths: Vec<usize> = (0..1003).map(|i| (i * 7919) % 97).collect();
        let spread = |order: &[usize]| -> usize {
            let of = |step: &[usize]| {
                let lengths = step.iter().map(|&row| lengths[row]);
                lengths.clone().max().unwrap() - lengths.min().unwrap()
            };
            order.chunks(4).map(of).sum()
        };
        for epoch in 0..3 {
            let mut order = bucketed_order(3, epoch, &lengths, 4);
            assert_eq!(order, bucketed_order(3, epoch, &lengths, 4));
            assert_ne!(order, bucketed_order(3, epoch + 1, &lengths, 4));
            assert!(spread(&order) * 5 < spread(&epoch_order(3, epoch, 1003)));
            order.sort_unstable();
            assert_eq!(order, (0..1003).collect::<Vec<_>>());
        }
        assert_eq!(bucketed_order(3, 0, &[], 4), [0; 0]);
    }

    #[test]
    fn a_walk_over_buckets_resumes_anywhere() {
        let lengths: Arc<[usize]> = (0..11).map(|i| i % 4).collect();
        let mut whole = Walk::bucketed(5, lengths.clone(), 3, (0, 0));
        for _ in 0..12 {
            let at = (whole.epoch(), whole.position());
            let mut resumed = Walk::bucketed(5, lengths.clone(), 3, at);
            assert_eq!(whole.take(3), resumed.take(3));
            assert_eq!(whole, resumed);
        }
    }

    #[test]
    fn a_walk_resumes_anywhere() {
        let mut whole = Walk::new(5, 10, 0, 0);
        for _ in 0..12 {
            let (epoch, position) = (whole.epoch(), whole.position());
            let mut resumed = Walk::new(5, 10, epoch, position);
            assert_eq!(whole.take(3), resumed.take(3));
            assert_eq!(whole, resumed);
        }
        assert_eq!((whole.epoch(), whole.position()), (2, 10));
    }
}
