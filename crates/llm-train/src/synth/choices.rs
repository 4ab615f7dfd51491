//! Random choices that add up how improbable they are.

use llm_core::rng::{ChaCha8Rng, Purpose, stream};
use rand::Rng;
use sha2::{Digest, Sha256};

use super::{Domain, Split};

/// One combination in so many is held out.
pub const HELD_OUT_ONE_IN: u64 = 10;

/// Which part a combination belongs to: the first eight bytes of its sha256, read as a big-endian
/// number, divided by [`HELD_OUT_ONE_IN`] without a rest mean held out.
pub fn split_of(combination: &str) -> Split {
    let digest = Sha256::digest(combination.as_bytes());
    let number = digest
        .iter()
        .take(8)
        .fold(0u64, |number, &byte| number << 8 | u64::from(byte));
    match number.is_multiple_of(HELD_OUT_ONE_IN) {
        true => Split::HeldOut,
        false => Split::Train,
    }
}

/// The choices behind one document: a generator that knows the probability of what it drew.
#[derive(Clone, Debug)]
pub struct Choices {
    rng: ChaCha8Rng,
    split: Split,
    nats: f64,
    combinations: Vec<String>,
}

impl Choices {
    /// Choices that depend on these values and on nothing else.
    pub fn new(seed: u64, domain: Domain, split: Split, index: u64) -> Self {
        let place = (index << 8) | (domain as u64) << 1 | u64::from(split == Split::HeldOut);
        Self {
            rng: stream(mixed(seed) ^ place, Purpose::Data),
            split,
            nats: 0.0,
            combinations: Vec::new(),
        }
    }

    /// The part that combinations are drawn from.
    pub fn split(&self) -> Split {
        self.split
    }

    /// -ln of the probability of all choices so far.
    pub fn nats(&self) -> f64 {
        self.nats
    }

    /// The combinations drawn so far, by name.
    pub fn combinations(&self) -> &[String] {
        &self.combinations
    }

    /// A number below `n`, each equally likely; 0 if `n` is 0 or 1.
    pub fn below(&mut self, n: usize) -> usize {
        let n = u32::try_from(n).unwrap_or(u32::MAX).max(1);
        self.nats += f64::from(n).ln();
        self.rng.random_range(0..n) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn number(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high.saturating_sub(low) as usize + 1) as u32
    }

    /// One of `items`, each equally likely; there is at least one.
    pub fn pick<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[self.below(items.len())]
    }

    /// Whether something happens that happens in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.weighted(&[percent, 100 - percent.min(100)]) == 0
    }

    /// An index of `weights`, as likely as its share of their sum.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u32 = weights.iter().sum::<u32>().max(1);
        let mut left = self.rng.random_range(0..total);
        for (index, &weight) in weights.iter().enumerate() {
            if left < weight {
                self.nats += (f64::from(total) / f64::from(weight)).ln();
                return index;
            }
            left -= weight;
        }
        0
    }

    /// `count` different members of `items` in the order in which they were drawn.
    pub fn several<'t, T>(&mut self, items: &'t [T], count: usize) -> Vec<&'t T> {
        let mut left: Vec<&T> = items.iter().collect();
        let mut drawn = Vec::with_capacity(count);
        while drawn.len() < count && !left.is_empty() {
            drawn.push(left.swap_remove(self.below(left.len())));
        }
        drawn
    }

    /// A combination of the wanted part: `draw` is repeated until the name that it gives belongs
    /// there.
    ///
    /// Repeating divides the probability of a draw by that of the whole part, which is taken to be
    /// its share by the rule: 1/10 or 9/10.
    pub fn combination<T>(&mut self, mut draw: impl FnMut(&mut Self) -> (T, String)) -> T {
        let before = self.nats;
        let share = match self.split {
            Split::HeldOut => 1.0 / HELD_OUT_ONE_IN as f64,
            Split::Train => 1.0 - 1.0 / HELD_OUT_ONE_IN as f64,
        };
        loop {
            self.nats = before + share.ln();
            let (drawn, name) = draw(self);
            if split_of(&name) == self.split {
                self.combinations.push(name);
                return drawn;
            }
        }
    }
}

/// A number in which every bit depends on every bit of `x` (the finisher of SplitMix64).
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(index: u64) -> Choices {
        Choices::new(7, Domain::Facts, Split::Train, index)
    }

    #[test]
    fn a_sure_thing_costs_nothing_and_a_die_costs_ln_6() {
        let mut choices = choices(0);
        assert_eq!(choices.below(1), 0);
        assert!(choices.chance(100) && !choices.chance(0));
        assert_eq!(choices.nats(), 0.0);
        assert!((1..=6).contains(&choices.number(1, 6)));
        assert!((choices.nats() - 6f64.ln()).abs() < 1e-12);
        let order = choices.several(&[1, 2, 3], 5);
        assert_eq!(order.len(), 3);
        assert!((choices.nats() - 36f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn weights_are_kept_and_paid_for() {
        let (mut seen, mut nats) = ([0; 3], 0.0);
        for index in 0..4000 {
            let mut choices = choices(index);
            let drawn = choices.weighted(&[1, 0, 3]);
            seen[drawn] += 1;
            nats += choices.nats();
        }
        assert_eq!(seen[1], 0);
        assert!((850..1150).contains(&seen[0]), "{seen:?}");
        // the entropy of 1/4 and 3/4
        let entropy = 4f64.ln() - 0.75 * 3f64.ln();
        assert!((nats / 4000.0 - entropy).abs() < 0.02, "{nats}");
    }

    #[test]
    fn a_combination_is_of_the_wanted_part_and_pays_only_for_the_last_draw() {
        for split in [Split::Train, Split::HeldOut] {
            let mut choices = Choices::new(7, Domain::Facts, split, 3);
            let drawn = choices.combination(|c| {
                let number = c.below(1000);
                (number, format!("number/{number}"))
            });
            assert_eq!(split_of(&format!("number/{drawn}")), split);
            assert_eq!(choices.combinations().len(), 1);
            let share: f64 = if split == Split::Train { 900.0 } else { 100.0 };
            assert!((choices.nats() - share.ln()).abs() < 1e-9);
        }
    }

    #[test]
    fn one_in_ten_is_held_out() {
        let held = (0..5000).filter(|n| split_of(&format!("x/{n}")) == Split::HeldOut);
        let count = held.count();
        assert!((430..570).contains(&count), "{count}");
    }

    #[test]
    fn streams_of_neighbours_differ() {
        let draw = |seed, domain, split, index| {
            let mut choices = Choices::new(seed, domain, split, index);
            (0..4).map(|_| choices.below(1 << 30)).collect::<Vec<_>>()
        };
        let base = draw(7, Domain::Facts, Split::Train, 1);
        assert_eq!(base, draw(7, Domain::Facts, Split::Train, 1));
        for other in [
            draw(8, Domain::Facts, Split::Train, 1),
            draw(7, Domain::Code, Split::Train, 1),
            draw(7, Domain::Facts, Split::HeldOut, 1),
            draw(7, Domain::Facts, Split::Train, 2),
        ] {
            assert_ne!(base, other);
        }
    }
}
