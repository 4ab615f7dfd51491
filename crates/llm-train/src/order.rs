//! The order in which rows are seen.
//!
//! Each epoch is its own shuffle, a function of the seed and the epoch alone: a run that resumes at
//! (epoch, position) sees the rows that it would have seen.

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

/// Where a run stands in its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    seed: u64,
    rows: usize,
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
            epoch,
            position,
            order: epoch_order(seed, epoch, rows),
        }
    }

    /// The next `count` rows of this epoch, fewer at its end; a finished epoch starts the next one.
    pub fn take(&mut self, count: usize) -> Vec<usize> {
        if self.position >= self.rows {
            self.epoch += 1;
            self.position = 0;
            self.order = epoch_order(self.seed, self.epoch, self.rows);
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
