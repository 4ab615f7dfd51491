//! Held-out texts that are also trained on.

use serde::Serialize;

use super::forms::{Digests, Kind, Ladder};

/// A held-out text that is also trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Leak {
    /// The place of the trained text.
    pub train: usize,
    /// The place of the held-out text.
    pub held: usize,
    /// The strictest kind under which they are the same.
    pub kind: Kind,
}

/// The texts of `held` that are also in `train`: at most one leak for each, with the strictest kind
/// that matches and, for that kind, the first text.
pub fn leakage(train: &[String], held: &[String]) -> Vec<Leak> {
    let mut ladder = Ladder::default();
    for (row, text) in (0..u32::MAX).zip(train) {
        ladder.insert(&Digests::of(&[text]), row);
    }
    let leak = |(place, text): (usize, &String)| {
        let (row, kind) = ladder.find(&Digests::of(&[text]))?;
        Some(Leak {
            train: row as usize,
            held: place,
            kind,
        })
    };
    held.iter().enumerate().filter_map(leak).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaks(train: &[&str], held: &[&str]) -> Vec<(usize, usize, Kind)> {
        let own = |texts: &[&str]| -> Vec<String> { texts.iter().map(|t| t.to_string()).collect() };
        let leaks = leakage(&own(train), &own(held));
        leaks
            .iter()
            .map(|leak| (leak.train, leak.held, leak.kind))
            .collect()
    }

    #[test]
    fn each_kind_leaks_once_and_the_rest_does_not() {
        let train = ["What is H₂O?", "Name a metal.", "Name a  gas.", "Spell it."];
        let held = [
            "Name a metal.",
            "Name another metal.",
            "name A METAL.",
            "Name a gas.",
            "what is h2o?",
        ];
        let want = [
            (1, 0, Kind::Exact),
            (1, 2, Kind::Case),
            (2, 3, Kind::Whitespace),
            (0, 4, Kind::Nfkc),
        ];
        assert_eq!(leaks(&train, &held), want);
    }

    #[test]
    fn nothing_leaks_from_nothing() {
        assert_eq!(leaks(&[], &["a"]), []);
        assert_eq!(leaks(&["a"], &[]), []);
    }
}
